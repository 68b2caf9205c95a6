# SPDX-License-Identifier: Apache-2.0
"""Ray casting of a gravity-aligned spherical window, one column (azimuth) at a time.

Everything stands on the ground, so a column is a problem in the vertical plane: boxes become intervals of
distance, each filling an interval of rows; the ground fills what is left below the horizon, the sky what is
left above.
"""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.datasets.synthcity.cast_ground import ground_colour, row_table
from geodistill_core.datasets.synthcity.cast_sky import sky_colour
from geodistill_core.datasets.synthcity.facades import box_colour
from geodistill_core.datasets.synthcity.kernel import kernel
from geodistill_core.types import Array

# Sector: unit direction (east, north) and cosine of the half angle under which the camera sees a thing.
# Box columns: east, north (from the camera), cos, sin, half length, half width, bottom, top (from the ground),
# wall rgb, top rgb, kind (0 building, 1 car, 2 car cabin), pitched, tone, sector
BOX_COLUMNS = 20
# Crown columns: east, north, middle height, radius, half height, rgb, tone, sector
CROWN_COLUMNS = 12
# Post columns: east, north, radius, height, rgb, sector
POST_COLUMNS = 10
FAR_M = 400.0
STRIDE = 4
_NOTHING = 1e9


@kernel
def _span(boxes: Array, i: int, dx: float, dy: float) -> tuple[float, float, int, float, float, float]:
    """Where a column's ray meets a box: entry and exit distance, face entered (0..3), position along that
    face, and the ray's offset and slope across the box's width."""
    c, s = boxes[i, 2], boxes[i, 3]
    ox, oy = -(boxes[i, 0] * c + boxes[i, 1] * s), -(-boxes[i, 0] * s + boxes[i, 1] * c)
    ux, uy = dx * c + dy * s, -dx * s + dy * c
    if abs(ux) < 1e-9:
        ux = 1e-9
    if abs(uy) < 1e-9:
        uy = 1e-9
    a0, a1 = (-boxes[i, 4] - ox) / ux, (boxes[i, 4] - ox) / ux
    b0, b1 = (-boxes[i, 5] - oy) / uy, (boxes[i, 5] - oy) / uy
    near_a, far_a = min(a0, a1), max(a0, a1)
    near_b, far_b = min(b0, b1), max(b0, b1)
    enter, leave = max(near_a, near_b), min(far_a, far_b)
    if boxes[i, 4] >= boxes[i, 5]:
        across, slope = oy, uy
    else:
        across, slope = ox, ux
    if near_a > near_b:
        return enter, leave, (0 if ux < 0 else 1), oy + enter * uy, across, slope
    return enter, leave, (2 if uy < 0 else 3), ox + enter * ux, across, slope


@kernel
def _first(tangent: float, el_top: float, step: float) -> int:
    """First row whose centre lies at or below an elevation."""
    return max(0, math.ceil((el_top - math.atan(tangent)) / step - 0.5))


@kernel
def _last(tangent: float, el_top: float, step: float, count: int) -> int:
    """Last row whose centre lies at or above an elevation."""
    return min(count - 1, math.floor((el_top - math.atan(tangent)) / step - 0.5))


@kernel
def _put(out: Array, column: int, row: int, r: float, g: float, b: float, keep: float, sky: Array) -> None:
    """Write a colour seen through haze."""
    out[column, row, 0] = min(255.0, max(0.0, keep * r + (1.0 - keep) * sky[3]))
    out[column, row, 1] = min(255.0, max(0.0, keep * g + (1.0 - keep) * sky[4]))
    out[column, row, 2] = min(255.0, max(0.0, keep * b + (1.0 - keep) * sky[5]))


@kernel
def _cast_box(
    boxes: Array, i: int, dx: float, dy: float, cam: float, tans: Array, el_top: float, step: float,
    az_step: float,
    light: Array, noises: Array, depth: Array, visibility: float, sky: Array, out: Array, column: int,
) -> None:  # fmt: skip
    enter, leave, face, along, across, slope = _span(boxes, i, dx, dy)
    if leave <= enter or enter < 0.3 or enter > FAR_M:
        return
    top = boxes[i, 7]
    rise, reach = 0.0, leave
    if boxes[i, 15] > 0:
        width = min(boxes[i, 4], boxes[i, 5])
        rise = 0.6 * width
        top += rise * max(0.0, 1.0 - abs(across + enter * slope) / width)
        ridge = -across / slope
        reach = ridge if enter < ridge < leave else leave
    first = _first((top - cam) / enter, el_top, step)
    last = _last((boxes[i, 6] - cam) / enter, el_top, step, tans.shape[0])
    sign = 1.0 if face % 2 == 0 else -1.0
    if face < 2:
        nx, ny = sign * boxes[i, 2], sign * boxes[i, 3]
    else:
        nx, ny = -sign * boxes[i, 3], sign * boxes[i, 2]
    lit = light[3] + light[4] * max(0.0, nx * light[0] + ny * light[1])
    keep = math.exp(-enter / visibility)
    for row in range(first, last + 1):
        if depth[row] <= enter:
            continue
        depth[row] = enter
        z = cam + enter * tans[row]
        r, g, b = box_colour(boxes, i, face, along, z, enter * step, enter * az_step, lit, noises)
        _put(out, column, row, r, g, b, keep, sky)
    if top >= cam and rise == 0.0:
        return
    crest = boxes[i, 7]
    if rise > 0.0:
        crest += rise * max(0.0, 1.0 - abs(across + reach * slope) / min(boxes[i, 4], boxes[i, 5]))
    shade = light[3] + light[4] * (0.7 if rise > 0.0 else 0.95)
    r, g, b = boxes[i, 11] * shade, boxes[i, 12] * shade, boxes[i, 13] * shade
    upper = _first((crest - cam) / reach, el_top, step)
    for row in range(upper, min(first, tans.shape[0])):
        if depth[row] > enter:
            depth[row] = enter
            _put(out, column, row, r, g, b, keep, sky)


@kernel
def _cast_crown(
    crowns: Array, i: int, dx: float, dy: float, cam: float, tans: Array, el_top: float, step: float,
    bare: float,
    light: Array, noises: Array, depth: Array, visibility: float, sky: Array, out: Array, column: int,
) -> None:  # fmt: skip
    """An ellipsoid of leaves: the column cuts it in an ellipse; noise frays its edge and opens holes."""
    middle = crowns[i, 0] * dx + crowns[i, 1] * dy
    across = crowns[i, 0] * dy - crowns[i, 1] * dx
    radius, tall = crowns[i, 3], crowns[i, 4]
    chord_sq = radius * radius - across * across
    if chord_sq <= 0.0 or middle + radius < 0.5:
        return
    chord = math.sqrt(chord_sq)
    z0 = crowns[i, 2] - cam
    half = tall * chord / radius
    near, far = max(0.4, middle - chord), max(0.5, middle + chord)
    first = _first((z0 + half) / (near if z0 + half > 0 else far), el_top, step)
    last = _last((z0 - half) / (far if z0 - half > 0 else near), el_top, step, tans.shape[0])
    k2 = (radius / tall) ** 2
    seed = int(crowns[i, 8] * 1000.0)
    c = middle * middle + k2 * z0 * z0 - chord_sq
    keep = math.exp(-max(middle, 0.0) / visibility)
    for row in range(first, last + 1):
        t = tans[row]
        qa, qb = 1.0 + k2 * t * t, middle + k2 * t * z0
        disc = qb * qb - qa * c
        if disc <= 0.0:
            continue
        d = (qb - math.sqrt(disc)) / qa
        if d < 0.3 or d >= depth[row]:
            continue
        z = d * t - z0
        u, v = int(across * 17.0 + d * 6.0) + seed, int(z * 17.0 + d * 4.0) + seed
        leaves = noises[0, u & 1023, v & 1023] * 0.4 + noises[1, u & 1023, v & 1023] * 0.6 - 128.0
        if leaves < -62.0 + 70.0 * bare or disc < (0.07 + 0.006 * leaves) * qa * chord_sq:
            continue
        depth[row] = d
        px, py, pz = (d - middle) * dx - across * dy, (d - middle) * dy + across * dx, z * radius / tall
        facing = (px * light[0] + py * light[1] + pz * light[2]) / radius
        shade = light[3] * (0.66 + 0.28 * z / tall) + light[4] * max(0.0, 0.22 + 0.75 * facing)
        shade *= 1.0 + 0.007 * leaves
        _put(out, column, row, crowns[i, 5] * shade, crowns[i, 6] * shade, crowns[i, 7] * shade, keep, sky)


@kernel
def _cast_post(
    posts: Array, i: int, dx: float, dy: float, cam: float, el_top: float, step: float, az_step: float,
    light: Array,
    depth: Array, sky: Array, out: Array, column: int,
) -> None:  # fmt: skip
    middle = posts[i, 0] * dx + posts[i, 1] * dy
    if middle < 0.4:
        return
    across = (posts[i, 0] * dy - posts[i, 1] * dx) / max(posts[i, 2], 0.4 * az_step * middle)
    if abs(across) >= 1.0:
        return
    first = _first((posts[i, 3] - cam) / middle, el_top, step)
    last = _last(-cam / middle, el_top, step, depth.shape[0])
    shade = light[3] + light[4] * 0.5 * (1.0 + across * (light[1] * dx - light[0] * dy))
    for row in range(first, last + 1):
        if depth[row] > middle:
            depth[row] = middle
            _put(out, column, row, posts[i, 4] * shade, posts[i, 5] * shade, posts[i, 6] * shade, 1.0, sky)


@kernel
def _visible(table: Array, i: int, first: int, dx: float, dy: float) -> bool:
    """Whether a direction lies in a thing's sector (columns `first` to `first` + 2 of its table)."""
    return bool(table[i, first] * dx + table[i, first + 1] * dy >= table[i, first + 2])


@kernel
def _cast_things(
    camera: Array, dx: float, dy: float, tans: Array, el_top: float, step: float,
    az_step: float,
    boxes: Array, crowns: Array, posts: Array, noises: Array, light: Array, sky: Array, surface: Array,
    depth: Array,
    out: Array, column: int,
) -> None:  # fmt: skip
    for i in range(boxes.shape[0]):
        if _visible(boxes, i, 17, dx, dy):
            _cast_box(
                boxes, i, dx, dy, camera[2], tans, el_top, step, az_step, light, noises, depth, surface[0],
                sky,
                out, column,
            )  # fmt: skip
    for i in range(posts.shape[0]):
        if _visible(posts, i, 7, dx, dy):
            _cast_post(posts, i, dx, dy, camera[2], el_top, step, az_step, light, depth, sky, out, column)
    for i in range(crowns.shape[0]):
        if _visible(crowns, i, 9, dx, dy):
            _cast_crown(
                crowns, i, dx, dy, camera[2], tans, el_top, step, surface[7], light, noises, depth,
                surface[0], sky,
                out, column,
            )  # fmt: skip


@kernel
def cast(
    camera: Array, azimuths: Array, el_top: float, step: float, az_step: float, boxes: Array, crowns: Array,
    posts: Array, level0: Array, level1: Array, level2: Array, level3: Array, kerbs: Array, shade: Array,
    noises: Array, light: Array, sky: Array, surface: Array, out: Array,
) -> None:  # fmt: skip
    """Fill `out` (uint8 [columns, rows, 3]) with the window seen from `camera` (east, north, height, half
    city, half shadow square). `azimuths` are ENU directions of the columns, `az_step` apart and descending;
    rows descend from `el_top` by `step`.

    `light`: sun direction xyz, ambient, sun strength. `surface`: visibility, foliage rgb, snow, wet, shadow,
    bare. Sky and the oversampled ground round the nadir are computed in every fourth column and interpolated.
    """
    rows = out.shape[1]
    tans, depth = np.tan(el_top - (np.arange(rows) + 0.5) * step), np.empty(rows)
    table = row_table(tans, camera[2], step, az_step, surface[0])
    left, right = np.zeros((rows, 3)), np.zeros((rows, 3))
    for column in range(-STRIDE, azimuths.shape[0]):
        if column % STRIDE == 0:
            azimuth = azimuths[0] - (column + STRIDE) * az_step
            dx, dy = math.cos(azimuth), math.sin(azimuth)
            for row in range(rows):
                left[row, 0], left[row, 1], left[row, 2] = right[row, 0], right[row, 1], right[row, 2]
                if table[row, 0] == 0.0:
                    r, g, b = sky_colour(el_top - (row + 0.5) * step, tans[row], dx, dy, sky, noises, light)
                elif table[row, 6] > 0.0:
                    r, g, b = ground_colour(
                        camera,
                        dx,
                        dy,
                        table,
                        row,
                        level0,
                        level1,
                        level2,
                        level3,
                        kerbs,
                        shade,
                        noises,
                        surface,
                    )
                else:
                    continue
                right[row, 0], right[row, 1], right[row, 2] = r, g, b
        if column < 0:
            continue
        azimuth = azimuths[column]
        dx, dy = math.cos(azimuth), math.sin(azimuth)
        depth[:] = _NOTHING
        _cast_things(
            camera, dx, dy, tans, el_top, step, az_step, boxes, crowns, posts, noises, light, sky,
            surface,
            depth, out, column,
        )  # fmt: skip
        f = (column % STRIDE) / STRIDE
        for row in range(rows):
            distance = table[row, 0] if table[row, 0] > 0.0 else _NOTHING
            if depth[row] < distance:
                continue
            if table[row, 6] > 0.0:
                r = left[row, 0] + f * (right[row, 0] - left[row, 0])
                g = left[row, 1] + f * (right[row, 1] - left[row, 1])
                b = left[row, 2] + f * (right[row, 2] - left[row, 2])
            else:
                r, g, b = ground_colour(
                    camera, dx, dy, table, row, level0, level1, level2, level3, kerbs, shade, noises, surface
                )
            _put(out, column, row, r, g, b, table[row, 5], sky)
