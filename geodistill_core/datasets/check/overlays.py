# SPDX-License-Identifier: Apache-2.0
"""Samples as pictures: the tile with the true position and heading drawn, the ground image with its directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from geodistill_core.datasets.check.pictures import spread
from geodistill_core.datasets.kitti import images as kitti
from geodistill_core.datasets.kitti.frames import Displacement, KittiFrame
from geodistill_core.datasets.vigor import images as vigor
from geodistill_core.datasets.vigor.labels import VigorSample
from geodistill_core.datasets.vigor.pairs import turned_yaw_enu_rad
from geodistill_core.errors import DatasetError
from geodistill_core.types import Array, MapTile

OVERLAYS = 10
TILE_PX, GROUND_PX = 440, 880
_KITTI_EXTENT_M = 100.0
_ARROW_M = 12.0
_TRUTH, _EDGE = (64, 255, 96), (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Overlay:
    """`tile` [440, 440, 3] and `ground` [H, 880, 3], uint8 RGB, with what the label says in words."""

    name: str
    facts: str
    tile: Array
    ground: Array


def overlays(samples: Sequence[VigorSample | KittiFrame], wanted: int = OVERLAYS) -> list[Overlay]:
    """Up to `wanted` samples spread over a list; those whose files are broken are passed over."""
    drawn = []
    for index in spread(len(samples), wanted):
        sample = samples[index]
        try:
            drawn.append(vigor_overlay(sample) if isinstance(sample, VigorSample) else kitti_overlay(sample))
        except DatasetError:
            continue
    return drawn


def vigor_overlay(sample: VigorSample) -> Overlay:
    """The positive tile and the panorama; its centre column must look north.

    Raises:
        DatasetError: a picture is missing or broken.
    """
    east_m, north_m = sample.camera_east_north_m()
    tile = _with_pose(vigor.map_tile(sample), east_m, north_m, turned_yaw_enu_rad(0.0))
    ground = _scaled(vigor.read_panorama(sample))
    for share, letter in ((0.0, "S"), (0.25, "W"), (0.5, "N"), (0.75, "E"), (1.0, "S")):
        _mark_column(ground, share, letter)
    offset = sample.offsets[0]
    facts = (
        f"label ({offset.row:g}, {offset.column:g}): camera {abs(east_m):.1f} m {'east' if east_m > 0 else 'west'} and "
        f"{abs(north_m):.1f} m {'north' if north_m > 0 else 'south'} of the tile's centre; panorama looks north"
    )
    return Overlay(f"{sample.city} {sample.panorama_name}", facts, tile, ground)


def kitti_overlay(frame: KittiFrame) -> Overlay:
    """The north-up tile around the test list's displaced centre (training frames: around the camera), and the image.

    Raises:
        DatasetError: a file is missing or broken.
    """
    shift = frame.displacement or Displacement(0.0, 0.0, 0.0)
    placed = kitti.north_up_tile(frame, shift, _KITTI_EXTENT_M)
    ground = _scaled(kitti.ground_image(frame).rgb)
    facts = (
        f"camera {placed.right_m:+.1f} m east and {placed.up_m:+.1f} m north of the tile's centre, heading "
        f"{math.degrees(placed.heading_rad):.0f}° (0 = east, counter-clockwise)"
    )
    tile = _with_pose(placed.tile, placed.right_m, placed.up_m, placed.heading_rad)
    return Overlay(frame.name, facts, tile, ground)


def _with_pose(tile: MapTile, east_m: float, north_m: float, yaw_enu_rad: float) -> Array:
    """The tile with a circle at the place, an arrow along the heading, and the points of the compass."""
    picture = np.ascontiguousarray(cv2.resize(tile.rgb, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA))
    ahead_m = np.array([0.0, _ARROW_M])
    column, row = tile.enu_to_pixel(east_m + math.cos(yaw_enu_rad) * ahead_m, north_m + math.sin(yaw_enu_rad) * ahead_m)
    zoom = TILE_PX / tile.valid.shape[0]
    (at, tip) = [(round(float(c) * zoom), round(float(r) * zoom)) for c, r in zip(column, row, strict=True)]
    for colour, width in ((_EDGE, 5), (_TRUTH, 2)):
        cv2.arrowedLine(picture, at, tip, colour, width, cv2.LINE_AA, 0, 0.25)
        cv2.circle(picture, at, 7, colour, width, cv2.LINE_AA)
    _letter(picture, "N", (TILE_PX // 2, 16))
    _letter(picture, "E", (TILE_PX - 12, TILE_PX // 2))
    return picture


def _scaled(rgb: Array) -> Array:
    height = round(rgb.shape[0] * GROUND_PX / rgb.shape[1])
    return np.ascontiguousarray(cv2.resize(rgb, (GROUND_PX, height), interpolation=cv2.INTER_AREA))


def _mark_column(picture: Array, share: float, letter: str) -> None:
    column, height = round(share * (picture.shape[1] - 1)), picture.shape[0]
    cv2.line(picture, (column, height - 34), (column, height), _TRUTH, 2, cv2.LINE_AA)
    _letter(picture, letter, (min(max(column, 14), picture.shape[1] - 14), height - 46))


def _letter(picture: Array, letter: str, middle: tuple[int, int]) -> None:
    at = middle[0] - 6, middle[1] + 6
    for colour, width in ((_EDGE, 4), (_TRUTH, 2)):
        cv2.putText(picture, letter, at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, width, cv2.LINE_AA)
