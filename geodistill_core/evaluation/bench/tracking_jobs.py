# SPDX-License-Identifier: Apache-2.0
"""Pieces of work in processes of this machine, answered in the order in which they were given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from multiprocessing import get_context, parent_process
from multiprocessing.queues import Queue
from queue import Empty
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_POLL_S = 0.2
_counted: list[Any] = []


def in_order(
    work: Callable[[T, Callable[[], None]], R], pieces: Sequence[T], jobs: int, step: Callable[..., None]
) -> list[R]:
    """`work(piece, count)` for each piece, `jobs` at a time; it must pickle. Each `count()` is a `step()` here."""
    if jobs == 1:
        return [work(piece, step) for piece in pieces]
    # a forked copy of a process that has computed with torch may hang
    context = get_context("spawn")
    counts: Queue[int] = context.Queue()
    with ProcessPoolExecutor(min(jobs, len(pieces)), context, _count_into, (counts,)) as pool:
        futures = [pool.submit(_run, work, piece) for piece in pieces]
        left: set[Future[R]] = set(futures)
        try:
            while left:
                _, left = wait(left, timeout=_POLL_S)
                _drain(counts, step)
                for future in futures:
                    if future.done():
                        future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    _drain(counts, step)
    return [future.result() for future in futures]


def _count_into(counts: Queue[int]) -> None:
    _counted.append(counts)


def _run(work: Callable[[T, Callable[[], None]], R], piece: T) -> R:
    def count() -> None:
        parent = parent_process()
        if parent is not None and not parent.is_alive():
            raise SystemExit("nobody waits for this work any more")
        _counted[0].put(1)

    return work(piece, count)


def _drain(counts: Queue[int], step: Callable[..., None]) -> None:
    while True:
        try:
            counts.get_nowait()
        except Empty:
            return
        step()
