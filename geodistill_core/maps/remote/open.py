# SPDX-License-Identifier: Apache-2.0
"""One door to every kind of remote source."""

from __future__ import annotations

import os
from pathlib import Path

from geodistill_core.maps.cache import DiskCache
from geodistill_core.maps.fetch import Fetcher
from geodistill_core.maps.remote.cog import CogSource
from geodistill_core.maps.remote.grid_tiles import GridTiles
from geodistill_core.maps.remote.pmtiles import PMTilesSource
from geodistill_core.maps.remote.source import RemoteSource
from geodistill_core.maps.remote.tiles import RemoteTiles
from geodistill_core.maps.spec import SourceSpec

CACHE_BYTES = 2 << 30
"""Size of the user's tile cache unless told otherwise."""


def cache_folder() -> Path:
    """Where tiles are kept: `geodistill/tiles` in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "geodistill" / "tiles"


def open_source(spec: SourceSpec, *, fetcher: Fetcher | None = None, cache: DiskCache | None = None) -> RemoteSource:
    """The source that a spec describes; nothing is fetched yet.

    Where the spec lets tiles be stored, `cache` None takes the user's cache folder.
    """
    if cache is None and spec.cache_allowed:
        cache = DiskCache(cache_folder(), CACHE_BYTES)
    return _kind_of(spec)(spec, fetcher or Fetcher(spec), cache)


def _kind_of(spec: SourceSpec) -> type[RemoteSource]:
    if spec.kind == "cog":
        return CogSource
    if spec.kind == "pmtiles":
        return PMTilesSource
    return RemoteTiles if spec.is_slippy else GridTiles
