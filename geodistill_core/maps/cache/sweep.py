# SPDX-License-Identifier: Apache-2.0
"""Files that no entry names: left by a process that was killed, or by an index that was lost."""

from __future__ import annotations

import os
from contextlib import suppress

from geodistill_core.maps.cache.files import TileFiles

# A file this young may be waiting for its entry.
_ORPHAN_AGE_S = 3600.0


def sweep(files: TileFiles, shard: int, named: set[bytes], now_s: float) -> None:
    """Delete the files of one shard that are older than an hour and whose digests are not `named`."""
    for digest, item in files.shard(shard):
        with suppress(OSError):
            if digest not in named and item.stat(follow_symlinks=False).st_mtime < now_s - _ORPHAN_AGE_S:
                os.unlink(item)
