# SPDX-License-Identifier: Apache-2.0
"""Compiled networks on disk: found again only on the machine, driver and libraries that they were made for.

`FOLDER/PURPOSE/DIGEST/` holds the files of one compiled network and `entry.json` with its key and their hashes. Entries
appear whole or not at all, one process builds while others wait, and what no longer fits is removed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from geodistill_core.errors import RuntimeBackendError

ENTRY_NAME = "entry.json"
_BUILDING, _LOCK = ".building", ".lock"
_BLOCK_BYTES = 1 << 20

T = TypeVar("T")
Say = Callable[[str], None]
"""Takes a sentence about the progress of something slow."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineKey:
    """What a compiled network is (`model`, a hash; `profile`; `backend`; `precision`) and where it runs (the rest).

    `versions` are (name, version) of the libraries and the driver that compiled it.
    """

    model: str
    profile: str
    backend: str
    precision: str
    device: str
    versions: tuple[tuple[str, str], ...]

    @property
    def purpose(self) -> str:
        """Names the folder of all entries of which one device, driver and set of libraries keeps one."""
        digest = _digest([self.model, self.profile, self.backend, self.precision])[:16]
        return f"{self.backend}-{self.precision}-{digest}"

    @property
    def digest(self) -> str:
        """Names the entry."""
        return _digest(asdict(self))


def default_cache_folder() -> Path:
    """`geodistill/engines` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "geodistill" / "engines"


class EngineCache:
    """Entries below `folder`; `say` hears what is built, awaited and removed."""

    def __init__(self, folder: Path, say: Say = log.info) -> None:
        self.folder, self.say = folder, say

    def get(self, key: EngineKey, build: Callable[[Path], None], load: Callable[[Path], T]) -> T:
        """`load(folder)` of the entry, which `build(folder)` fills if there is none that can be read.

        Raises:
            RuntimeBackendError: it cannot be built, loaded or written.
        """
        shelf = self.folder / key.purpose
        entry = shelf / key.digest
        try:
            shelf.mkdir(parents=True, exist_ok=True)
            with self._alone(shelf):
                found = self._found(entry, load)
                if found is None:
                    self._build(key, entry, build)
                    found = _opened(entry, load)
                return found
        except OSError as error:
            raise RuntimeBackendError(
                f"the engine cache {self.folder} cannot be used: {error}; name a folder with room that may be written, "
                "or compile ahead of time on this machine"
            ) from error

    @contextmanager
    def _alone(self, shelf: Path) -> Iterator[None]:
        """Hold the shelf's lock, which ends with the process; a shelf that cannot be written needs none."""
        import fcntl

        if not os.access(shelf, os.W_OK):
            yield
            return
        with (shelf / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("another process compiles the same network; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _found(self, entry: Path, load: Callable[[Path], T]) -> T | None:
        if not entry.is_dir():
            return None
        try:
            return _opened(entry, load)
        except RuntimeBackendError as error:
            self.say(f"the engine in {entry} is removed and built anew: {error}")
            shutil.rmtree(entry)
            return None

    def _build(self, key: EngineKey, entry: Path, build: Callable[[Path], None]) -> None:
        shelf, building = entry.parent, entry.with_name(f"{_BUILDING}-{entry.name}")
        for left_over in shelf.glob(f"{_BUILDING}-*"):  # of a process that died: the lock is ours
            shutil.rmtree(left_over)
        building.mkdir()
        try:
            build(building)
            files = {str(path.relative_to(building)): _file_digest(path) for path in _files(building)}
            text = json.dumps({"key": asdict(key), "files": files}, indent=2, sort_keys=True)
            (building / ENTRY_NAME).write_text(text + "\n", encoding="utf-8")
            os.replace(building, entry)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        for stale in shelf.iterdir():
            if stale.is_dir() and stale != entry:
                self.say(f"the engine in {stale} was for another device, driver or library and is removed")
                shutil.rmtree(stale)


def _opened(entry: Path, load: Callable[[Path], T]) -> T:
    """Raises RuntimeBackendError where a file is not what was written."""
    try:
        listed = json.loads((entry / ENTRY_NAME).read_text(encoding="utf-8"))["files"]
        found = {str(path.relative_to(entry)): _file_digest(path) for path in _files(entry)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RuntimeBackendError(f"{entry / ENTRY_NAME} cannot be read: {error}") from error
    found.pop(ENTRY_NAME)
    if found != listed:
        changed = sorted(name for name in {*found, *listed} if found.get(name) != listed.get(name))
        raise RuntimeBackendError(f"{', '.join(changed)} in {entry} are not what was written")
    return load(entry)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
