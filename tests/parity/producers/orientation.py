# SPDX-License-Identifier: Apache-2.0
"""The orientation network, the overhead picture it reads, and the published distances."""

from __future__ import annotations

import math

import numpy as np
import torch

from geodistill_core.datasets.published_geodesy import published_arc_cosine_m, published_haversine_m
from geodistill_core.models.backbones.published_efficientnet import published_blocks
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.bev import published_bev, published_grid
from geodistill_core.models.importing.key_map import rename
from geodistill_core.models.orientation import PUBLISHED_KEYS, UNUSED_KEYS, OrientationNetwork
from tests.parity.pack import Columns, CutDown, Pack, Within, published_weights
from tests.parity.producers import produces

_BLOCKS = (0, 2, 4, 10, 14, 15)
# Pixels of 0..255 saturate the gates of this network with the seeded weights: rounding errors grow ten-thousandfold
# with depth. On two threads, as they were made, the stored features are met bit for bit; on one thread, or another
# processor, the same operations differ by up to 1.5e-3 of the largest value. `test_orientation_rounding` measures the
# stored arrays' own distance from exact arithmetic.
ROUNDING = 2e-3


@produces("geodistill_orientation")
def orientation(pack: Pack):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        return on_two_threads(pack)
    finally:
        torch.set_num_threads(threads)


def on_two_threads(pack: Pack):
    network = OrientationNetwork(geometry="compat").eval()
    network.load_state_dict(rename(published_weights("geodistill_orientation"), PUBLISHED_KEYS, UNUSED_KEYS))
    satellite, bev = pack.picture("sat") / 255, pack.picture("bev") / 255
    batch = len(satellite)
    tiles = MapInput(satellite, torch.ones(batch, 512, 512), torch.full((batch,), network.metres_per_pixel))
    maps = network.encode_map(tiles)
    ground = network.encode_ground(GroundInput(bev, torch.ones(batch, 512, 512), torch.zeros(batch, 3)))
    blocks = published_blocks(network.map_trunk, satellite * 255, _BLOCKS)
    logits = network.yaw_logits(ground, maps)
    degrees = torch.rad2deg(network.yaw(ground, maps) - math.pi / 2).round().long()
    arrays = {f"sat_block{number}": features for number, features in zip(_BLOCKS, blocks, strict=True)}
    arrays |= {"grd_block14": network.ground_features(bev), "fused": network.fused(ground, maps), "logits": logits}
    deep = ("sat_block10", "sat_block14", "sat_block15", "grd_block14", "fused", "logits")
    return {**arrays, **{name: _up_to_rounding(pack, name, arrays[name]) for name in deep}, "pred_deg": degrees}


def _up_to_rounding(pack: Pack, name: str, value: torch.Tensor) -> Within:
    return Within(value, ROUNDING * float(np.abs(pack.golden[name]).max()))


@produces("pure_bev")
def bev(pack: Pack):
    panorama, wide = (_uint8(pack.picture(name)) for name in ("pano", "pano2"))
    here, there = (np.float64(40.7), np.float64(-74.0)), (np.float64(40.7003), np.float64(-73.9996))
    grids = {
        "grid_a": published_grid(512, math.radians(170)),
        "grid_b": published_grid(64, math.radians(170)),
        "grid_c": published_grid(48, math.radians(120), 10, 5),
        "grid_d": published_grid(40, math.radians(90), -25, -7),
    }
    return {
        **{name: Columns(grid, 2.0) for name, grid in grids.items()},
        "bev_float_96": published_bev(panorama, published_grid(96, math.radians(170))),
        "bev_float_96_fov120_dty-20": published_bev(panorama, published_grid(96, math.radians(120)), -20),
        "bev_float_96_fov150_256x640": published_bev(wide, published_grid(96, math.radians(150))),
        "bev_dataset_path_uint8": CutDown(published_bev(panorama, grids["grid_a"]).clamp(0, 255).permute(1, 2, 0)),
        "calculate_distance_m": published_haversine_m(*here, *there).reshape(1),
        "gps2distance_m": published_arc_cosine_m(*np.float32(here), *np.float32(there)).reshape(1),
    }


def _uint8(picture):
    return np.ascontiguousarray(picture[0].permute(1, 2, 0).numpy().astype(np.uint8))
