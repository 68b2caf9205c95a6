# SPDX-License-Identifier: Apache-2.0
"""A grid of source pixels that lies somewhere on the earth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import cv2
import numpy as np

from geodistill_core.types import Array

Pixels = tuple[Array, Array]
"""rgb [H, W, 3] uint8 and valid [H, W] bool; rgb is 0 where not valid."""


# A coarse picture of a fine map reads a hundred times its own pixels; so many at a time.
_STRIP_PIXELS = 1 << 24


class Window(NamedTuple):
    """A rectangle of pixels; it may reach beyond the grid that it is read from."""

    column: int
    row: int
    width: int
    height: int


class PixelGrid(ABC):
    """Pixels with a geo-reference, in edge coordinates: the first pixel's centre is (0.5, 0.5)."""

    @abstractmethod
    def to_pixel(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """(x, y) of points in degrees; longitudes come unwrapped around one place. NaN off its world."""

    @abstractmethod
    def read(self, window: Window) -> Pixels:
        """The window's pixels; what lies beyond the grid is not valid."""

    def read_means(self, window: Window, factor: int) -> Pixels:
        """Means over `factor` x `factor` pixels of a window whose sides are multiples of `factor`.

        A mean is valid where all its pixels are.
        """
        if factor == 1:
            return self.read(window)
        width, height = window.width // factor, window.height // factor
        rgb, valid = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.bool_)
        strip = max(1, _STRIP_PIXELS // (window.width * factor))
        for top in range(0, height, strip):
            rows = min(strip, height - top)
            part = self.read(Window(window.column, window.row + top * factor, window.width, rows * factor))
            rgb[top : top + rows], valid[top : top + rows] = _means(part, factor)
        return rgb, valid


def _means(pixels: Pixels, factor: int) -> Pixels:
    rgb, valid = pixels
    height, width = valid.shape[0] // factor, valid.shape[1] // factor
    full = np.asarray(valid.reshape(height, factor, width, factor).all(axis=(1, 3)))
    mean = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA))
    mean[~full] = 0
    return mean, full


def crop(rgb: Array, valid: Array | None, window: Window) -> Pixels:
    """A window of an image; `valid` None means all of it. What lies outside the image is not valid."""
    column, row, width, height = window
    top, bottom = max(row, 0), min(row + height, rgb.shape[0])
    left, right = max(column, 0), min(column + width, rgb.shape[1])
    out_rgb = np.zeros((height, width, 3), np.uint8)
    out_valid = np.zeros((height, width), np.bool_)
    if top < bottom and left < right:
        inside = np.s_[top - row : bottom - row, left - column : right - column]
        out_rgb[inside] = rgb[top:bottom, left:right]
        out_valid[inside] = True if valid is None else valid[top:bottom, left:right]
    return out_rgb, out_valid
