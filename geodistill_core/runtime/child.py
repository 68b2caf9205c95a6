# SPDX-License-Identifier: Apache-2.0
"""Compile in a process of its own: compilers take minutes and gigabytes, and crash; the node must outlive that."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.runtime.cache import Say

_LAST_LINES = 6
_POLL_S, _SAY_EVERY_S = 0.2, 10.0


class BuildStoppedError(RuntimeBackendError):
    """Whoever asked for the build does not want it any more."""


def run_build(
    command: Sequence[str],
    *,
    limit_s: float,
    say: Say,
    stop: threading.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run a command that compiles, telling how it goes; what it prints is its progress, or its error.

    Raises:
        RuntimeBackendError: it fails, is killed (for want of memory, most likely), or takes longer than `limit_s`.
        BuildStoppedError: `stop` was set.
    """
    stop = stop or threading.Event()
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    # Its standard input is a pipe: a build ends when it finds that closed, so that it never outlives its parent.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    reader = threading.Thread(target=_read, args=(process, lines), name="build output", daemon=True)
    reader.start()
    began_s = said_s = clock()
    try:
        while process.poll() is None:
            now_s = clock()
            if now_s - began_s > limit_s:
                raise RuntimeBackendError(
                    f"compiling took longer than its limit of {limit_s:g} s and was stopped, last at: "
                    f"{_last(lines)}; raise the limit, or compile ahead with `geodistill export --build-only`"
                )
            if now_s - said_s >= _SAY_EVERY_S:
                said_s = now_s
                say(f"compiling for {now_s - began_s:.0f} s (limit {limit_s:g} s): {_last(lines)}")
            if stop.wait(_POLL_S):
                raise BuildStoppedError("compiling was stopped")
    finally:
        _end(process)
        reader.join()
    _check(process.returncode, lines)


def _check(code: int, lines: deque[str]) -> None:
    if code == 0:
        return
    if code == -signal.SIGKILL:
        raise RuntimeBackendError(
            f"the compiler was killed at: {_last(lines)}; most likely memory ran out: free some, or compile on this "
            "kind of machine with nothing else running (`geodistill export --build-only`)"
        )
    why = f"crashed (signal {-code})" if code < 0 else f"failed ({code})"
    raise RuntimeBackendError(f"compiling {why}: {' '.join(lines) or 'it said nothing'}")


def _read(process: subprocess.Popen[str], lines: deque[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip():
            lines.append(line.strip())


def _last(lines: deque[str]) -> str:
    return lines[-1] if lines else "start"


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
