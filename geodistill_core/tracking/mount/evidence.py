# SPDX-License-Identifier: Apache-2.0
"""How well an image fits the map under a hypothesis about the camera, whatever the pose within the track's belief."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from geodistill_core.camera import BodyMount
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import Posed
from geodistill_core.types import Array, GeoPoint, GroundImage, HeatMap

_YAWS_PER_SIDE = 2


class LikelihoodSource(Protocol):
    """What calibration asks of a localizer."""

    def log_likelihoods(
        self, image: GroundImage, point: GeoPoint, yaw_enu_rad: Array, height_offsets_m: Array
    ) -> list[HeatMap]:
        """Log-likelihoods of poses around a point, one for each offset from the image's stated camera height.

        A single one where the network's answer does not depend on the height.
        """


@dataclass(frozen=True, slots=True)
class PoseBelief:
    """A Gaussian over (east m, north m, yaw rad) around a point [3, 3]."""

    point: GeoPoint
    yaw_enu_rad: float
    covariance: Array

    @staticmethod
    def of(pose: Posed, sigma_m: float, sigma_yaw_rad: float) -> PoseBelief:
        """The track's belief, widened to at least these sigmas: a wrong mounting shifts the track as well."""
        P = np.array(pose.covariance, dtype=np.float64)
        floor = np.array([sigma_m, sigma_m, sigma_yaw_rad]) ** 2
        P[np.diag_indices(3)] = np.maximum(P.diagonal(), floor)
        return PoseBelief(GeoPoint(pose.latitude, pose.longitude), pose.yaw_enu_rad, P)

    def yaws(self) -> Array:
        """Yaws [5], a standard deviation apart."""
        return np.asarray(
            self.yaw_enu_rad + math.sqrt(self.covariance[2, 2]) * np.arange(-_YAWS_PER_SIDE, _YAWS_PER_SIDE + 1)
        )

    def log_density(self, grid: HeatMap) -> Array:
        """Log density on a heat map's cells [Y, P, P], up to a constant."""
        east, north = grid.axes_m()
        at_east, at_north = LocalFrame(grid.center).to_enu(self.point.latitude, self.point.longitude)
        e, n = (east - at_east)[None, None, :], (north - at_north)[None, :, None]
        y = np.asarray(wrap(grid.yaw_enu_rad - self.yaw_enu_rad))[:, None, None]
        W = np.linalg.inv(self.covariance)
        squares = W[0, 0] * e * e + W[1, 1] * n * n + W[2, 2] * y * y
        return np.asarray(-0.5 * squares - (W[0, 1] * e * n + W[0, 2] * e * y + W[1, 2] * n * y))


def log_evidence(heatmap: HeatMap, log_density: Array) -> float:
    """Log of the likelihood's mean under a belief about the pose; -inf or NaN where the heat map says nothing."""
    log_p = heatmap.probability + log_density
    largest = float(log_p.max())
    if not math.isfinite(largest):
        return largest
    return largest + math.log(float(np.exp(log_p - largest).sum()))


def evidence_at(
    source: LikelihoodSource,
    image: GroundImage,
    mount: BodyMount,
    relative_heights: Sequence[float],
    belief: PoseBelief,
) -> list[float]:
    """Log evidence for a camera mounted so, at multiples of the mount's height; one value where none matters."""
    hypothesis = replace(image, T_base_camera=mount.matrix(optical=image.camera is not None))
    offsets_m = mount.z_m * (np.asarray(relative_heights) - 1.0)
    heatmaps = source.log_likelihoods(hypothesis, belief.point, belief.yaws(), offsets_m)
    log_density = belief.log_density(heatmaps[0])
    return [log_evidence(heatmap, log_density) for heatmap in heatmaps]
