# SPDX-License-Identifier: Apache-2.0
"""A data set's tile in the size and resolution that a network reads."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from geodistill_core.datasets.kitti.pairs import METRES_PER_PIXEL
from geodistill_core.geometry.resize import resize
from geodistill_core.maps.raster import RasterSource
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.overhead_matching import OverheadMatcher
from geodistill_core.types import MapTile

_SAME_SCALE = 1e-3


def same_scale(a: float, b: float) -> bool:
    """Whether two metres per pixel mean one resolution: published constants differ in the fifth digit."""
    return abs(a / b - 1.0) < _SAME_SCALE


def read_extent_m(network: AnyNetwork, any_extent_m: float) -> float:
    """Width of the tiles that a network reads; `any_extent_m` where any width does."""
    return any_extent_m if network.map_size_px is None else network.map_size_px * network.metres_per_pixel


def aligned_side_px(network: AnyNetwork, any_extent_m: float) -> int:
    """Width of the aligned KITTI tile that `metric_tile` needs: the network's where the resolution is one."""
    if network.map_size_px is not None and same_scale(METRES_PER_PIXEL, network.metres_per_pixel):
        return network.map_size_px
    # Even, so that the centre stays; a pixel more on each side for resampling to reach into.
    return 2 * math.ceil(read_extent_m(network, any_extent_m) / METRES_PER_PIXEL / 2 + 1)


def whole_tile(tile: MapTile, network: AnyNetwork) -> MapTile:
    """The whole tile resized to the network's size, by the network's habit.

    It keeps its extent, and so gets metres per pixel of its own. The network must read one size only.
    """
    side = network.map_size_px
    assert side is not None
    rgb = resize(tile.rgb, side, side, network.resize if isinstance(network, OverheadMatcher) else "pil")
    metres_per_pixel = tile.metres_per_pixel * tile.valid.shape[0] / side
    key = f"{tile.key}/whole/{side}"
    return replace(tile, rgb=rgb, valid=np.ones((side, side), np.bool_), metres_per_pixel=metres_per_pixel, key=key)


def metric_tile(tile: MapTile, network: AnyNetwork, any_extent_m: float) -> MapTile:
    """The tile around the same centre at the network's own metres per pixel; not valid where it ends too early."""
    extent_m, scale = read_extent_m(network, any_extent_m), network.metres_per_pixel
    side = round(extent_m / scale)
    if tile.valid.shape == (side, side) and same_scale(tile.metres_per_pixel, scale):
        return tile
    source = RasterSource(tile.rgb, tile.center, tile.metres_per_pixel, tile.attribution, valid=tile.valid)
    return replace(source.tile(tile.center, extent_m, scale), key=f"{tile.key}/metric/{side}/{scale:g}")
