# SPDX-License-Identifier: Apache-2.0
"""A mailbox with one slot: the newest letter wins, so that slow inference never builds a queue."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")

_HANDOVER_S = 0.001


class Mailbox(Generic[T]):
    """Hand the newest value from callbacks to one worker thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._letter: T | None = None
        self._awaited = False
        self._closed = False

    def put(self, letter: T) -> bool:
        """Leave a value; True where it replaced one that nobody had taken.

        Where the worker waits for it, this steps aside for a moment: two threads share one interpreter, and the worker
        would have to wait for whatever else this one does next.
        """
        with self._condition:
            replaced = self._letter is not None
            self._letter = letter
            self._condition.notify_all()
            if self._awaited:
                self._condition.wait_for(lambda: self._letter is not letter, _HANDOVER_S)
            return replaced

    def take(self) -> T | None:
        """Wait for a value; None once the mailbox is closed."""
        with self._condition:
            self._awaited = True
            self._condition.wait_for(lambda: self._closed or self._letter is not None)
            self._awaited = False
            if self._closed:
                return None
            letter, self._letter = self._letter, None
            self._condition.notify_all()
            return letter

    def clear(self) -> bool:
        """Throw an untaken value away; True where there was one."""
        with self._condition:
            occupied, self._letter = self._letter is not None, None
            return occupied

    def occupied(self) -> bool:
        """Whether a value waits."""
        with self._condition:
            return self._letter is not None

    def close(self) -> None:
        """Wake the worker for good."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
