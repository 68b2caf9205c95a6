# SPDX-License-Identifier: Apache-2.0
"""Colours of vertical faces: windows, doors and floors of buildings; panels, glass and wheels of cars."""

from __future__ import annotations

import math

from numba import njit

from geodistill_core.types import Array


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _pulse(x: float, width: float, duty: float) -> float:
    """Share of [x - width/2, x + width/2] covered by a unit-period pulse train of the given duty (box filter)."""
    width = max(width, 1e-4)
    a, b = x - width / 2, x + width / 2
    fa, fb = math.floor(a), math.floor(b)
    return ((fb * duty + min(b - fb, duty)) - (fa * duty + min(a - fa, duty))) / width


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _building(box: Array, along: float, z: float, fz: float, fu: float, lit: float, noises: Array, out: Array) -> None:
    tone = box[16]
    floor_m = 2.8 + 0.9 * tone
    pitch = 1.7 + 2.6 * ((tone * 7.31) % 1.0)
    duty = 0.32 + 0.4 * ((tone * 3.77) % 1.0)
    storey = z / floor_m
    window = _pulse(along / pitch, fu / pitch, duty) * _pulse(storey - 0.32, fz / floor_m, 0.5)
    if z < floor_m:
        shop = (tone * 5.13) % 1.0 > 0.5
        wide = 4.2 if shop else 3 * pitch
        window = _pulse(along / wide, fu / wide, 0.8 if shop else 0.16) * _pulse(storey - 0.03, fz / floor_m, 0.72)
    if box[7] - z < 0.7:
        window = 0.0
    ledge = _pulse(storey + 0.03, fz / floor_m, 0.06)
    u, v = int(along * 14.0 + tone * 999.0), int(z * 14.0)
    grain = 1.0 + 0.0012 * (noises[1, v & 1023, u & 1023] - 128.0) + 0.0010 * (noises[2, u & 1023, v & 1023] - 128.0)
    pane = 0.75 + 0.5 * ((math.floor(along / pitch) * 0.37 + math.floor(storey) * 0.61 + tone) % 1.0)
    base = 1.0 - 0.25 * math.exp(-z / 0.5)
    for k in range(3):
        wall = box[8 + k] * grain * base * (1.0 + 0.16 * ledge) * lit
        glass = (52.0 + 9.0 * k) * pane * (0.6 + 0.5 * lit)
        out[k] = min(255.0, max(0.0, wall + (glass - wall) * window))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def box_colour(
    box: Array, face: int, along: float, z: float, fz: float, fu: float, lit: float, noises: Array, out: Array
) -> None:
    """Colour of a point on a vertical face: `along` the face and `z` above the ground, with the pixel's footprint."""
    if box[14] == 0.0:
        _building(box, along, z, fz, fu, lit, noises, out)
        return
    side = face >= 2
    if box[14] == 2.0:
        glass = z < box[7] - 0.1 and not (side and abs((abs(along) % (0.62 * box[4]))) < 0.05)
        for k in range(3):
            out[k] = (38.0 + 8.0 * k) * (0.5 + 0.6 * lit) if glass else min(255.0, box[8 + k] * lit)
        return
    wheel = side and (abs(along) - 0.62 * box[4]) ** 2 + (z - 0.32) ** 2 < 0.1
    if wheel or z < 0.2:
        for k in range(3):
            out[k] = 26.0
        return
    shine = 0.82 + 0.3 * (z - 0.2) / max(0.3, box[7] - 0.2)
    lamp = not side and 0.55 < z < 0.75 and abs(along) > 0.55 * box[5]
    for k in range(3):
        out[k] = min(255.0, (box[8 + k] * shine * lit) if not lamp else (210.0 if face == 0 else 150.0 - 60.0 * k))
