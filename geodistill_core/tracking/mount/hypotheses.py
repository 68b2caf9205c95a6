# SPDX-License-Identifier: Apache-2.0
"""The hypotheses about the mounting that one frame is asked about, and what its answers say about slope and curvature.

A mounting is a point (log height, pitch, roll). Each frame looks along the height and one of the two angles: at its
belief's mean and at six neighbours. Three of the seven differ in height alone and share an encoded image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from geodistill_core.camera import BodyMount
from geodistill_core.tracking.mount.evidence import LikelihoodSource, PoseBelief, evidence_at
from geodistill_core.types import Array, GroundImage

HEIGHT, PITCH, ROLL = 0, 1, 2
_LARGEST_SLOPE_NATS = 4.0
_LARGEST_CURVATURE_NATS = 8.0
_HEIGHTS_BY_TILT = {0: (0, -1, 1), 1: (0, 1), -1: (0, -1)}


@dataclass(frozen=True, slots=True)
class Slopes:
    """Gradient [3] and Hessian [3, 3] of a frame's log evidence over (log height, pitch, roll), and what it depends on.

    What was not asked about is 0. `depends` [3] is False where the answers were equal to the last bit, and where the
    network cannot be asked.
    """

    gradient: Array
    hessian: Array
    depends: Array


def at_point(mount: BodyMount, point: Array) -> BodyMount:
    """The mount with the height, pitch and roll of a point."""
    height_m = math.exp(float(point[HEIGHT]))
    return replace(mount, z_m=height_m, pitch_rad=float(point[PITCH]), roll_rad=float(point[ROLL]))


def ask(
    source: LikelihoodSource,
    image: GroundImage,
    mount: BodyMount,
    point: Array,
    steps: Array,
    tilt: int,
    belief: PoseBelief,
) -> Slopes | None:
    """Slope and curvature of the evidence at a point [3], with steps [3], along the height and the angle `tilt`.

    None where any hypothesis leaves nothing to compare.
    """
    found: dict[tuple[int, int], float] = {}
    for side, heights in _HEIGHTS_BY_TILT.items():
        moved = point + side * steps * (np.arange(3) == tilt)
        relative = [math.exp(k * float(steps[HEIGHT])) for k in heights]
        values = evidence_at(source, image, at_point(mount, moved), relative, belief)
        found |= {(k, side): value for k, value in zip(heights, values, strict=False)}
    if not all(math.isfinite(value) for value in found.values()):
        return None
    return _slopes(found, steps, tilt)


def _slopes(found: dict[tuple[int, int], float], steps: Array, tilt: int) -> Slopes:
    """Central differences. A frame that is steeper than 4 nats counts for less: one among many must not decide."""
    gradient, hessian, depends = np.zeros(3), np.zeros((3, 3)), np.zeros(3, dtype=bool)
    here, steepest = found[0, 0], _LARGEST_SLOPE_NATS
    bent = dict.fromkeys(range(3), 0.0)
    for axis, up, down in ((HEIGHT, (1, 0), (-1, 0)), (tilt, (0, 1), (0, -1))):
        if up not in found:
            continue
        rise, bend = found[up] - found[down], found[up] + found[down] - 2 * here
        bent[axis] = bend
        gradient[axis] = rise / (2 * steps[axis])
        hessian[axis, axis] = _bounded(bend, _LARGEST_CURVATURE_NATS) / steps[axis] ** 2
        steepest = max(steepest, abs(rise))
        depends[axis] = rise != 0.0 or bend != 0.0
    if (1, 1) in found:
        twist = (found[1, 1] + found[-1, -1] - 2 * here - bent[HEIGHT] - bent[tilt]) / 2
        cross = _bounded(twist, _LARGEST_CURVATURE_NATS) / (steps[HEIGHT] * steps[tilt])
        hessian[HEIGHT, tilt] = hessian[tilt, HEIGHT] = cross
    weight = _LARGEST_SLOPE_NATS / steepest
    return Slopes(weight * gradient, weight * hessian, depends)


def _bounded(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))
