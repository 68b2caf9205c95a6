# SPDX-License-Identifier: Apache-2.0
"""Decoding pictures to find the broken ones, and listing folders fast."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from geodistill_core.errors import DatasetError

Decode = Literal["none", "sample", "all"]
SAMPLE = 200


def names_in(folder: Path) -> frozenset[str]:
    """The names in a folder; none where it does not exist."""
    if not folder.is_dir():
        return frozenset()
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries)


def spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` of `count` indices, evenly spread."""
    taken = min(count, wanted)
    return [round(i * (count - 1) / max(taken - 1, 1)) for i in range(taken)]


def broken_pictures(
    readers: Sequence[Callable[[], object]], decode: Decode, step: Callable[[], None] = lambda: None
) -> tuple[int, list[str]]:
    """Run readers, all or an even sample of them; how many ran, and what the failing ones say."""
    if decode == "none":
        return 0, []
    chosen = range(len(readers)) if decode == "all" else spread(len(readers), SAMPLE)

    def failure(index: int) -> str | None:
        try:
            readers[index]()
        except DatasetError as error:
            return str(error)
        finally:
            step()
        return None

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = list(pool.map(failure, chosen))
    return len(found), [text for text in found if text is not None]
