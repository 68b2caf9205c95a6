# SPDX-License-Identifier: Apache-2.0
"""The overhead view: cut from the map's texture, lit, peopled with the map's own cars, and photographed."""

from __future__ import annotations

import math

import cv2
import numpy as np

from geodistill_core.datasets.synthcity import noise
from geodistill_core.datasets.synthcity.bake import RESOLUTION_M
from geodistill_core.datasets.synthcity.cars import place_cars
from geodistill_core.datasets.synthcity.city import City
from geodistill_core.datasets.synthcity.conditions import Conditions
from geodistill_core.datasets.synthcity.photometry import develop
from geodistill_core.datasets.synthcity.polyline import rectangles
from geodistill_core.datasets.synthcity.shadows import SHADOW_M, cast_shadows
from geodistill_core.errors import ConfigError
from geodistill_core.types import Array


def _cut(image: Array, k: float, column: float, row: float, side: int, border: int = 0) -> Array:
    """Resample a square: output pixel centres at edge coordinate (column, row) + (i + 0.5) k of the input."""
    matrix = np.array([[k, 0.0, column + 0.5 * k - 0.5], [0.0, k, row + 0.5 * k - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=border)
    )


# Parts of a car from above: shift, length and width as fractions of the body's half length and width; colour and gain
_PARTS = ((0.0, 1.0, 1.0, None, 1.0), (-0.08, 0.62, 0.9, (38.0, 44.0, 50.0), 1.0), (-0.12, 0.4, 0.84, None, 1.06))


def _draw_cars(image: Array, cars: Array, west_m: float, north_m: float, step_m: float) -> None:
    outlines, colours = [], []
    heading = np.stack([np.cos(cars[:, 2]), np.sin(cars[:, 2])], axis=1)
    for shift, length, width, colour, gain in _PARTS:
        part = cars[:, :5] * np.array([1.0, 1.0, 1.0, length, width])
        part[:, :2] += heading * shift * cars[:, 3:4]
        outlines.append(rectangles(part))
        rgb = cars[:, 6:9] * gain if colour is None else np.broadcast_to(colour, (len(cars), 3))
        colours.append(np.clip(rgb, 0, 250))
    points = np.stack(outlines, axis=1)
    pixels = np.stack([(points[..., 0] - west_m) / step_m - 0.5, (north_m - points[..., 1]) / step_m - 0.5], axis=-1)
    fixed = np.round(pixels * 16).astype(np.int32)
    for polygons, fills in zip(fixed, np.stack(colours, axis=1).tolist(), strict=True):
        for polygon, fill in zip(polygons, fills, strict=True):
            cv2.fillConvexPoly(image, polygon, (*fill, 110.0), cv2.LINE_AA, shift=4)


def season(image: Array, conditions: Conditions) -> Array:
    """Tint vegetation and lay snow: RGBA (alpha = vegetation and snow weight) to RGB uint8."""
    rgb = image[..., :3].astype(np.float32)
    weight = image[..., 3].astype(np.float32)
    leaf = np.clip((weight - 170.0) / 80.0, 0.0, 1.0)[..., None]
    rgb *= 1.0 + leaf * (np.array(conditions.foliage, np.float32) - 1.0)
    if conditions.snow > 0:
        side = noise.textures()[2][: image.shape[0], : image.shape[1]]
        if side.shape == weight.shape:
            cover = np.clip((weight / 128.0 + (side - 128.0) / 60.0 - 1.3 + 2 * conditions.snow) * 0.8, 0, 0.96)
            rgb += cover[..., None] * (np.array([232, 236, 242], np.float32) - rgb)
    return np.asarray(np.clip(rgb, 0, 255).astype(np.uint8))


def render_overhead(
    city: City, east_m: float, north_m: float, extent_m: float, metres_per_pixel: float,
    conditions: Conditions,
    change: float = 0.0,
) -> tuple[Array, Array]:  # fmt: skip
    """North-up view of a square of `extent_m` centred at (east_m, north_m) of the city.

    Returns rgb uint8 [N, N, 3] and valid bool [N, N] (False beyond the city's edge); N = extent / metres per
    pixel.
    """
    side = round(extent_m / metres_per_pixel)
    if not 16 <= side <= 8192:
        raise ConfigError(f"tile of {extent_m} m at {metres_per_pixel} m is {side} pixels; sides must lie in 16..8192")
    extent_m = side * metres_per_pixel
    factor = max(1, math.ceil(metres_per_pixel / RESOLUTION_M - 1e-6))
    step = metres_per_pixel / factor
    west, top = east_m - extent_m / 2, north_m + extent_m / 2
    half = city.size_m / 2
    image = _cut(
        city.overhead_bake(change), step / RESOLUTION_M, (west + half) / RESOLUTION_M,
        (half - top) / RESOLUTION_M,
        side * factor,
    )  # fmt: skip
    rng = np.random.default_rng(conditions.seed)
    if conditions.cars:
        style = city.style
        cars = place_cars(
            city.slots,
            city.lanes,
            rng,
            style.occupancy,
            style.traffic,
            (east_m, north_m),
            0.71 * extent_m + 4.0,
        )
    else:
        cars = np.zeros((0, 9))
    _draw_cars(image, cars, west, top, step)
    shade = cast_shadows(
        city,
        (east_m, north_m),
        extent_m + 4.0,
        conditions.sun_azimuth_rad,
        conditions.sun_elevation_rad,
        cars,
        city.lean(),
    )
    shade = _cut(shade, step / SHADOW_M, 2.0 / SHADOW_M, 2.0 / SHADOW_M, side * factor)
    light = cv2.LUT(shade, np.round(255 * (1 - conditions.shadow * np.arange(256) / 255.0)).astype(np.uint8))
    image = cv2.multiply(image, cv2.merge([light, light, light, np.full_like(light, 255)]), scale=1 / 255.0)
    if factor > 1:
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    centres = (np.arange(side) + 0.5) * metres_per_pixel
    valid = np.outer(np.abs(top - centres) < half, np.abs(west + centres) < half)
    out = develop(season(image, conditions), conditions)
    if not valid.all():
        out[~valid] = 0
    return out, valid
