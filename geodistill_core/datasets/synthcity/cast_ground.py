# SPDX-License-Identifier: Apache-2.0
"""The ground in a cast column: texture averaged over the pixel's footprint, kerbs, shade, snow."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.datasets.synthcity.kernel import kernel
from geodistill_core.types import Array

KERB_M = 0.12
_TEXEL_M = 0.125


@kernel
def _reflect(i: int, n: int) -> int:
    """Mirror an index at the edges: the world is seen reversed beyond the city."""
    if i < 0:
        i = -1 - i
    if i >= n:
        i = 2 * n - 1 - i
    return min(max(i, 0), n - 1)


@kernel
def _corners(x: float, y: float, n: int) -> tuple[int, int, int, int, float, float]:
    """The four texels round a point in pixel-centre coordinates and the bilinear fractions."""
    fx, fy = math.floor(x), math.floor(y)
    c0, r0 = int(fx), int(fy)
    c1, r1 = c0 + 1, r0 + 1
    if c0 < 0 or r0 < 0 or c1 >= n or r1 >= n:
        return _reflect(c0, n), _reflect(c1, n), _reflect(r0, n), _reflect(r1, n), x - fx, y - fy
    return c0, c1, r0, r1, x - fx, y - fy


@kernel
def _raised(kerbs: Array, east: float, north: float, half: float) -> bool:
    c0, c1, r0, r1, ax, ay = _corners(
        (east + half) * (1 / _TEXEL_M) - 0.5, (half - north) * (1 / _TEXEL_M) - 0.5, kerbs.shape[0]
    )
    top = kerbs[r0, c0] * (1 - ax) + kerbs[r0, c1] * ax
    bottom = kerbs[r1, c0] * (1 - ax) + kerbs[r1, c1] * ax
    return bool(top * (1 - ay) + bottom * ay > 127.5)


@kernel
def _shaded(shade: Array, east: float, north: float, half: float) -> float:
    """Shade at metres from the camera, 0..1; beyond the square a middling value."""
    n = shade.shape[0]
    scale = 0.5 * n / half
    x, y = (east + half) * scale - 0.5, (half - north) * scale - 0.5
    c, r = math.floor(x), math.floor(y)
    if c < 0 or r < 0 or c + 1 >= n or r + 1 >= n:
        return 0.25
    ax, ay = x - c, y - r
    top = shade[r, c] * (1 - ax) + shade[r, c + 1] * ax
    bottom = shade[r + 1, c] * (1 - ax) + shade[r + 1, c + 1] * ax
    return float((top * (1 - ay) + bottom * ay) * (1.0 / 255.0))


@kernel
def _average(
    texture: Array,
    texel: float,
    camera: Array,
    dx: float,
    dy: float,
    first: float,
    stride: float,
    samples: int,
) -> tuple[float, float, float, float]:
    """Mean of `samples` bilinear lookups at distances first, first + stride, ..."""
    n = texture.shape[0]
    scale = 1.0 / texel
    x, y = (
        (camera[0] + first * dx + camera[3]) * scale - 0.5,
        (camera[3] - camera[1] - first * dy) * scale - 0.5,
    )
    sx, sy = stride * dx * scale, -stride * dy * scale
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    for _ in range(samples):
        c0, c1, r0, r1, ax, ay = _corners(x, y, n)
        w11 = ax * ay
        w01, w10 = ax - w11, ay - w11
        w00 = 1.0 - ax - w10
        s0 += w00 * texture[r0, c0, 0] + w01 * texture[r0, c1, 0] + w10 * texture[r1, c0, 0] + w11 * texture[r1, c1, 0]
        s1 += w00 * texture[r0, c0, 1] + w01 * texture[r0, c1, 1] + w10 * texture[r1, c0, 1] + w11 * texture[r1, c1, 1]
        s2 += w00 * texture[r0, c0, 2] + w01 * texture[r0, c1, 2] + w10 * texture[r1, c0, 2] + w11 * texture[r1, c1, 2]
        s3 += w00 * texture[r0, c0, 3] + w01 * texture[r0, c1, 3] + w10 * texture[r1, c0, 3] + w11 * texture[r1, c1, 3]
        x += sx
        y += sy
    share = 1.0 / samples
    return s0 * share, s1 * share, s2 * share, s3 * share


# Columns of the row table: distance on the road, distance on a sidewalk, radial footprint, pyramid level,
# samples, haze, whether columns may be interpolated
ROW_COLUMNS = 7
_SMOOTH_M = 0.018


@kernel
def row_table(tans: Array, height: float, step: float, az_step: float, visibility: float) -> Array:
    """What a row needs in every column: [rows, 7]; the distance is 0 above the horizon."""
    table = np.zeros((tans.shape[0], ROW_COLUMNS))
    for row in range(tans.shape[0]):
        table[row, 5], table[row, 6] = 1.0, 1.0
        if tans[row] >= -0.003:
            continue
        far = -height / tans[row]
        radial = min(40.0, far / height * math.sqrt(far * far + height * height) * step)
        coarse = max(far * az_step / 1.4, radial / 12.0)
        level = 3 if coarse > 0.5 else (2 if coarse > 0.25 else (1 if coarse > 0.125 else 0))
        table[row, 0], table[row, 1], table[row, 2] = far, far * (height - KERB_M) / height, radial
        table[row, 3], table[row, 4] = level, min(16, math.ceil(radial / (_TEXEL_M * 2**level)))
        table[row, 5] = math.exp(-far / visibility)
        table[row, 6] = 1.0 if far * az_step < _SMOOTH_M else 0.0
    return table


@kernel
def ground_colour(
    camera: Array, dx: float, dy: float, table: Array, row: int, level0: Array, level1: Array, level2: Array,
    level3: Array, kerbs: Array, shade: Array, noises: Array, surface: Array,
) -> tuple[float, float, float]:  # fmt: skip
    """Colour of the ground in direction (dx, dy) at a row below the horizon."""
    far, near = table[row, 0], table[row, 1]
    factor = 1.0
    if far < 60.0:
        if _raised(kerbs, camera[0] + near * dx, camera[1] + near * dy, camera[3]):
            far = near
        elif _raised(kerbs, camera[0] + far * dx, camera[1] + far * dy, camera[3]):
            factor = 0.55
    samples, level = int(table[row, 4]), int(table[row, 3])
    stride = table[row, 2] / samples
    first = far - 0.5 * (samples - 1) * stride
    if level == 0:
        r, g, b, w = _average(level0, 0.125, camera, dx, dy, first, stride, samples)
    elif level == 1:
        r, g, b, w = _average(level1, 0.25, camera, dx, dy, first, stride, samples)
    elif level == 2:
        r, g, b, w = _average(level2, 0.5, camera, dx, dy, first, stride, samples)
    else:
        r, g, b, w = _average(level3, 1.0, camera, dx, dy, first, stride, samples)
    factor *= 1.0 - surface[6] * _shaded(shade, far * dx, far * dy, camera[4])
    leaf = min(1.0, max(0.0, (w - 170.0) * 0.0125))
    if far < 12.0 or surface[4] > 0.0:
        u, v = int((camera[0] + far * dx) * 56.0), int((camera[1] + far * dy) * 56.0)
        fleck = noises[1, u & 1023, v & 1023] - 128.0
        grain = noises[0, u & 1023, v & 1023] - 128.0
        factor *= 1.0 + max(0.0, 1.0 - far / 12.0) * (0.0007 * grain + 0.0002 * fleck)
        if surface[4] > 0.0:
            drift = noises[1, (u >> 3) & 1023, (v >> 3) & 1023] - 128.0
            cover = min(0.96, max(0.0, (w / 128.0 + drift / 160.0 - 1.3 + 2.0 * surface[4]) * 0.8))
            r, g, b = r + cover * (232.0 - r), g + cover * (236.0 - g), b + cover * (242.0 - b)
            leaf *= 1.0 - cover
    factor *= 1.0 - 0.35 * surface[5] * (1.0 - 0.5 * leaf)
    r *= factor * (1.0 + leaf * (surface[1] - 1.0))
    g *= factor * (1.0 + leaf * (surface[2] - 1.0))
    b *= factor * (1.0 + leaf * (surface[3] - 1.0))
    return r, g, b
