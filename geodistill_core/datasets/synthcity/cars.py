# SPDX-License-Identifier: Apache-2.0
"""Cars: parked in bays and along kerbs, driving on lanes; other ones in every view."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.types import Array

# Columns: east, north, yaw, half length, half width, height, body rgb
CAR_COLUMNS = 9
_PAINTS = np.array(
    [[232, 232, 230], [196, 198, 200], [120, 124, 128], [46, 48, 52], [24, 24, 26], [150, 34, 32], 
     [40, 66, 124],  [96, 104, 88], [186, 168, 136], [214, 190, 60]], dtype=float,
)  # fmt: skip
_SHARES = np.array([0.24, 0.17, 0.15, 0.13, 0.1, 0.07, 0.07, 0.03, 0.03, 0.01])


def _bodies(poses: Array, rng: np.random.Generator) -> Array:
    n = len(poses)
    out = np.zeros((n, CAR_COLUMNS))
    van = rng.random(n) < 0.12
    out[:, :2] = poses[:, :2] + rng.normal(0, 0.12, (n, 2))
    out[:, 2] = poses[:, 2] + rng.normal(0, 0.03, n) + math.pi * (rng.random(n) < 0.5)
    out[:, 3] = rng.uniform(1.9, 2.4, n) + 0.4 * van
    out[:, 4] = rng.uniform(0.84, 0.95, n)
    out[:, 5] = np.where(van, rng.uniform(1.9, 2.4, n), rng.uniform(1.4, 1.75, n))
    out[:, 6:9] = _PAINTS[rng.choice(len(_PAINTS), n, p=_SHARES / _SHARES.sum())] * rng.uniform(0.85, 1.1, (n, 1))
    return out


def place_cars(
    slots: Array, lanes: Array, rng: np.random.Generator, occupancy: float, traffic: float,
    centre: tuple[float, float], radius_m: float, clear_m: float = 0.0,
) -> Array:  # fmt: skip
    """Cars near a place, [N, 9]. Slots fill with probability `occupancy`; none stands within `clear_m` of the
    centre.

    `traffic` is the number of driving cars per 100 m of lane.
    """
    near = slots[np.hypot(slots[:, 0] - centre[0], slots[:, 1] - centre[1]) < radius_m]
    parked = near[rng.random(len(near)) < occupancy * rng.uniform(0.5, 1.4)]
    close = lanes[np.hypot(lanes[:, 0] - centre[0], lanes[:, 1] - centre[1]) < radius_m]
    step = np.hypot(close[:, 2] - close[:, 0], close[:, 3] - close[:, 1])
    moving = close[rng.random(len(close)) < 0.01 * traffic * step * rng.uniform(0.3, 1.6)]
    yaw = np.arctan2(moving[:, 3] - moving[:, 1], moving[:, 2] - moving[:, 0])
    driving = np.column_stack([moving[:, :2], yaw])
    kept: list[Array] = []
    for pose in driving:
        if all(np.hypot(*(pose[:2] - other[:2])) > 6.5 for other in kept):
            kept.append(pose)
    poses = np.concatenate([parked, np.array(kept).reshape(-1, 3)])
    poses = poses[np.hypot(poses[:, 0] - centre[0], poses[:, 1] - centre[1]) > clear_m]
    return _bodies(poses, rng)
