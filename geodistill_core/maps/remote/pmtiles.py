# SPDX-License-Identifier: Apache-2.0
"""Remote pmtiles."""

from __future__ import annotations

from geodistill_core.maps.cache import DiskCache, MemoryCache
from geodistill_core.maps.fetch import Fetcher
from geodistill_core.maps.remote.source import RemoteSource
from geodistill_core.maps.spec import SourceSpec


class PMTilesSource(RemoteSource):
    """Pieces of a pmtiles source."""

    def __init__(
        self, spec: SourceSpec, fetcher: Fetcher, cache: DiskCache | None = None, *, memory: MemoryCache | None = None
    ) -> None: ...
