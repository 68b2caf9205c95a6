# SPDX-License-Identifier: Apache-2.0
"""The ground in a cast column: texture lookup with a footprint that grows towards the horizon, kerbs, shade, snow."""

from __future__ import annotations

import math

from numba import njit

from geodistill_core.types import Array

KERB_M = 0.12
_TEXEL_M = 0.125


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _reflect(i: int, n: int) -> int:
    """Mirror an index at the edges: the world repeats, reversed, beyond the city."""
    i = i % (2 * n)
    return 2 * n - 1 - i if i >= n else i


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _is_raised(raised: Array, east: float, north: float, half: float) -> bool:
    n = raised.shape[0]
    c = _reflect(int(math.floor((east + half) / _TEXEL_M)), n)
    r = _reflect(int(math.floor((half - north) / _TEXEL_M)), n)
    return bool(raised[r, c] != 0)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _shaded(shade: Array, east: float, north: float, half: float) -> float:
    """Shade at metres from the camera, 0..1; beyond the square it fades to a middling value."""
    n = shade.shape[0]
    x, y = (east + half) / (2 * half) * n - 0.5, (half - north) / (2 * half) * n - 0.5
    c, r = int(math.floor(x)), int(math.floor(y))
    if c < 0 or r < 0 or c + 1 >= n or r + 1 >= n:
        return 0.25
    ax, ay = x - c, y - r
    top = shade[r, c] * (1 - ax) + shade[r, c + 1] * ax
    bottom = shade[r + 1, c] * (1 - ax) + shade[r + 1, c + 1] * ax
    return float((top * (1 - ay) + bottom * ay) / 255.0)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _dress(t0: float, t1: float, t2: float, weight: float, fleck: float, surface: Array, factor: float, out: Array) -> None:
    """Season, snow and wetness on a lit ground colour."""
    leaf = min(1.0, max(0.0, (weight - 170.0) / 80.0))
    cover = 0.0
    if surface[4] > 0.0:
        cover = min(0.96, max(0.0, (weight / 128.0 + fleck / 60.0 - 1.3 + 2.0 * surface[4]) * 0.8))
    wet = 1.0 - 0.35 * surface[5]
    for k in range(3):
        value = (t0 if k == 0 else (t1 if k == 1 else t2)) * wet * (1.0 + leaf * (surface[1 + k] - 1.0))
        value += cover * (236.0 + 4.0 * k - value)
        out[k] = min(255.0, max(0.0, value * factor))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def ground_row(
    camera: Array, dx: float, dy: float, tangent: float, step: float, az_step: float, level0: Array, level1: Array,
    level2: Array, level3: Array, raised: Array, shade: Array, noises: Array, light: Array, surface: Array, out: Array,
) -> float:  # fmt: skip
    """Colour of the ground seen at one elevation (written to `out`, 3 values); returns its distance in metres."""
    down = -tangent
    height, half = camera[2], camera[3]
    far = height / down
    near = (height - KERB_M) / down
    face = False
    if far < 60.0:
        up = _is_raised(raised, camera[0] + near * dx, camera[1] + near * dy, half)
        if up:
            far = near
        else:
            face = _is_raised(raised, camera[0] + far * dx, camera[1] + far * dy, half)
    radial = far / height * math.sqrt(far * far + height * height) * step
    across = far * az_step
    texel = 0.125
    texture = level0
    if across > 0.7:
        texel, texture = 1.0, level3
    elif across > 0.35:
        texel, texture = 0.5, level2
    elif across > 0.17:
        texel, texture = 0.25, level1
    samples = min(12, max(1, int(math.ceil(radial / texel))))
    if samples == 12 and radial > 24 * texel and texel < 1.0:
        texel, texture = 1.0, level3
        samples = min(12, max(1, int(math.ceil(radial / texel))))
    radial = min(radial, 40.0)
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    n = texture.shape[0]
    for i in range(samples):
        d = far + radial * ((i + 0.5) / samples - 0.5)
        x, y = (camera[0] + d * dx + half) / texel - 0.5, (half - camera[1] - d * dy) / texel - 0.5
        fx, fy = math.floor(x), math.floor(y)
        ax, ay = x - fx, y - fy
        c0, r0 = int(fx), int(fy)
        c1, r1 = c0 + 1, r0 + 1
        if c0 < 0 or r0 < 0 or c1 >= n or r1 >= n:
            c0, c1, r0, r1 = _reflect(c0, n), _reflect(c1, n), _reflect(r0, n), _reflect(r1, n)
        w00, w01, w10, w11 = (1 - ax) * (1 - ay), ax * (1 - ay), (1 - ax) * ay, ax * ay
        s0 += w00 * texture[r0, c0, 0] + w01 * texture[r0, c1, 0] + w10 * texture[r1, c0, 0] + w11 * texture[r1, c1, 0]
        s1 += w00 * texture[r0, c0, 1] + w01 * texture[r0, c1, 1] + w10 * texture[r1, c0, 1] + w11 * texture[r1, c1, 1]
        s2 += w00 * texture[r0, c0, 2] + w01 * texture[r0, c1, 2] + w10 * texture[r1, c0, 2] + w11 * texture[r1, c1, 2]
        s3 += w00 * texture[r0, c0, 3] + w01 * texture[r0, c1, 3] + w10 * texture[r1, c0, 3] + w11 * texture[r1, c1, 3]
    factor = (1.0 - surface[6] * _shaded(shade, far * dx, far * dy, camera[4])) * (0.55 if face else 1.0)
    u, v = int((camera[0] + far * dx) * 40.0), int((camera[1] + far * dy) * 40.0)
    fleck = noises[1, u & 1023, v & 1023] - 128.0
    if far < 12.0:
        factor *= 1.0 + 0.0016 * (1.0 - far / 12.0) * (noises[0, u & 1023, v & 1023] - 128.0)
    _dress(s0 / samples, s1 / samples, s2 / samples, s3 / samples, fleck, surface, factor, out)
    return far
