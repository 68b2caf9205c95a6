# SPDX-License-Identifier: Apache-2.0
"""Colours of vertical faces: windows, doors and floors of buildings; panels, glass and wheels of cars."""

from __future__ import annotations

import math

from geodistill_core.datasets.synthcity.kernel import kernel
from geodistill_core.types import Array


@kernel
def _pulse(x: float, width: float, duty: float) -> float:
    """Share of [x - width/2, x + width/2] covered by a pulse train of unit period (a box filter)."""
    width = max(width, 1e-4)
    a, b = x - width / 2, x + width / 2
    fa, fb = math.floor(a), math.floor(b)
    return ((fb * duty + min(b - fb, duty)) - (fa * duty + min(a - fa, duty))) / width


@kernel
def _building(
    boxes: Array, i: int, along: float, z: float, fz: float, fu: float, lit: float, noises: Array
) -> tuple[float, float, float]:
    tone = boxes[i, 16]
    floor_m = 2.8 + 0.9 * tone
    pitch = 1.7 + 2.6 * ((tone * 7.31) % 1.0)
    storey = z / floor_m
    if z < floor_m:
        shop = (tone * 5.13) % 1.0 > 0.5
        wide = 4.2 if shop else 3 * pitch
        window = _pulse(along / wide, fu / wide, 0.8 if shop else 0.16) * _pulse(storey - 0.03, fz / floor_m, 0.72)
    elif boxes[i, 7] - z < 0.7:
        window = 0.0
    else:
        duty = 0.32 + 0.4 * ((tone * 3.77) % 1.0)
        window = _pulse(along / pitch, fu / pitch, duty) * _pulse(storey - 0.32, fz / floor_m, 0.5)
    ledge = _pulse(storey + 0.03, fz / floor_m, 0.06)
    u, v = int(along * 14.0 + tone * 999.0), int(z * 14.0)
    grain = 1.0 + 0.0010 * (noises[1, v & 1023, u & 1023] - 128.0) + 0.0008 * (noises[2, u & 1023, v & 1023] - 128.0)
    pane = 0.75 + 0.5 * ((math.floor(along / pitch) * 0.37 + math.floor(storey) * 0.61 + tone) % 1.0)
    base = 0.78 if z < 0.4 else 1.0
    wall = grain * base * (1.0 + 0.16 * ledge) * lit * (1.0 - window)
    glass = pane * (0.6 + 0.5 * lit) * window
    return (
        boxes[i, 8] * wall + 54.0 * glass,
        boxes[i, 9] * wall + 64.0 * glass,
        boxes[i, 10] * wall + 74.0 * glass,
    )


@kernel
def box_colour(
    boxes: Array, i: int, face: int, along: float, z: float, fz: float, fu: float, lit: float, noises: Array
) -> tuple[float, float, float]:
    """Colour of a face `along` it and `z` above the ground; `fz`, `fu` are the pixel's footprint."""
    kind = boxes[i, 14]
    if kind == 0.0:
        return _building(boxes, i, along, z, fz, fu, lit, noises)
    side = face >= 2
    gain = lit
    if kind == 2.0:
        if z < boxes[i, 7] - 0.1 and not (side and (abs(along) % (0.62 * boxes[i, 4])) < 0.05):
            gain = 0.5 + 0.6 * lit
            return 40.0 * gain, 47.0 * gain, 54.0 * gain
    else:
        if z < 0.2 or (side and (abs(along) - 0.62 * boxes[i, 4]) ** 2 + (z - 0.32) ** 2 < 0.1):
            return 26.0, 26.0, 27.0
        gain = lit * (0.82 + 0.3 * (z - 0.2) / max(0.3, boxes[i, 7] - 0.2))
        if not side and 0.55 < z < 0.75 and abs(along) > 0.55 * boxes[i, 5]:
            return (212.0, 210.0, 200.0) if face == 0 else (150.0, 46.0, 38.0)
    return boxes[i, 8] * gain, boxes[i, 9] * gain, boxes[i, 10] * gain
