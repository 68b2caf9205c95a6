# SPDX-License-Identifier: Apache-2.0
"""Ground textures: the city's surface painted from above, once for each view in its own materials."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from geodistill_core.datasets.synthcity import noise
from geodistill_core.datasets.synthcity.blocks import DRIVEWAY, GRAVEL, LAWN, LOT, PAVED, WATER
from geodistill_core.datasets.synthcity.kernel import kernel
from geodistill_core.datasets.synthcity.paint import TINT, WHITE, YELLOW, Paint
from geodistill_core.datasets.synthcity.styles import Style
from geodistill_core.datasets.synthcity.terrain import to_pixels
from geodistill_core.types import Array

RESOLUTION_M = 0.125
ASPHALT, KERB, SIDEWALK, GUTTER = 0, 8, 9, 10
MATERIALS = 11
_BLOCK = {"grass": LAWN, "paved": PAVED, "gravel": GRAVEL}


@dataclass(frozen=True, slots=True)
class Surface:
    """Shared geometry of the ground, north up.

    `distance` to the kerb (float32 metres, negative on the road) and `medians` (uint8) in cells of 0.25 m, `material`
    laid on purpose (0 = none) and `wear` (128 = none, both uint8) of 0.125 m.
    """

    distance: Array
    medians: Array
    material: Array
    wear: Array

    def fine_distance(self) -> Array:
        """Kerb distance at texture resolution."""
        return np.asarray(cv2.resize(self.distance, self.wear.shape[::-1], interpolation=cv2.INTER_LINEAR))


@kernel
def _material(d: float, override: int, median: int, verge: float, walk: float, block: int) -> int:
    """Material at a distance from the kerb, unless something was laid there on purpose."""
    if override != 0:
        return override
    outside = 1 if d < verge or median != 0 else (9 if d < verge + walk else block)
    if d < 0.0:
        return 0 if d < -0.35 else 10
    return 8 if d < 0.18 else outside


@kernel
def _fill(
    distance: Array, material: Array, medians: Array, wear: Array, noises: Array, palette: Array,
    shifts: Array,
    verge: float, walk: float, block: int, wear_gain: float, out: Array,
) -> None:  # fmt: skip
    height, width = distance.shape
    for r in range(height):
        for c in range(width):
            m = _material(distance[r, c], material[r, c], medians[r, c], verge, walk, block)
            fine = noises[0, (r + shifts[0]) & 1023, (c + shifts[1]) & 1023] - 128.0
            middle = noises[1, (r + shifts[2]) & 1023, (c + shifts[3]) & 1023] - 128.0
            coarse = noises[2, (r + shifts[4]) & 1023, (c + shifts[5]) & 1023] - 128.0
            broad = noises[3, (r + shifts[6]) & 1023, (c + shifts[7]) & 1023] - 128.0
            gain = 1.0 + (palette[m, 4] * fine + palette[m, 5] * middle + palette[m, 6] * (coarse + broad)) / 128.0
            if m in (0, 4, 5):
                gain *= 1.0 + wear_gain * (wear[r, c] - 128.0) / 128.0
            for k in range(3):
                out[r, c, k] = min(255.0, max(0.0, palette[m, k] * gain))
            out[r, c, 3] = palette[m, 3]


@kernel
def _lay_paint(out: Array, cover: Array, noises: Array, colour: Array, wear: float, dr: int, dc: int) -> None:
    height, width = cover.shape
    for r in range(height):
        for c in range(width):
            a = cover[r, c]
            if a == 0:
                continue
            n = noises[1, (r + dr) & 1023, (c + dc) & 1023] * 0.5 + noises[2, (r + dc) & 1023, (c + dr) & 1023] * 0.5
            f = noises[0, (r + dc) & 1023, (c + dr) & 1023] - 128.0
            keep = 1.0 - wear * max(0.0, (n - 120.0) / 60.0)
            alpha = a / 255.0 * min(1.0, max(0.15, keep))
            for k in range(3):
                value = colour[k] * (1.0 + 0.05 * f / 40.0)
                out[r, c, k] = min(255.0, max(0.0, out[r, c, k] * (1.0 - alpha) + alpha * value))


def paint_cover(paint: Paint, colour: int, skip: Array, size_m: float) -> Array:
    """Anti-aliased coverage (uint8) of one colour's markings; groups flagged in `skip` are left out."""
    fine = RESOLUTION_M / 2
    mask = np.zeros((round(size_m / fine),) * 2, np.uint8)
    for polygon, c, group in zip(paint.polygons, paint.colours, paint.groups, strict=True):
        if c == colour and not skip[group]:
            cv2.fillPoly(mask, [to_pixels(polygon, size_m, fine)], 255, shift=6)
    side = round(size_m / RESOLUTION_M)
    return np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA))


def draw_surface(
    distance: Array, medians: Array, patches: list[tuple[Array, int]], rng: np.random.Generator, size_m: float
) -> Surface:
    """Bring the shared geometry to texture resolution and add repairs and manholes."""
    side = round(size_m / RESOLUTION_M)
    full = cv2.resize(distance, (side, side), interpolation=cv2.INTER_LINEAR)
    material = np.zeros((side, side), np.uint8)
    for polygon, kind in sorted(patches, key=lambda p: p[1] != DRIVEWAY):
        cv2.fillPoly(material, [to_pixels(polygon, size_m, RESOLUTION_M)], kind, shift=6)
    material[(full < 0.0) & (material != 0)] = 0
    wear = np.full((side, side), 128, np.uint8)
    for _ in range(int(size_m * 0.9)):
        centre, yaw = rng.uniform(-size_m / 2, size_m / 2, 2), rng.uniform(0, np.pi)
        a, b, tone = rng.uniform(0.6, 5.0), rng.uniform(0.5, 1.6), int(rng.integers(85, 165))
        c, s = np.cos(yaw), np.sin(yaw)
        box = np.array([[a, b], [-a, b], [-a, -b], [a, -b]]) @ np.array([[c, s], [-s, c]]) + centre
        cv2.fillConvexPoly(wear, to_pixels(box, size_m, RESOLUTION_M), tone, cv2.LINE_AA, shift=6)
    for p in to_pixels(rng.uniform(-size_m / 2, size_m / 2, (int(size_m * 1.2), 2)), size_m, RESOLUTION_M):
        cv2.circle(wear, (int(p[0]), int(p[1])), int(0.36 / RESOLUTION_M * 64), 40, -1, cv2.LINE_AA, shift=6)
    return Surface(distance, medians, material, wear)


def _palette(style: Style, rng: np.random.Generator, overhead: bool) -> Array:
    """Materials of one view: rgb, vegetation and snow weight (0..255), fine, middle and coarse noise gain."""
    grey = rng.uniform(*style.asphalt) * (rng.uniform(0.95, 1.15) if overhead else rng.uniform(0.85, 1.1))
    tint = rng.normal(0, 2.0, 3)
    asphalt = [grey + tint[0], grey + tint[1], grey + tint[2]]
    walk = np.array(style.sidewalk) * rng.uniform(0.85, 1.1) + rng.normal(0, 3, 3)
    lot = rng.uniform(0.8, 1.25)
    green = np.array([110, 122, 80]) * rng.uniform(0.75, 1.15) + rng.normal(0, 6, 3)
    f = 0.7 if overhead else 0.42
    table = np.zeros((MATERIALS, 7), np.float32)
    table[ASPHALT] = [*asphalt, 40, 0.16 * f, 0.12 * f, 0.10]
    table[LAWN] = [*green, 255, 0.35 * f, 0.22, 0.22]
    table[PAVED] = [*(walk * 0.92), 90, 0.10 * f, 0.10, 0.16]
    table[GRAVEL] = [*(np.array([150, 142, 128]) * rng.uniform(0.8, 1.1)), 120, 0.22 * f, 0.14, 0.2]
    table[LOT] = [*(np.array(asphalt) * lot), 40, 0.15 * f, 0.12 * f, 0.14]
    table[DRIVEWAY] = [*(np.array([150, 148, 144]) * rng.uniform(0.7, 1.15)), 50, 0.10 * f, 0.10, 0.10]
    table[WATER] = [*(np.array([66, 86, 94]) * rng.uniform(0.7, 1.2)), 0, 0.03, 0.05, 0.08]
    table[KERB] = [*np.minimum(walk * rng.uniform(1.0, 1.2), 230), 70, 0.08 * f, 0.05, 0.05]
    table[SIDEWALK] = [*walk, 90, 0.09 * f, 0.08, 0.10]
    gutter = 0.5 * (np.array(asphalt) + walk) if rng.random() < 0.4 else np.array(asphalt) * 0.9
    table[GUTTER] = [*gutter, 45, 0.12 * f, 0.08, 0.10]
    return table


def _cracks(wear: Array, rng: np.random.Generator, count: int) -> Array:
    """This view's own cracks and oil stains on top of the shared wear."""
    own = wear.copy()
    side = len(own)
    for _ in range(count):
        p = rng.uniform(0, side, 2)
        walk = np.cumsum(rng.normal(0, 1, (14, 2)) * 3 + rng.normal(0, 3.5, 2), axis=0) + p
        tone = int(rng.integers(60, 105)) if rng.random() < 0.8 else 175
        cv2.polylines(own, [np.round(walk * 16).astype(np.int32)], False, tone, 1, cv2.LINE_AA, shift=4)
    for p in rng.uniform(0, side, (count // 2, 2)):
        cv2.ellipse(own, (int(p[0]), int(p[1])), (int(rng.integers(1, 6)), int(rng.integers(1, 9))),
                    float(rng.uniform(0, 180)), 0, 360, int(rng.integers(85, 115)), -1,
                    cv2.LINE_AA)  # fmt: skip
    return own


def bake_ground(
    surface: Surface,
    paint: Paint,
    skip: Array,
    style: Style,
    rng: np.random.Generator,
    size_m: float,
    overhead: bool,
) -> Array:
    """The painted ground, uint8 [H, W, 4] RGB and vegetation/snow weight, north up, 0.125 m per pixel."""
    noises = noise.textures()
    out = np.empty((*surface.wear.shape, 4), np.uint8)
    medians = cv2.resize(surface.medians, surface.wear.shape[::-1], interpolation=cv2.INTER_NEAREST)
    wear = _cracks(surface.wear, rng, int(size_m * 2.2))
    shifts = rng.integers(0, 1024, 8)
    _fill(
        surface.fine_distance(), surface.material, medians, wear, noises, _palette(style, rng, overhead), shifts,
        style.verge_m, style.sidewalk_m, _BLOCK[style.block_material], float(rng.uniform(0.25, 0.6)), out,
    )  # fmt: skip
    out = cv2.GaussianBlur(out, (3, 3), 0.65)
    white = np.array([226, 226, 220]) * rng.uniform(0.86, 1.08)
    colours = {
        TINT: np.array([[92, 128, 92], [150, 84, 70]][int(style.centre_yellow)]) * rng.uniform(0.8, 1.1),
        YELLOW: np.array([222, 172, 62]) * rng.uniform(0.85, 1.08),
        WHITE: np.minimum(white, 250),
    }
    for colour, rgb in colours.items():
        if colour in paint.colours:
            cover = paint_cover(paint, colour, skip, size_m)
            dr, dc = (int(v) for v in rng.integers(0, 1024, 2))
            _lay_paint(out, cover, noises, rgb.astype(np.float32), float(rng.uniform(0.1, 0.7)), dr, dc)
    return out
