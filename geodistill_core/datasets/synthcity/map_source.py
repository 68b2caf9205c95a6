# SPDX-License-Identifier: Apache-2.0
"""The world of one pair as a map, so that a localizer may ask for tiles around places of its own choosing."""

from __future__ import annotations

from geodistill_core.datasets.synthcity.pairs import Pair, sample_pair
from geodistill_core.maps.raster import RasterSource
from geodistill_core.maps.source import MapInfo

# The localizer's default tile of 96 m, moved by up to half of its 8 m grid, and some room.
REACH_M = 112.0


class SynthCityMap(RasterSource):
    """Imagery of `REACH_M` around a pair's prior, in the season and light of the pair's tile."""

    def __init__(self, wide: Pair) -> None:
        tile = wide.tile
        super().__init__(tile.rgb, tile.center, tile.metres_per_pixel, tile.attribution, valid=tile.valid)
        self._location = f"synthcity {wide.style} {wide.seed} pair {wide.index} ({wide.level})"

    @classmethod
    def of_pair(cls, pair: Pair) -> SynthCityMap:
        """The map of a pair; one whose tile is narrower than `REACH_M` is rendered again with a wider one.

        The pair must come from `sample_pair` with its default city size.
        """
        side, metres_per_pixel = pair.tile.valid.shape[0], pair.tile.metres_per_pixel
        if side * metres_per_pixel >= REACH_M:
            return cls(pair)
        wide = sample_pair(
            pair.style,
            pair.seed,
            pair.index,
            pair.level,
            tile_extent_m=REACH_M,
            metres_per_pixel=metres_per_pixel,
        )
        return cls(wide)

    def info(self) -> MapInfo:
        """What the map holds."""
        held = super().info()
        return MapInfo("synthcity", self._location, held.bounds, (), held.metres_per_pixel, held.attribution)
