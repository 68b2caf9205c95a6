# SPDX-License-Identifier: Apache-2.0
"""Files named by what they hold and for whom, so that no damage and no mix-up can pass for a tile."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SHARDS = 256
_PARTIAL = ".partial-"
_DIGEST_BYTES = 16


def seal(source_id: str, key: str, content: bytes) -> bytes:
    """The digest of a content bound to its source and key: what the file is called and checked against."""
    digest = hashlib.blake2b(f"{len(source_id)} {source_id} {len(key)} {key} ".encode(), digest_size=_DIGEST_BYTES)
    digest.update(content)
    return digest.digest()


class TileFiles:
    """Files below `folder`, spread over SHARDS folders by the first byte of their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, digest: bytes, size: int) -> bytes | None:
        """The file's content, if it is a file of just that size."""
        try:
            with open(self.path(digest), "rb", opener=_open_without_waiting) as file:
                status = os.fstat(file.fileno())
                return file.read() if stat.S_ISREG(status.st_mode) and status.st_size == size else None
        except OSError:
            return None

    def write(self, digest: bytes, content: bytes) -> None:
        """The file appears whole or not at all, whenever the power goes. OSError where it cannot be written."""
        path = self.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(prefix=_PARTIAL, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(partial)
            raise

    def remove(self, digest: bytes) -> None:
        """Delete a file, there or not, writable or not."""
        with suppress(OSError):
            self.path(digest).unlink()

    def shard(self, number: int) -> Iterator[tuple[bytes | None, os.DirEntry[str]]]:
        """The files of one shard that a cache wrote: their digests, None for those that were never finished."""
        with suppress(OSError), os.scandir(self.folder / f"{number:02x}") as found:
            for item in found:
                if item.name.startswith(_PARTIAL):
                    yield None, item
                elif len(item.name) == 2 * _DIGEST_BYTES and set(item.name) <= set("0123456789abcdef"):
                    yield bytes.fromhex(item.name), item

    def path(self, digest: bytes) -> Path:
        """Where a file lies, there or not."""
        name = digest.hex()
        return self.folder / name[:2] / name


def _open_without_waiting(path: str, flags: int) -> int:
    """A pipe that somebody put in a tile's place must not hold up a frame."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
