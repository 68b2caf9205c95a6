# SPDX-License-Identifier: Apache-2.0
"""Drives in processes of this machine; one that dies takes its own drive with it and no other."""

from __future__ import annotations

import signal
from collections.abc import Generator, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.fleet.jobs import DriveJob, Fate, Runner, Work, fate_of

MAX_JOBS = 256
_STOP_S = 5.0


def in_processes(count: int) -> Runner:
    """What runs up to `count` drives at a time; raises ConfigError outside 1..256."""
    if not 1 <= count <= MAX_JOBS:
        raise ConfigError(f"jobs {count} is outside 1..{MAX_JOBS}")
    return partial(_run, count)


class _Worker:
    """A process that runs the drives it is sent, one at a time."""

    def __init__(self, work: Work) -> None:
        # a forked copy of a process that has computed with torch may hang
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()

    def send(self, job: DriveJob) -> None:
        """Start a drive; that the process is gone shows in its answer."""
        with suppress(BrokenPipeError):
            self.pipe.send(job)

    def fate(self, job: DriveJob) -> Fate | None:
        """The answer that has come; None if the process is gone instead."""
        try:
            fate: Fate = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return None
        return fate

    def stop(self, *, now: bool) -> None:
        """Let the process end, `now` in the middle of its drive."""
        self.pipe.close()
        if now:
            self.process.terminate()
        self.process.join(_STOP_S)


def _serve(pipe: Connection, work: Work) -> None:
    # Ctrl-C reaches every process of the terminal; the one in front decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(fate_of(work, job))


def _run(count: int, work: Work, jobs: Sequence[DriveJob]) -> Generator[Fate, None, None]:
    left, idle = list(reversed(jobs)), list[_Worker]()
    busy: dict[Any, tuple[_Worker, DriveJob]] = {}
    try:
        while left or busy:
            while left and len(busy) < count:
                worker, job = idle.pop() if idle else _Worker(work), left.pop()
                busy[worker.pipe] = worker, job
                worker.send(job)
            for pipe in wait(list(busy)):
                worker, job = busy.pop(pipe)
                fate = worker.fate(job)
                if fate is not None:
                    idle.append(worker)
                yield fate or Fate(job.name, _died(worker.process.exitcode))
    finally:
        for worker in idle:
            worker.stop(now=False)
        for worker, _ in busy.values():
            worker.stop(now=True)


def _died(exit_code: int | None) -> str:
    if exit_code == -signal.SIGKILL:
        return "its process was killed, most likely for want of memory; run again with fewer --jobs"
    return f"its process ended with exit code {exit_code}; run this drive alone to see why"
