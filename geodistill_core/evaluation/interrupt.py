# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C between two frames and never inside one, so that what has been done can be kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_between_frames() -> Iterator[Callable[[], None]]:
    """Within, Ctrl-C waits for the next call of the function that is yielded, which raises KeyboardInterrupt once.

    A second Ctrl-C interrupts at once. One that was never asked about is raised at the end. Where signals do
    not arrive (another thread, SIGINT ignored) nothing changes.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield lambda: None
        return
    asked, told = threading.Event(), threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    def check() -> None:
        if asked.is_set() and not told.is_set():
            told.set()
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
    check()
