# SPDX-License-Identifier: Apache-2.0
"""Distances and resolutions as the published data loaders approximate them: float64, degrees in, metres out.

For comparing with published numbers only; `geometry.geodesy` measures on the ellipsoid. A sphere is wrong by up to
0.6 %, an ellipsoid with a flattening a thousand times too small by 0.7 %. The published loaders also round
coordinates to float32, which alone moves a point by up to 0.4 m.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from geodistill_core.types import Array

_HAVERSINE_RADIUS_M = 6_371_393.0
_ARC_COSINE_RADIUS_M = 6_371_004.0
_EQUATOR_M = 6_378_137.0
_ECCENTRICITY_SQ = (2 - 1 / 298_257) / 298_257  # published code: 298257 where WGS-84 has 298.257
_MERCATOR_M_PER_PIXEL = 156_543.03392


def _radians(*degrees: ArrayLike) -> list[Array]:
    return [np.radians(np.asarray(value, dtype=np.float64)) for value in degrees]


def published_haversine_m(lat_a: ArrayLike, lon_a: ArrayLike, lat_b: ArrayLike, lon_b: ArrayLike) -> Array:
    """Great-circle distance by the haversine, on a sphere of radius 6 371 393 m (published code: geometry)."""
    pa, la, pb, lb = _radians(lat_a, lon_a, lat_b, lon_b)
    h = np.sin((pb - pa) / 2) ** 2 + np.cos(pa) * np.cos(pb) * np.sin((lb - la) / 2) ** 2
    return np.asarray(2 * _HAVERSINE_RADIUS_M * np.arcsin(np.sqrt(h)))


def published_arc_cosine_m(lat_a: ArrayLike, lon_a: ArrayLike, lat_b: ArrayLike, lon_b: ArrayLike) -> Array:
    """Great-circle distance by the cosine law, on a sphere of radius 6 371 004 m (published code: geometry).

    Coordinates keep the precision they come in: pass float32 for the published loaders' own values.
    """
    pa, la, pb, lb = _radians(lat_a, lon_a, lat_b, lon_b)
    cosine = np.sin(pa) * np.sin(pb) + np.cos(pa) * np.cos(pb) * np.cos(la - lb)
    return np.asarray(_ARC_COSINE_RADIUS_M * np.arccos(np.clip(cosine, -1.0, 1.0)))


def published_offset_m(lat_a: ArrayLike, lon_a: ArrayLike, lat_b: ArrayLike, lon_b: ArrayLike) -> tuple[Array, Array]:
    """Metres east and south from a to b, small against the earth's radius (published code: gps2meters).

    The radii of curvature hold at the latitude of the first b. Published defaults for b have float32 precision.
    """
    pa, la, pb, lb = _radians(lat_a, lon_a, lat_b, lon_b)
    latitude = pb.reshape(-1)[0]
    shrink = 1 - _ECCENTRICITY_SQ * np.sin(latitude) ** 2
    prime_vertical = _EQUATOR_M / np.sqrt(shrink)
    meridian = prime_vertical * (1 - _ECCENTRICITY_SQ) / shrink
    return np.asarray((lb - la) * prime_vertical * np.cos(latitude)), np.asarray((pa - pb) * meridian)


def published_metres_per_pixel(lat: float = 49.015, zoom: int = 18, scale: float = 1.0) -> float:
    """Metres per pixel of satellite tiles twice the usual resolution, enlarged by `scale` (published KITTI code).

    The defaults are those of the downloaded KITTI imagery; GeoDistill's own default scale is 0.5, which claims twice
    the metres that its pixels have.
    """
    return float(_MERCATOR_M_PER_PIXEL * np.cos(np.radians(lat)) / 2**zoom / 2 / scale)
