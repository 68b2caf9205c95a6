# SPDX-License-Identifier: Apache-2.0
"""What a cache answers."""

from __future__ import annotations

from dataclasses import dataclass

from geodistill_core.maps.validators import Validators


@dataclass(frozen=True, slots=True)
class Cached:
    """What is kept for a key: the file as it came, or None where the server said that there is nothing.

    `stored_s`: when it was stored or last confirmed, seconds since the epoch. `fresh`: its age is within the time for
    which it was stored. What is not fresh may still be used while the server cannot be asked.
    """

    content: bytes | None
    validators: Validators
    stored_s: float
    fresh: bool

    @property
    def absent(self) -> bool:
        """The server said that there is no tile here."""
        return self.content is None


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Contents of a disk cache, and what this process did with it since it opened it.

    `bytes` counts the files and a small charge for each entry. `damaged`: entries found missing, cut, altered or
    foreign, and dropped. `unwritten`: tiles that could not be stored. `degraded`: why tiles are not stored (or not even
    read) at present; None when all is well.
    """

    entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int
    evicted: int
    damaged: int
    unwritten: int
    degraded: str | None
