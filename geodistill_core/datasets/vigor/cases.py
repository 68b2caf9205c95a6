# SPDX-License-Identifier: Apache-2.0
"""VIGOR's samples as a vehicle meets them: the whole city's tiles for a map, and a prior beside the truth."""

from __future__ import annotations

import math
from collections.abc import Iterable

from geodistill_core.datasets.case import Case, PriorNoise, TileFile, is_picture, noisy_point
from geodistill_core.datasets.truth import Truth
from geodistill_core.datasets.vigor.labels import TILE_PX, VigorSample
from geodistill_core.datasets.vigor.pairs import turned_yaw_enu_rad
from geodistill_core.geometry import mercator
from geodistill_core.maps.placed_images import TileNaming
from geodistill_core.types import Prior

NAMING = TileNaming()
_GROUPS = range(4)


def sample_key(sample: VigorSample) -> str:
    """How results name a sample."""
    return f"{sample.city}/{sample.panorama_name}"


def camera_truth(sample: VigorSample) -> Truth:
    """Where the label says that the camera stood, on the Web Mercator world that tiles were cut from.

    Published code takes one number of metres per pixel for a whole city, which differs by about a thousandth.
    """
    center = sample.tile_center()
    x, y = mercator.to_pixel(center.latitude, center.longitude, NAMING.zoom, NAMING.tile_size)
    column, row = sample.offsets[0].camera_px
    half = TILE_PX / 2
    latitude, longitude = mercator.to_geodetic(x + column - half, y + row - half, NAMING.zoom, NAMING.tile_size)
    return Truth(float(latitude), float(longitude), turned_yaw_enu_rad(0.0))


def vigor_case(sample: VigorSample, noise: PriorNoise) -> Case:
    """The sample's prior and truth; the panorama stays as it is, the heading that is believed is wrong.

    The split's own position is the positive tile's centre: the camera lies within a quarter of the tile of it, evenly.
    """
    truth, key = camera_truth(sample), sample_key(sample)
    draws = noise.draws(key)
    yaw_error_rad = math.radians(float(draws.uniform(-1.0, 1.0)) * noise.heading_range_deg)
    if noise.gnss_sigma_m is None:
        point, sigma_m = sample.tile_center(), TILE_PX / 4 * sample.metres_per_pixel / math.sqrt(3.0)
    else:
        point, sigma_m = noisy_point(truth, noise.gnss_sigma_m, draws), noise.gnss_sigma_m
    yaw = truth.yaw_enu_rad + yaw_error_rad
    return Case(key, Prior(point.latitude, point.longitude, sigma_m, yaw, noise.sigma_yaw_rad), truth)


def vigor_tiles(samples: Iterable[VigorSample]) -> list[TileFile]:
    """The tiles that samples lie on, positives and semi-positives, each once; those that are no tiles are left out."""
    paths = dict.fromkeys(sample.tile(group) for sample in samples for group in _GROUPS)
    return [TileFile(path, path.name) for path in paths if is_picture(path, TILE_PX)]
