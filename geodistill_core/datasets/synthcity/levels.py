# SPDX-License-Identifier: Apache-2.0
"""Difficulty levels and the ranges of city seeds."""

from __future__ import annotations

from dataclasses import dataclass

WORLD_VERSION = 1

# City seeds by purpose. Seeds from 900 000 up belong to nobody here: no code, test or tuning touches them.
SEEDS: dict[str, range] = {
    "training": range(0, 10_000),
    "validation": range(10_000, 20_000),
    "test": range(20_000, 30_000),
    "adaptation": range(30_000, 40_000),
}
MAX_SEED = 2**31


@dataclass(frozen=True, slots=True)
class Level:
    """How wrong the prior is and how much map and drive disagree. Angles in degrees, lengths in metres.

    `position_m` is the half side of a square (uniform) or a sigma (Gaussian, clipped at `clip_m`).
    `sigma_yaw_deg` is what the prior states; `uniform_yaw_deg` > 0 draws the error uniformly within it
    instead of from that sigma. `slope_deg` tilts the ground under the vehicle, which the IMU sees and the
    camera does not.
    """

    name: str
    position_m: float
    uniform_position: bool
    clip_m: float
    canyon_probability: float
    sigma_yaw_deg: float
    uniform_yaw_deg: float
    tilt_deg: float
    imu_deg: float
    slope_deg: float
    height_m: float
    change: float
    map_scale: float
    independent_sun: bool
    adverse: bool
    min_fov_deg: float


LEVELS: dict[str, Level] = {
    "easy": Level("easy", 17.0, True, 25.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.05, 0.0, 0.0, False, False, 360.0),
    "standard": Level("standard", 8.0, False, 20.0, 0.0, 10.0, 10.0, 1.0, 0.2, 0.0, 0.1, 0.1, 0.0, True, False, 360.0),
    "hard": Level("hard", 8.0, False, 20.0, 0.1, 45.0, 45.0, 3.0, 0.4, 0.7, 0.2, 0.25, 0.02, True, True, 120.0),
}
