# SPDX-License-Identifier: Apache-2.0
"""Areas to prepare a map for: a rectangle, or a corridor along routes. Which Web Mercator tiles touch them."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from pyproj import Geod

from geodistill_core.errors import ConfigError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.address import TileAddress
from geodistill_core.types import Array

MAX_TILES = 1_000_000
"""Tiles of one zoom level that an area may have."""
MARGIN_M = 100.0
"""Half a tile of the networks (35 m), and what a cheap receiver is wrong in a street."""
_GEOD = Geod(ellps="WGS84")


class Area(ABC):
    """Somewhere on the earth, within Web Mercator's latitudes."""

    @abstractmethod
    def tiles(self, zoom: int) -> Iterator[TileAddress]:
        """Tiles that touch the area, none twice."""

    @abstractmethod
    def count(self, zoom: int) -> int:
        """How many `tiles` gives. ConfigError for more than a million."""


def tile_ranges(bounds: GeoBounds, zoom: int) -> tuple[range, range]:
    """Columns (unwrapped) and rows of the tiles that touch the bounds. ConfigError for more than a million."""
    left, top = mercator.to_pixel(bounds.north, bounds.west, zoom, 1)
    right, bottom = mercator.to_pixel(bounds.south, bounds.west + bounds.width, zoom, 1)
    columns = range(math.floor(left), max(math.ceil(right), math.floor(left) + 1))
    rows = range(math.floor(top), max(math.ceil(bottom), math.floor(top) + 1))
    # Around the whole earth the first column is the last one too.
    columns = columns[: 1 << zoom]
    if len(columns) * len(rows) > MAX_TILES:
        raise ConfigError(f"{len(columns)} x {len(rows)} tiles at zoom {zoom} exceed {MAX_TILES}; shrink the bounds")
    return columns, rows


class BoxArea(Area):
    """All of a rectangle."""

    def __init__(self, bounds: GeoBounds) -> None:
        self.bounds = bounds

    def tiles(self, zoom: int) -> Iterator[TileAddress]:
        """See `Area.tiles`; row by row."""
        columns, rows = tile_ranges(self.bounds, zoom)
        return (TileAddress(zoom, column, row) for row in rows for column in columns)

    def count(self, zoom: int) -> int:
        """See `Area.count`."""
        columns, rows = tile_ranges(self.bounds, zoom)
        return len(columns) * len(rows)


class CorridorArea(Area):
    """What lies within `margin_m` metres of lines; each is [N, 2] degrees (latitude, longitude), N may be 1.

    Raises:
        ConfigError: no line, a margin outside 1..20000 m, or a point beyond Web Mercator's latitudes.
    """

    def __init__(self, lines: Sequence[Array], margin_m: float = MARGIN_M) -> None:
        if not 1.0 <= margin_m <= 20_000.0:
            raise ConfigError(f"a margin of {margin_m} m is outside 1..20000 m")
        if not lines:
            raise ConfigError("the route has no points; give one with positions")
        self.margin_m, self._step_m = float(margin_m), float(margin_m) / 4.0
        total_m = sum(_length_m(line) for line in lines)
        if total_m > MAX_TILES * self._step_m:
            raise ConfigError(
                f"a route of {total_m / 1000:.0f} km is too long for a margin of {margin_m:g} m; split it"
            )
        self._points = np.concatenate([self._sampled(np.asarray(line, np.float64)) for line in lines])
        self.length_m = total_m
        mercator.to_pixel(self._points[:, 0], self._points[:, 1], 0)
        self._found: dict[int, tuple[TileAddress, ...]] = {}

    def tiles(self, zoom: int) -> Iterator[TileAddress]:
        """See `Area.tiles`; along the lines."""
        if zoom not in self._found:
            self._found[zoom] = self._along(zoom)
        return iter(self._found[zoom])

    def count(self, zoom: int) -> int:
        """See `Area.count`."""
        self.tiles(zoom)
        return len(self._found[zoom])

    def _sampled(self, line: Array) -> Array:
        """Points of the line at most a step apart, longitudes unwrapped."""
        line = np.column_stack([line[:, 0], np.unwrap(line[:, 1], period=360.0)])
        parts = [line[:1]]
        for start, end in itertools.pairwise(line):
            count = max(1, math.ceil(_length_m(np.stack([start, end])) / self._step_m))
            parts.append(start + (end - start) * (np.arange(1, count + 1) / count)[:, None])
        return np.concatenate(parts)

    def _along(self, zoom: int) -> tuple[TileAddress, ...]:
        """Tiles of squares around the samples, large enough to hold the corridor between them."""
        latitude, longitude = self._points.T
        x, y = mercator.to_pixel(latitude, longitude, zoom, 1)
        reach = (self.margin_m + self._step_m / 2) / mercator.metres_per_pixel(latitude, zoom, 1)
        last, found = (1 << zoom) - 1, dict[TileAddress, None]()
        edges = np.floor(np.stack([x - reach, x + reach, y - reach, y + reach], axis=1)).astype(int)
        edges[:, 2:] = np.clip(edges[:, 2:], 0, last)
        changed = np.concatenate([[True], (np.diff(edges, axis=0) != 0).any(axis=1)])
        for left, right, top, bottom in edges[changed].tolist():
            if max(len(found), (bottom - top + 1) * (right - left + 1)) > MAX_TILES:
                raise ConfigError(
                    f"the route has more than {MAX_TILES} tiles at zoom {zoom}; use a coarser zoom or a smaller margin"
                )
            for row in range(top, bottom + 1):
                found.update((TileAddress(zoom, column, row), None) for column in range(left, right + 1))
        return tuple(found)


def _length_m(line: Array) -> float:
    return float(_GEOD.line_length(line[:, 1], line[:, 0])) if len(line) > 1 else 0.0
