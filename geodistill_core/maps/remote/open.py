# SPDX-License-Identifier: Apache-2.0
"""One door to every kind of remote source."""

from __future__ import annotations

from geodistill_core.maps.cache import DiskCache
from geodistill_core.maps.fetch import Fetcher
from geodistill_core.maps.remote.source import RemoteSource
from geodistill_core.maps.spec import SourceSpec


def open_source(
    spec: SourceSpec, *, fetcher: Fetcher | None = None, cache: DiskCache | None = None
) -> RemoteSource:
    """The source that a spec describes; nothing is fetched yet.

    `cache` None takes the user's cache folder where the spec allows caching.
    """
    raise NotImplementedError
