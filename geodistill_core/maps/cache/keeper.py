# SPDX-License-Identifier: Apache-2.0
"""The index kept open: opened anew where it was damaged, replaced or out of reach."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from geodistill_core.maps.cache.index import Change, Index
from geodistill_core.maps.cache.schema import move_aside, newest_index, next_index
from geodistill_core.maps.cache.trouble import TROUBLE, is_damage

Answer = TypeVar("Answer")


class Keeper:
    """The index of a folder, whatever happens to the folder. Safe from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index: Index | None = None
        self._suspect = self._closed = False
        self._writing = threading.Lock()

    def open(self) -> None:
        """Open the index, or create it. One of TROUBLE where neither can be."""
        with self._writing:
            self._open()

    def read(self, question: Callable[[Index], Answer], otherwise: Answer) -> Answer:
        """What the index answers, `otherwise` where it cannot."""
        index = self._index
        try:
            return question(index) if index else otherwise
        except TROUBLE as error:
            self._suspect |= is_damage(error)
            return otherwise

    def change(self, action: Callable[[Change], Answer]) -> Answer:
        """Do all of an action in the index, or nothing: then one of TROUBLE.

        A damaged index gives way to an empty one, at the second trial if not at the first.
        """
        with self._writing:
            index = self._usable()
            try:
                with index.change() as change:
                    return action(change)
            except TROUBLE as error:
                if not is_damage(error):
                    raise
                self._suspect = True
            with self._usable().change() as change:
                return action(change)

    def close(self) -> None:
        """Release the index for good."""
        with self._writing:
            self._closed = True
            self._release()

    def _usable(self) -> Index:
        if self._closed:
            raise sqlite3.OperationalError("the cache is closed")
        index = self._index
        if index is None or self._suspect or not index.in_place():
            return self._open()
        # A folder that could not be written may have become writable since.
        return index if index.writable or not os.access(self.folder, os.W_OK) else self._open()

    def _open(self) -> Index:
        damaged = self._index.path if self._index and self._suspect else None
        self._release()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = newest_index(self.folder)
        try:
            self._index = Index(path if path != damaged else next_index(path))
        except TROUBLE as error:
            if not is_damage(error) or not os.access(self.folder, os.W_OK):
                raise
            damaged, self._index = path, Index(next_index(path))
        if damaged:
            move_aside(damaged)
        self._suspect = False
        return self._index

    def _release(self) -> None:
        if self._index:
            self._index.close()
        self._index = None
