# SPDX-License-Identifier: Apache-2.0
"""Batches from worker processes: errors come as they are, a dead worker is explained, and waiting is measured."""

from __future__ import annotations

import shutil
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
from torch.utils.data import DataLoader, Dataset

from geodistill_core.errors import GeodistillError, TrainingError
from geodistill_training.data.examples import Batch

_PREFETCHED = 4
_SHARED_MEMORY = "/dev/shm"
_SIGNS_OF_DEATH = ("dataloader worker", "shared memory", "unable to open shm", "bus error")


class _Answering(Dataset[Batch | GeodistillError]):
    """Answers with an error instead of raising it, since a loader would wrap it in a worker's traceback."""

    def __init__(self, batches: Dataset[Batch]) -> None:
        self.batches = batches

    def __getitem__(self, index: int) -> Batch | GeodistillError:
        try:
            return self.batches[index]
        except GeodistillError as error:
            return error


def load(batches: Dataset[Batch], indices: Sequence[int], workers: int) -> Iterator[Batch]:
    """The batches of `indices` in order, made ahead by `workers` processes (0: by this one, when they are asked for).

    Raises:
        GeodistillError: whatever the batches raise.
    """
    if workers:
        cv2.setNumThreads(1)  # its threads do not live on in a fork, which would wait for them for ever
    loader = DataLoader(
        _Answering(batches),
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        prefetch_factor=_PREFETCHED if workers else None,
        worker_init_fn=_be_a_worker,
    )
    for answer in loader:
        if isinstance(answer, GeodistillError):
            raise answer
        yield answer


@contextmanager
def named_death_of_a_worker() -> Iterator[None]:
    """Explain the end of a loading process, which a signal reports wherever the trainer is just then.

    Raises:
        TrainingError: a worker died.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        # a process that dies while it hands a batch over is noticed as a broken connection
        broken_off = isinstance(error, ConnectionError | EOFError)
        if not broken_off and not any(sign in str(error).lower() for sign in _SIGNS_OF_DEATH):
            raise
        with _deaf_to_processes():
            # What they hold of the loader is let go: it would report this process again when any other one ends.
            traceback.clear_frames(error.__traceback__)
        free_mb = shutil.disk_usage(_SHARED_MEMORY).free / 1e6
        raise TrainingError(
            f"a data loading process died ({error}): it was killed, or memory ran out ({free_mb:.0f} MB of shared "
            f"memory free in {_SHARED_MEMORY}). Give the container more (docker run --shm-size 2g), or load without "
            "processes: --workers 0. Starting the same command again continues from the last snapshot"
        ) from error


@contextmanager
def _deaf_to_processes() -> Iterator[None]:
    """Do not hear of processes that end; the loader's handler, which raises wherever the trainer is, comes back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)


def _be_a_worker(_: int) -> None:
    """Leave Ctrl-C to the trainer, and end when it says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Waiting:
    """The share of time that the trainer spends waiting for data."""

    def __init__(self) -> None:
        self.waited_s = self.worked_s = 0.0

    @property
    def share(self) -> float:
        """Waiting over all time, without the wait for the very first batch."""
        return self.waited_s / max(self.waited_s + self.worked_s, 1e-9)

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; measures how long each is waited for, and how long the caller keeps it."""
        first = True
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            got = time.monotonic()
            if batch is None:
                return
            self.waited_s += 0.0 if first else got - asked
            first = False
            yield batch
            self.worked_s += time.monotonic() - got
