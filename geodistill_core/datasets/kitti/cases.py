# SPDX-License-Identifier: Apache-2.0
"""KITTI's frames as a vehicle meets them: north-up satellite images for a map, and a prior beside the truth."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from geodistill_core.datasets.case import Case, PriorNoise, TileFile, is_picture, noisy_point
from geodistill_core.datasets.kitti.frames import Displacement, KittiFrame, draw_displacement
from geodistill_core.datasets.kitti.images import camera_truth, displaced_center
from geodistill_core.datasets.kitti.pairs import SATELLITE_PX, SHIFT_RANGE_M
from geodistill_core.datasets.kitti.records import read_oxts, read_oxts_record
from geodistill_core.errors import DatasetError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps.kitti_folder import SPACING_M
from geodistill_core.types import Prior

_ROLL_FIELD, _PITCH_FIELD = 3, 4


def displacement_of(frame: KittiFrame, noise: PriorNoise) -> Displacement:
    """What the list prescribes for a frame, or what chance does where it prescribes nothing."""
    return frame.displacement or draw_displacement(noise.draws(frame.name))


def kitti_case(frame: KittiFrame, noise: PriorNoise) -> Case:
    """The frame's prior and truth. Lists prescribe displacement and turn of the prior; where none does, they are drawn.

    The split's own position is displaced by up to 20 m along and across the heading, evenly.

    Raises:
        DatasetError: the record of the inertial unit is missing or malformed.
    """
    truth, record = camera_truth(frame), read_oxts_record(frame.oxts)
    shares = displacement_of(frame, noise)
    if noise.gnss_sigma_m is None:
        point, sigma_m = displaced_center(frame, shares), SHIFT_RANGE_M / math.sqrt(3.0)
    else:
        point, sigma_m = noisy_point(truth, noise.gnss_sigma_m, noise.draws(f"{frame.name} fix")), noise.gnss_sigma_m
    yaw = truth.yaw_enu_rad - math.radians(shares.turn * noise.heading_range_deg)
    prior = Prior(point.latitude, point.longitude, sigma_m, yaw, noise.sigma_yaw_rad)
    return Case(frame.name, prior, truth, float(record[_ROLL_FIELD]), float(record[_PITCH_FIELD]))


def kitti_tiles(frames: Iterable[KittiFrame]) -> list[TileFile]:
    """A satellite image every 20 m of the way, by the order of the frames; those that cannot serve are left out."""
    kept: list[TileFile] = []
    degrees = np.empty((0, 2))
    for frame in frames:
        try:
            point = read_oxts(frame.oxts).point
        except DatasetError:
            continue
        apart_m = np.hypot(*LocalFrame(point).to_enu(degrees[:, 0], degrees[:, 1]))
        if (apart_m < SPACING_M).any() or not is_picture(frame.satellite, SATELLITE_PX):
            continue
        name = f"satellite_{point.latitude:.12f}_{point.longitude:.12f}.png"
        kept.append(TileFile(frame.satellite, name))
        degrees = np.vstack([degrees, (point.latitude, point.longitude)])
    return kept
