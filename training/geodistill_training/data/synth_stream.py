# SPDX-License-Identifier: Apache-2.0
"""SynthCity examples straight from the generator, for any network."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from geodistill_core.datasets.synthcity import LEVELS, PANORAMA_RIG, CameraRig, Level, pinhole_rig, sample_pair
from geodistill_core.datasets.synthcity.streams import stream
from geodistill_core.models.base import AnyNetwork
from geodistill_core.types import Array
from geodistill_training.data.examples import Example, prepare
from geodistill_training.recipe.data import SynthData

_ADVERSE_EVERY = 3


def training_level(data: SynthData, adverse: bool) -> Level:
    """Clear or adverse conditions, the position uniform in the search range, a compass as good as the recipe says."""
    return replace(
        LEVELS["hard" if adverse else "standard"],
        name="adverse" if adverse else "clear",
        position_m=data.position_range_m,
        uniform_position=True,
        clip_m=data.position_range_m * math.sqrt(2),
        sigma_yaw_deg=data.heading_sigma_deg,
        uniform_yaw_deg=0.0,
        canyon_probability=0.0,
        height_m=data.height_error_m,
    )


def draw_rig(data: SynthData, rng: np.random.Generator) -> CameraRig:
    """A camera of random height: a panorama, or now and then a forward-looking one."""
    height = float(rng.uniform(*data.camera_height_m))
    if rng.random() >= data.pinhole_share:
        return replace(PANORAMA_RIG, height_m=height)
    fov_deg, pitch = float(rng.uniform(60, 110)), math.radians(float(rng.uniform(0, 8)))
    return pinhole_rig(fov_deg=fov_deg, height_m=height, mount_pitch_rad=pitch)


def stream_example(data: SynthData, network: AnyNetwork, style: str, seed: int, index: int) -> tuple[Example, Array]:
    """Pair `index` of a city as `network` reads it, and its prior place [2] on the city's plane; deterministic."""
    adverse = data.conditions == "mixed" and index % _ADVERSE_EVERY == _ADVERSE_EVERY - 1
    level = training_level(data, adverse)
    rig = draw_rig(data, stream(style, seed, "rig", index, level.name))
    size = network.map_size_px
    pair = sample_pair(
        style, seed, index, level,
        tile_extent_m=data.tile_extent_m if size is None else size * network.metres_per_pixel,
        metres_per_pixel=network.metres_per_pixel,
        rig=rig,
    )  # fmt: skip
    east_m, north_m = (-offset for offset in pair.offset_m)
    truth = np.array([east_m, north_m, pair.pose.yaw_enu_rad])
    place_m = np.array([pair.pose.east_m - east_m, pair.pose.north_m - north_m])
    example = prepare(network, pair.ground, pair.tile, pair.prior.yaw_enu_rad, truth, f"{style}/{seed}/{index}")
    return example, place_m
