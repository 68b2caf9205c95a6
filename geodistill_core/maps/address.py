# SPDX-License-Identifier: Apache-2.0
"""Names of tiles, and which of them lie under a place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from geodistill_core.errors import ConfigError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.grid import PixelGrid
from geodistill_core.maps.resample import reach
from geodistill_core.maps.slippy import SlippyGrid
from geodistill_core.maps.target import PlaneTarget, Target
from geodistill_core.types import GeoPoint

MAX_CELLS = 4096
FINEST_ZOOM = mercator.MAX_ZOOM
"""Sources with a grid of their own count levels from here downwards, so that a larger zoom is more detailed."""


@dataclass(frozen=True, slots=True, order=True)
class TileAddress:
    """A tile of a pyramid: row 0 lies in the north, the column is wrapped into the world.

    Addresses of sources with a grid of their own mean nothing to other sources; see `FINEST_ZOOM`.
    """

    zoom: int
    column: int
    row: int

    def __post_init__(self) -> None:
        side = mercator.world_pixels(self.zoom, 1)
        if not 0 <= self.row < side:
            raise ConfigError(f"tile row {self.row} is outside 0..{side - 1} at zoom {self.zoom}")
        object.__setattr__(self, "column", self.column % side)

    def __str__(self) -> str:
        return f"{self.zoom}/{self.column}/{self.row}"

    @property
    def bounds(self) -> GeoBounds:
        """Its edges in degrees."""
        return mercator.tile_bounds(self.column, self.row, self.zoom)

    @property
    def parent(self) -> TileAddress:
        """The tile one zoom level up that holds this one. ConfigError at zoom 0."""
        return TileAddress(self.zoom - 1, self.column // 2, self.row // 2)


def cells_under(target: Target, grid: PixelGrid, cell: int) -> list[tuple[int, int]]:
    """(column, row) of the cells of `cell` pixels that filling the target reads, nearest to its middle first.

    Columns are not wrapped; empty where the grid's world ends. ConfigError for more than 4096 cells.
    """
    found = reach(target, grid)
    if found is None:
        return []
    (left, top), (right, bottom) = found
    columns = range(math.floor(left / cell), math.ceil(right / cell))
    rows = range(math.floor(top / cell), math.ceil(bottom / cell))
    if len(columns) * len(rows) > MAX_CELLS:
        raise ConfigError(f"{len(columns)} x {len(rows)} tiles for one picture exceed {MAX_CELLS}; ask for less detail")
    middle_x, middle_y = (left + right) / 2 / cell - 0.5, (top + bottom) / 2 / cell - 0.5
    return sorted(
        ((column, row) for column in columns for row in rows),
        key=lambda at: (math.hypot(at[0] - middle_x, at[1] - middle_y), at),
    )


def slippy_addresses(cells: Iterable[tuple[int, int]], zoom: int) -> tuple[TileAddress, ...]:
    """The tiles of cells (column, row) in any turn; without those beyond the poles, none twice."""
    return tuple(dict.fromkeys(TileAddress(zoom, column, row) for column, row in cells if 0 <= row < 1 << zoom))


def addresses_around(center: GeoPoint, extent_m: float, zoom: int, tile_size: int = 256) -> tuple[TileAddress, ...]:
    """Tiles that a picture of `extent_m` metres around `center` is made of, nearest first.

    `tile_size` is the pixels on a tile's side. Empty beyond Web Mercator's latitudes.
    """
    if not abs(center.latitude) <= mercator.MAX_LATITUDE:
        return ()
    metres_per_pixel = mercator.metres_per_pixel(center.latitude, zoom, tile_size)
    side = max(1, math.ceil(extent_m / metres_per_pixel))
    grid = SlippyGrid(zoom, tile_size, lambda _column, _row, _zoom: None)
    return slippy_addresses(cells_under(PlaneTarget(center, side, extent_m / side), grid, tile_size), zoom)
