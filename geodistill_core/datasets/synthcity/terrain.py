# SPDX-License-Identifier: Apache-2.0
"""Distance from the road's edge everywhere: negative on the carriageway, positive beyond the kerb."""

from __future__ import annotations

import cv2
import numpy as np

from geodistill_core.datasets.synthcity import polyline
from geodistill_core.datasets.synthcity.layout import Network
from geodistill_core.datasets.synthcity.styles import Style
from geodistill_core.types import Array

FIELD_M = 0.25


def to_pixels(points: Array, size_m: float, resolution_m: float) -> Array:
    """City metres to cv2 fixed-point drawing coordinates (shift 6; cv2's pixel centres are integers)."""
    columns = (points[:, 0] + size_m / 2) / resolution_m - 0.5
    rows = (size_m / 2 - points[:, 1]) / resolution_m - 0.5
    return np.round(np.stack([columns, rows], axis=1) * 64).astype(np.int32)


def _distance(mask: Array) -> Array:
    """Signed distance in metres to the boundary of `mask`, negative inside."""
    outside = cv2.distanceTransform((mask == 0).astype(np.uint8), cv2.DIST_L2, 5)
    inside = cv2.distanceTransform((mask != 0).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray((outside - inside) * FIELD_M, dtype=np.float32)


def road_field(network: Network, style: Style, size_m: float) -> tuple[Array, Array]:
    """Signed distance to the kerb (float32, 0.25 m cells, north up) and the mask of the medians (uint8).

    Corners are rounded with the style's kerb radius: a morphological closing of the carriageway.
    """
    n = round(size_m / FIELD_M)
    mask = np.zeros((n, n), np.uint8)
    for road in network.roads:
        outline = polyline.strip(road.points, -road.half_width_m, road.half_width_m)
        cv2.fillPoly(mask, [to_pixels(outline, size_m, FIELD_M)], 255, shift=6)
        for end in (0, -1):
            centre = to_pixels(road.points[end][None], size_m, FIELD_M)[0]
            radius = int((road.half_width_m * 0.98) / FIELD_M * 64)
            cv2.circle(mask, (int(centre[0]), int(centre[1])), radius, 255, -1, shift=6)
    grown = (_distance(mask) < style.corner_m).astype(np.uint8)
    closed = (_distance(grown) < -style.corner_m).astype(np.uint8)
    closed |= (mask > 0).astype(np.uint8)
    medians = np.zeros_like(mask)
    for road in network.roads:
        s0, s1 = road.trims_m[0] + 5.5, road.length_m - road.trims_m[1] - 5.5
        if road.median_m > 0 and s1 - s0 > 6.0:
            outline = polyline.strip(polyline.section(road.points, s0, s1), -road.median_m / 2, road.median_m / 2)
            cv2.fillPoly(medians, [to_pixels(outline, size_m, FIELD_M)], 255, shift=6)
    closed[medians > 0] = 0
    field = cv2.GaussianBlur(_distance(closed), (0, 0), 1.0)
    return np.asarray(field), medians
