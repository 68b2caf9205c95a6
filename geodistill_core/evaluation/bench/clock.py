# SPDX-License-Identifier: Apache-2.0
"""A clock that other programs on the machine do not advance."""

from __future__ import annotations

import time
from pathlib import Path


def own_time_s() -> float:
    """A clock that stands still while this thread waits for a processor, where the system tells (Linux)."""
    queued_ns = _queued_ns()
    while True:
        # Between two readings alike the thread was not interrupted: both times are of one moment.
        now_s, before_ns, queued_ns = time.perf_counter(), queued_ns, _queued_ns()
        if queued_ns == before_ns:
            return now_s - queued_ns * 1e-9


def _queued_ns() -> int:
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
