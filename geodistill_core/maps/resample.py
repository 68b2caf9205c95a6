# SPDX-License-Identifier: Apache-2.0
"""Resampling of source pixels into a target: bilinear when enlarging, area means when shrinking."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
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
# A block whose map bends by no more of a source pixel is sampled as if it were straight, which is much faster.
_BEND = 0.01
# A scale this close to a whole number is that number.
_WHOLE = 1e-3
# A window this large means that the projection falls apart at the place asked for (cv2.remap ends at 32767).
_MAX_WINDOW_SIDE, _MAX_WINDOW_PIXELS = 32_000, 1 << 27

Sample = Callable[[Array], Array]
"""An image to its bilinear samples where those of a block lie; 0 beyond the image."""


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


def _straight(points: Array, rows: int, columns: int) -> Array | None:
    """The affine map [2, 3] from a block's samples (column, row) to an image, None where the map bends.

    `points` [2, 3, 3] are the (x, y) of its first, middle and last rows and columns of samples.
    """
    row, column = (np.array([0, count // 2, count - 1]) for count in (rows, columns))
    across = (points[:, 1, 2] - points[:, 1, 0]) / max(columns - 1, 1)
    down = (points[:, 2, 1] - points[:, 0, 1]) / max(rows - 1, 1)
    first = points[:, 1, 1] - across * column[1] - down * row[1]
    straight = first[:, None, None] + down[:, None, None] * row[:, None] + across[:, None, None] * column
    return np.column_stack([across, down, first]) if np.abs(straight - points).max() <= _BEND else None


def _mean(image: Array, sample: Sample, steps: _Steps) -> Array:
    """Samples of the softened image, averaged `samples` x `samples`."""
    samples = steps.samples
    if any(steps.shares):
        across, down = (np.array([share, 1.0 - 2.0 * share, share], np.float32) for share in steps.shares)
        image = cv2.sepFilter2D(image, -1, across, down, borderType=cv2.BORDER_REPLICATE)
    sampled = sample(image)
    size = (sampled.shape[1] // samples, sampled.shape[0] // samples)
    return np.asarray(cv2.resize(sampled, size, interpolation=cv2.INTER_AREA) if samples > 1 else sampled)


def _interpolate(pixels: Pixels, sample: Sample, steps: _Steps) -> Pixels:
    """Pixel means over what is valid."""
    rgb, valid = pixels
    if valid.all():
        mean = _mean(rgb, sample, steps)
        return mean, np.ones(mean.shape[:2], np.bool_)
    # Missing pixels must not darken their neighbours: average colour and coverage, then divide.
    coverage = _mean(valid.astype(np.float32), sample, steps)
    color = _mean(rgb.astype(np.float32) * valid[..., None], sample, steps)
    # Half a pixel of coverage is the edge of the imagery; the slack is the interpolation's own rounding.
    covered = coverage > 0.49
    color = np.where(covered[..., None], color / np.maximum(coverage, 0.1)[..., None], 0.0)
    return np.rint(np.clip(color, 0.0, 255.0)).astype(np.uint8), covered


def nothing(height: int, width: int) -> Pixels:
    """Pixels of which none is valid."""
    return np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.bool_)


def _fill_block(nodes: Array, positions: tuple[Array, Array], grid: PixelGrid, steps: _Steps) -> Pixels:
    """The pixels at (rows, columns) positions, given as fractions of the target's side."""
    (rows, columns), decimation = positions, steps.decimation
    above, left = (_lagrange(part[[0, len(part) // 2, -1]]) for part in positions)
    points = above @ nodes @ left.T / decimation
    low = np.floor(points.min(axis=(1, 2))).astype(int) - _MARGIN
    size = np.ceil(points.max(axis=(1, 2))).astype(int) + _MARGIN - low
    if size.max() > _MAX_WINDOW_SIDE or size.prod() > _MAX_WINDOW_PIXELS:
        raise MapError(
            f"{size[0]} x {size[1]} source pixels for one block: the map's projection cannot serve this place"
        )
    pixels = grid.read_means(Window(*(int(value) * decimation for value in (*low, *size))), decimation)
    if not pixels[1].any():
        return nothing(len(rows) // steps.samples, len(columns) // steps.samples)
    corner = (low + 0.5)[:, None, None]
    matrix = _straight(points - corner, len(rows), len(columns))
    if matrix is not None:
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return _interpolate(
            pixels, lambda image: cv2.warpAffine(image, matrix, (len(columns), len(rows)), flags=how), steps
        )
    # Relative to the window single precision is exact to 1e-3 pixel, and twice as fast.
    relative = _lagrange(rows) @ (nodes / decimation - corner)
    map_x, map_y = relative.astype(np.float32) @ _lagrange(columns).T.astype(np.float32)
    return _interpolate(pixels, lambda image: cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR), steps)


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


def resample(target: Target, grid: PixelGrid, onto: Pixels | None = None) -> Pixels:
    """Fill the target from the grid: rgb [side, side, 3] uint8 and valid [side, side] bool.

    What is valid of `onto` stays; the rest of it is filled in place.
    """
    rgb, valid = onto or nothing(target.side, target.side)
    nodes = _node_pixels(target, grid)
    if not np.isfinite(nodes).all():
        return rgb, valid
    steps = _steps(nodes, target)
    for rows, columns in _blocks(target.side, steps.samples):
        if valid[rows, columns].all():
            continue
        positions = _positions(rows, target.side, steps.samples), _positions(columns, target.side, steps.samples)
        block = _fill_block(nodes, positions, grid, steps)
        if onto is None and block[1].shape == valid.shape:
            return block
        lacking = block[1] & ~valid[rows, columns]
        if lacking.any():
            rgb[rows, columns][lacking] = block[0][lacking]
            valid[rows, columns] |= lacking
    return rgb, valid
