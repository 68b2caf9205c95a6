# SPDX-License-Identifier: Apache-2.0
"""Tiles kept: as they came on disk, decoded in memory."""

from geodistill_core.maps.cache.disk import DiskCache
from geodistill_core.maps.cache.entry import Cached, CacheStats
from geodistill_core.maps.cache.memory import MemoryCache, MemoryStats
from geodistill_core.maps.validators import Validators

__all__ = ["CacheStats", "Cached", "DiskCache", "MemoryCache", "MemoryStats", "Validators"]
