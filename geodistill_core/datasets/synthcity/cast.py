# SPDX-License-Identifier: Apache-2.0
"""Ray casting of a gravity-aligned spherical window, one column (azimuth) at a time.

Everything stands on the ground, so a column is a problem in the vertical plane: boxes become intervals of distance, each
filling an interval of rows; the ground fills what is left below the horizon, the sky what is left above.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from geodistill_core.datasets.synthcity.cast_ground import ground_row
from geodistill_core.datasets.synthcity.facades import box_colour
from geodistill_core.types import Array

# Box columns: east, north (from the camera), cos, sin, half length, half width, bottom, top (from the ground),
# wall rgb, top rgb, kind (0 building, 1 car, 2 car cabin), pitched, tone, azimuth, half angle, distance
BOX_COLUMNS = 20
# Crown columns: east, north, middle height, radius, half height, rgb, tone, azimuth, half angle, distance
CROWN_COLUMNS = 12
# Post columns: east, north, radius, height, rgb, distance
POST_COLUMNS = 8
FAR_M = 400.0


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _span(box: Array, dx: float, dy: float) -> tuple[float, float, int, float]:
    """Entry and exit distance of a column's ray, the face it enters (0..3) and the position along that face."""
    c, s = box[2], box[3]
    ox, oy = -(box[0] * c + box[1] * s), -(-box[0] * s + box[1] * c)
    ux, uy = dx * c + dy * s, -dx * s + dy * c
    if abs(ux) < 1e-9:
        ux = 1e-9
    if abs(uy) < 1e-9:
        uy = 1e-9
    a0, a1 = (-box[4] - ox) / ux, (box[4] - ox) / ux
    b0, b1 = (-box[5] - oy) / uy, (box[5] - oy) / uy
    near_a, far_a = min(a0, a1), max(a0, a1)
    near_b, far_b = min(b0, b1), max(b0, b1)
    enter, leave = max(near_a, near_b), min(far_a, far_b)
    if near_a > near_b:
        return enter, leave, (0 if ux < 0 else 1), oy + enter * uy
    return enter, leave, (2 if uy < 0 else 3), ox + enter * ux


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rows(bottom: float, top: float, distance: float, el_top: float, step: float, count: int) -> tuple[int, int]:
    """Rows [first, last] whose centres see heights bottom..top (relative to the camera) at a distance."""
    first = int(math.ceil((el_top - math.atan(top / distance)) / step - 0.5))
    last = int(math.floor((el_top - math.atan(bottom / distance)) / step - 0.5))
    return max(first, 0), min(last, count - 1)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _haze(out: Array, column: int, row: int, distance: float, visibility: float, sky: Array) -> None:
    keep = math.exp(-distance / visibility)
    for k in range(3):
        out[column, row, k] = keep * out[column, row, k] + (1.0 - keep) * sky[3 + k]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _cast_box(
    box: Array, dx: float, dy: float, cam: float, tans: Array, el_top: float, step: float, az_step: float,
    light: Array, noises: Array, depth: Array, out: Array, column: int,
) -> None:  # fmt: skip
    enter, leave, face, along = _span(box, dx, dy)
    if leave <= enter or enter < 0.3 or enter > FAR_M:
        return
    count = tans.shape[0]
    first, last = _rows(box[6] - cam, box[7] - cam, enter, el_top, step, count)
    sign = 1.0 if face % 2 == 0 else -1.0
    if face < 2:
        nx, ny = sign * box[2], sign * box[3]
    else:
        nx, ny = -sign * box[3], sign * box[2]
    lit = light[3] + light[4] * max(0.0, nx * light[0] + ny * light[1])
    for row in range(first, last + 1):
        if depth[row] <= enter:
            continue
        depth[row] = enter
        box_colour(box, face, along, cam + enter * tans[row], enter * step, enter * az_step, lit, noises, out[column, row])
    if box[7] < cam or box[15] > 0:
        _cast_top(box, enter, leave, cam, el_top, step, light, depth, out, column, count)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _cast_top(
    box: Array, enter: float, leave: float, cam: float, el_top: float, step: float, light: Array,
    depth: Array, out: Array, column: int, count: int,
) -> None:  # fmt: skip
    """The flat top of what is lower than the camera, or the slope of a pitched roof."""
    rise = 0.55 * min(box[4], box[5]) if box[15] > 0 else 0.0
    reach = 0.5 * (enter + leave) if rise > 0.0 else leave
    low = math.atan((box[7] - cam) / enter)
    high = math.atan((box[7] + rise - cam) / reach)
    if high <= low:
        return
    first = max(0, int(math.ceil((el_top - high) / step - 0.5)))
    last = min(count - 1, int(math.floor((el_top - low) / step - 0.5)))
    shade = light[3] + light[4] * (0.75 if rise > 0.0 else 0.95)
    for row in range(first, last + 1):
        if depth[row] > enter:
            depth[row] = enter
            for k in range(3):
                out[column, row, k] = min(255.0, box[11 + k] * shade)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _cast_crown(
    crown: Array, dx: float, dy: float, cam: float, tans: Array, el_top: float, step: float, bare: float,
    light: Array, noises: Array, depth: Array, out: Array, column: int,
) -> None:  # fmt: skip
    middle = crown[0] * dx + crown[1] * dy
    across = crown[0] * dy - crown[1] * dx
    radius, tall = crown[3], crown[4]
    chord_sq = radius * radius - across * across
    if chord_sq <= 0.0 or middle + radius < 0.5:
        return
    chord = math.sqrt(chord_sq)
    z0 = crown[2] - cam
    half = tall * chord / radius
    near, far = max(0.4, middle - chord), max(0.5, middle + chord)
    top = (z0 + half) / (near if z0 + half > 0 else far)
    bottom = (z0 - half) / (far if z0 - half > 0 else near)
    first, last = _rows(bottom, top, 1.0, el_top, step, tans.shape[0])
    k2 = (chord / max(half, 1e-6)) ** 2
    seed = int(crown[8] * 1000.0)
    for row in range(first, last + 1):
        t = tans[row]
        qa, qb = 1.0 + k2 * t * t, middle + k2 * t * z0
        qc = middle * middle + k2 * z0 * z0 - chord_sq
        disc = qb * qb - qa * qc
        if disc <= 0.0:
            continue
        d = (qb - math.sqrt(disc)) / qa
        if d < 0.3 or d >= depth[row]:
            continue
        z = d * t - z0
        u, v = int(across * 16.0) + seed, int((z + d * 0.5) * 16.0) + seed
        leaves = noises[0, u & 1023, v & 1023] * 0.35 + noises[1, u & 1023, v & 1023] * 0.65 - 128.0
        edge = disc / (qb * qb - qa * (middle * middle + k2 * z0 * z0 - chord_sq) + qa * chord_sq * 0.25)
        if leaves < -26.0 + 58.0 * bare - 0.0 * edge or disc < (0.05 + 0.004 * leaves) * qa * chord_sq:
            continue
        depth[row] = d
        px, py, pz = (d - middle) * dx + across * dy, (d - middle) * dy - across * dx, z / tall * radius
        facing = (px * light[0] + py * light[1] + pz * light[2]) / radius
        shade = light[3] * (0.62 + 0.3 * z / tall) + light[4] * max(0.0, 0.2 + 0.75 * facing)
        shade *= 1.0 + 0.006 * leaves
        for k in range(3):
            out[column, row, k] = min(255.0, max(0.0, crown[5 + k] * shade))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _cast_post(
    post: Array, dx: float, dy: float, cam: float, el_top: float, step: float, az_step: float, light: Array,
    depth: Array, out: Array, column: int,
) -> None:  # fmt: skip
    middle = post[0] * dx + post[1] * dy
    if middle < 0.4:
        return
    across = (post[0] * dy - post[1] * dx) / max(post[2], 0.4 * az_step * middle)
    if abs(across) >= 1.0:
        return
    first, last = _rows(-cam, post[3] - cam, middle, el_top, step, depth.shape[0])
    shade = light[3] + light[4] * 0.5 * (1.0 + across * (light[1] * dx - light[0] * dy))
    for row in range(first, last + 1):
        if depth[row] > middle:
            depth[row] = middle
            for k in range(3):
                out[column, row, k] = min(255.0, post[4 + k] * shade)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sky_row(el: float, azimuth: float, sky: Array, noises: Array, light: Array, out: Array) -> None:
    """Gradient, clouds and the sun's glow. `sky`: zenith rgb, horizon rgb, cloud rgb, cloud cover."""
    h = max(0.0, math.sin(el))
    blend = min(1.0, h * 1.6) ** 0.6
    u, v = int(azimuth * 163.0 * 4), int(900.0 / (0.25 + h))
    n = noises[3, u & 1023, v & 1023] * 0.55 + noises[2, (u * 2) & 1023, (v * 2) & 1023] * 0.45
    cloud = min(1.0, max(0.0, (n - 190.0 + 150.0 * sky[9]) / 60.0)) * min(1.0, h * 5.0)
    away = math.cos(el) * math.cos(azimuth - light[5]) * light[6] + math.sin(el) * light[2]
    glow = light[4] * (0.6 * max(0.0, away) ** 24 + (3.0 if away > 0.9994 else 0.0))
    for k in range(3):
        value = sky[3 + k] + (sky[k] - sky[3 + k]) * blend
        value += (sky[6 + k] - value) * cloud
        out[k] = min(255.0, value * (1.0 + glow))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _visible(azimuth: float, centre: float, half: float) -> bool:
    return half >= math.pi or abs((azimuth - centre + math.pi) % (2 * math.pi) - math.pi) <= half


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def cast(
    camera: Array, azimuths: Array, el_top: float, step: float, az_step: float, boxes: Array, crowns: Array,
    posts: Array, level0: Array, level1: Array, level2: Array, level3: Array, raised: Array, shade: Array,
    noises: Array, light: Array, sky: Array, surface: Array, out: Array,
) -> None:  # fmt: skip
    """Fill `out` (float32 [columns, rows, 3]) with the window seen from `camera` (east, north, height, half city,
    half shadow square). `azimuths` are ENU directions of the columns, rows descend from `el_top` by `step`.

    `light`: sun direction xyz, ambient, sun strength, azimuth, cos elevation. `surface`: visibility, foliage rgb, snow,
    wet, shadow, bare.
    """
    rows = out.shape[1]
    tans = np.empty(rows)
    for row in range(rows):
        tans[row] = math.tan(el_top - (row + 0.5) * step)
    depth = np.empty(rows)
    for column in range(azimuths.shape[0]):
        azimuth = azimuths[column]
        dx, dy = math.cos(azimuth), math.sin(azimuth)
        depth[:] = 1e9
        for i in range(boxes.shape[0]):
            if _visible(azimuth, boxes[i, 17], boxes[i, 18]):
                _cast_box(boxes[i], dx, dy, camera[2], tans, el_top, step, az_step, light, noises, depth, out, column)
        for i in range(posts.shape[0]):
            _cast_post(posts[i], dx, dy, camera[2], el_top, step, az_step, light, depth, out, column)
        for i in range(crowns.shape[0]):
            if _visible(azimuth, crowns[i, 9], crowns[i, 10]):
                _cast_crown(
                    crowns[i], dx, dy, camera[2], tans, el_top, step, surface[7], light, noises, depth, out, column
                )
        for row in range(rows):
            el = el_top - (row + 0.5) * step
            if el < -0.003 and depth[row] > camera[2] / -tans[row]:
                depth[row] = ground_row(
                    camera, dx, dy, tans[row], step, az_step, level0, level1, level2, level3, raised, shade,
                    noises, light, surface, out[column, row],
                )  # fmt: skip
            elif depth[row] > 1e8:
                _sky_row(max(el, 0.0), azimuth, sky, noises, light, out[column, row])
                continue
            _haze(out, column, row, depth[row], surface[0], sky)
