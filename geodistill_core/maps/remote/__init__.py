# SPDX-License-Identifier: Apache-2.0
"""Imagery that lies elsewhere: tile services, PMTiles and cloud-optimized GeoTIFF over HTTP."""

from geodistill_core.maps.remote.cog import CogSource
from geodistill_core.maps.remote.grid_tiles import GridTiles
from geodistill_core.maps.remote.open import cache_folder, open_source
from geodistill_core.maps.remote.pmtiles import PMTilesSource
from geodistill_core.maps.remote.source import RemoteSource
from geodistill_core.maps.remote.tiles import RemoteTiles

__all__ = [
    "CogSource",
    "GridTiles",
    "PMTilesSource",
    "RemoteSource",
    "RemoteTiles",
    "cache_folder",
    "open_source",
]
