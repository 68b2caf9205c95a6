# SPDX-License-Identifier: Apache-2.0
"""The inference thread: takes the newest letter, works on it, asks for the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from geodistill_ros.mailbox import Mailbox

T = TypeVar("T")


class Worker(Generic[T]):
    """A daemon thread between a mailbox and a function that never raises."""

    def __init__(self, work: Callable[[T], None]) -> None:
        self.mailbox: Mailbox[T] = Mailbox()
        self._work = work
        self._thread = threading.Thread(target=self._run, name="geodistill-inference", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """Ask the thread to end; False where it still works after `timeout_s` (it ends after that work)."""
        self.mailbox.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (letter := self.mailbox.take()) is not None:
            self._work(letter)
