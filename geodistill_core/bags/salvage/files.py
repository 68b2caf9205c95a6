# SPDX-License-Identifier: Apache-2.0
"""A damaged file in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path

from geodistill_core.errors import BagError

CUT_OFF = "cut off"


@contextmanager
def mapped(path: Path) -> Iterator[mmap]:
    """The bytes of a file; raises BagError where that fails, or what is done with them."""
    try:
        with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
            yield data
    except (OSError, ValueError, IndexError) as error:  # ValueError: an empty file
        raise BagError(f"{path} cannot be read: {error}; copy it again") from error
