# SPDX-License-Identifier: Apache-2.0
"""Resampling of source pixels into a target: bilinear when enlarging, area means when shrinking."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from geodistill_core.errors import MapError
from geodistill_core.geometry.geodesy import wrap_longitude
from geodistill_core.maps.grid import PixelGrid, Pixels, Window
from geodistill_core.maps.target import Target
from geodistill_core.types import Array

# Map projections are smooth: a polynomial through 7 x 7 Chebyshev nodes follows them to 1e-6 pixel.
_NODES = (1.0 - np.cos(np.pi * np.arange(7) / 6)) / 2.0
# Up to so many source pixels on a target pixel, a softened source read once at each comes as close to the mean over
# the target pixel as four samples do, in a third of the time. Each neighbour's share that comes closest is this times
# the excess over one source pixel.
_SOFTENED, _SHARE = 1.4, 0.206
# A target is filled in blocks of so many pixels a side, and of so many samples where pixels take many: the projection
# of degrees near a pole squeezes one axis alone.
_BLOCK, _SAMPLED_BLOCK = 512, 2048
_MARGIN = 2
# A scale this close to a whole number is that number.
_WHOLE = 1e-3
# A window this large means that the projection falls apart at the place asked for (cv2.remap ends at 32767).
_MAX_WINDOW_SIDE, _MAX_WINDOW_PIXELS = 32_000, 1 << 27


def _lagrange(position: Array) -> Array:
    """Weights [len(position), 7] of the nodes' values at positions in 0..1."""
    weights: Array = np.ones((len(position), len(_NODES)))
    for j, node in enumerate(_NODES):
        for other in np.delete(_NODES, j):
            weights[:, j] *= (position - other) / (node - other)
    return weights


def _node_pixels(target: Target, grid: PixelGrid) -> Array:
    """Source (x, y) [2, 7, 7] at the target's nodes (row, column)."""
    column, row = np.meshgrid(_NODES * target.side, _NODES * target.side)
    latitude, longitude = target.to_geodetic(column, row)
    around = target.center.longitude
    return np.stack(grid.to_pixel(latitude, around + wrap_longitude(longitude - around)))


def _detail(nodes: Array, target: Target) -> Array:
    """Source pixels per target pixel along the source's rows and along its columns."""
    along_row = (nodes[:, 3, 6] - nodes[:, 3, 0]) / target.side
    along_column = (nodes[:, 6, 3] - nodes[:, 0, 3]) / target.side
    return np.hypot(along_row, along_column)


class _Steps(NamedTuple):
    """How far to decimate the source, which share of each neighbour (x, y) to mix into its pixels, and how many samples
    to average along each axis of a target pixel."""

    decimation: int
    shares: tuple[float, float]
    samples: int


def _steps(nodes: Array, target: Target) -> _Steps:
    """After the decimation fewer than 4 source pixels fall on a target pixel along each axis, and at least as
    many samples: their mean then weighs every source pixel under the target pixel nearly alike. Or the softening does.
    """
    detail = _detail(nodes, target)
    decimation = max(1, int((detail.min() + _WHOLE) // 2))
    excess = detail / decimation - 1.0
    if _WHOLE < excess.max() <= _SOFTENED - 1.0:
        x, y = np.maximum(excess, 0.0) * _SHARE
        return _Steps(decimation, (float(x), float(y)), 1)
    return _Steps(decimation, (0.0, 0.0), max(1, math.ceil(excess.max() + 1.0 - _WHOLE)))


def _blocks(side: int, samples: int) -> Iterator[tuple[slice, slice]]:
    size = min(_BLOCK, max(1, _SAMPLED_BLOCK // samples))
    spans = [slice(start, min(start + size, side)) for start in range(0, side, size)]
    return itertools.product(spans, spans)


def _positions(span: slice, size: int, samples: int) -> Array:
    """Sample positions of the pixels in `span` as fractions of the target's side."""
    count = (span.stop - span.start) * samples
    return np.asarray((span.start + (np.arange(count) + 0.5) / samples) / size)


def _mean(image: Array, map_x: Array, map_y: Array, steps: _Steps) -> Array:
    """Bilinear samples (0 beyond the image) of the softened image, averaged `samples` x `samples`."""
    samples = steps.samples
    if any(steps.shares):
        across, down = (np.array([share, 1.0 - 2.0 * share, share], np.float32) for share in steps.shares)
        image = cv2.sepFilter2D(image, -1, across, down, borderType=cv2.BORDER_REPLICATE)
    sampled = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    size = (map_x.shape[1] // samples, map_x.shape[0] // samples)
    return np.asarray(cv2.resize(sampled, size, interpolation=cv2.INTER_AREA) if samples > 1 else sampled)


def _interpolate(pixels: Pixels, map_x: Array, map_y: Array, steps: _Steps) -> Pixels:
    """Pixel means at index coordinates (pixel centres at integers), over what is valid."""
    rgb, valid = pixels
    if valid.all():
        mean = _mean(rgb, map_x, map_y, steps)
        return mean, np.ones(mean.shape[:2], np.bool_)
    # Missing pixels must not darken their neighbours: average colour and coverage, then divide.
    coverage = _mean(valid.astype(np.float32), map_x, map_y, steps)
    color = _mean(rgb.astype(np.float32) * valid[..., None], map_x, map_y, steps)
    # Half a pixel of coverage is the edge of the imagery; the slack is the interpolation's own rounding.
    covered = coverage > 0.49
    color = np.where(covered[..., None], color / np.maximum(coverage, 0.1)[..., None], 0.0)
    return np.rint(np.clip(color, 0.0, 255.0)).astype(np.uint8), covered


def _fill_block(nodes: Array, positions: tuple[Array, Array], grid: PixelGrid, steps: _Steps) -> Pixels:
    """The pixels at (rows, columns) positions, given as fractions of the target's side."""
    decimation = steps.decimation
    along_rows, along_columns = _lagrange(positions[0]), _lagrange(positions[1])
    ends = [0, len(positions[0]) // 2, -1], [0, len(positions[1]) // 2, -1]
    extremes = along_rows[ends[0]] @ nodes @ along_columns[ends[1]].T / decimation
    low = np.floor(extremes.min(axis=(1, 2))).astype(int) - _MARGIN
    size = np.ceil(extremes.max(axis=(1, 2))).astype(int) + _MARGIN - low
    if size.max() > _MAX_WINDOW_SIDE or size.prod() > _MAX_WINDOW_PIXELS:
        raise MapError(
            f"{size[0]} x {size[1]} source pixels for one block: the map's projection cannot serve this place"
        )
    pixels = grid.read_means(Window(*(int(value) * decimation for value in (*low, *size))), decimation)
    # Relative to the window single precision is exact to 1e-3 pixel, and twice as fast.
    relative = along_rows @ (nodes / decimation - (low + 0.5)[:, None, None])
    map_x, map_y = relative.astype(np.float32) @ along_columns.T.astype(np.float32)
    return _interpolate(pixels, map_x, map_y, steps)


def pixels_per_target_pixel(target: Target, grid: PixelGrid) -> float:
    """How many source pixels lie along a target pixel, on the axis where they are fewer; NaN off the world."""
    return float(_detail(_node_pixels(target, grid), target).min())


def reach(target: Target, grid: PixelGrid) -> tuple[Array, Array] | None:
    """Source pixels (x, y) that filling the target reads: from the first, up to the second; None off the world."""
    nodes = _node_pixels(target, grid)
    if not np.isfinite(nodes).all():
        return None
    margin = (_MARGIN + 1) * _steps(nodes, target).decimation
    return np.floor(nodes.min(axis=(1, 2))) - margin, np.ceil(nodes.max(axis=(1, 2))) + margin


def resample(target: Target, grid: PixelGrid) -> Pixels:
    """Fill the target from the grid: rgb [side, side, 3] uint8 and valid [side, side] bool."""
    rgb = np.zeros((target.side, target.side, 3), np.uint8)
    valid = np.zeros((target.side, target.side), np.bool_)
    nodes = _node_pixels(target, grid)
    if not np.isfinite(nodes).all():
        return rgb, valid
    steps = _steps(nodes, target)
    for rows, columns in _blocks(target.side, steps.samples):
        positions = _positions(rows, target.side, steps.samples), _positions(columns, target.side, steps.samples)
        rgb[rows, columns], valid[rows, columns] = _fill_block(nodes, positions, grid, steps)
    return rgb, valid
