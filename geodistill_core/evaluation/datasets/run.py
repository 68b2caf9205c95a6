# SPDX-License-Identifier: Apache-2.0
"""A part of a data set, sample by sample: read ahead in threads, answered in batches, resumed where it was stopped.

Samples are answered in fixed batches of neighbours in the list, so that the results depend neither on the number of
threads that read nor on how often the evaluation was stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.evaluation.datasets.judged import Judged
from geodistill_core.evaluation.files import write_json
from geodistill_core.evaluation.frame_table import read_frames, write_frames
from geodistill_core.evaluation.metrics import FrameResult

PARTS_FOLDER = ".parts"
BAD_FILE, BAD_LABEL = "bad_file", "bad_label"
_PART_SAMPLES = 64
_MAX_BATCH, _MAX_WORKERS = 1024, 64

Loaded = TypeVar("Loaded")


class Judge(Protocol[Loaded]):
    """A model over samples; `rejected` says why lines of the lists are none, by `FILE:LINE`."""

    @property
    def rejected(self) -> Mapping[str, str]: ...  # noqa: D102

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """How results name a sample."""

    def load(self, index: int) -> Loaded:
        """Read a sample, in any thread.

        Raises:
            DatasetError: its files are missing or broken; the message names them.
        """

    def answer(self, batch: Sequence[Loaded]) -> list[Judged]:
        """Results for samples, in order."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`batch` samples at a time through the network, while `workers` threads read those that follow."""

    batch: int = 8
    workers: int = 2

    def __post_init__(self) -> None:
        for name, value, limit in (("batch", self.batch, _MAX_BATCH), ("workers", self.workers, _MAX_WORKERS)):
            if not 1 <= value <= limit:
                raise ConfigError(f"{name} {value} is outside 1..{limit}")


@dataclass(slots=True)
class Verdicts:
    """Results of all samples in the lists' order, then of lines that are none; `skipped` says why, by sample."""

    results: list[FrameResult] = field(default_factory=list)
    center: list[FrameResult] = field(default_factory=list)
    random: list[FrameResult] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def extend(self, other: Verdicts) -> None:
        """Append the verdicts on the samples that follow."""
        self.results += other.results
        self.center += other.center
        self.random += other.random
        self.skipped |= other.skipped


_TABLES = ("center", "random", "results")


def judge_all(judge: Judge[Any], parts: Path, pace: Pace, step: Callable[..., None]) -> Verdicts:
    """Answer every sample; `step(count)` counts them. What is done is kept in `parts`, and taken from there.

    Raises:
        DatasetError: no sample could be read.
    """
    size = pace.batch * -(-_PART_SAMPLES // pace.batch)
    verdicts = Verdicts()
    with ThreadPoolExecutor(pace.workers) as pool:
        for first in range(0, len(judge), size):
            indices = range(first, min(first + size, len(judge)))
            stem = parts / f"{first:08d}"
            part = _read(stem)
            if part is None:
                part = _judged(judge, indices, pace, pool, step)
                _write(stem, part)
            else:
                step(len(indices))
            verdicts.extend(part)
    if len(verdicts.skipped) == len(judge):
        raise DatasetError(
            f"none of {len(judge)} samples can be read; the first: {next(iter(verdicts.skipped.values()))}"
        )
    for number, where in enumerate(judge.rejected, len(judge)):
        verdicts.results.append(FrameResult(number, dropped=BAD_LABEL, key=where))
    verdicts.skipped |= judge.rejected
    return verdicts


def claim(folder: Path, identity: Mapping[str, Any]) -> Path:
    """The folder for what is done until all is, empty or left by an evaluation of the same identity.

    Raises:
        ConfigError: it holds the beginning of another evaluation, or cannot be written.
    """
    parts = folder / PARTS_FOLDER
    note = parts / "identity"
    wanted = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    if note.exists() and note.read_text(encoding="utf-8") != wanted:
        raise ConfigError(
            f"{folder} holds the beginning of another evaluation (other data, model or options); give another "
            f"--output, or remove {parts}"
        )
    try:
        parts.mkdir(parents=True, exist_ok=True)
        note.write_text(wanted, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {parts}: {error.strerror}; give another --output") from error
    return parts


def _judged(
    judge: Judge[Any], indices: range, pace: Pace, pool: ThreadPoolExecutor, step: Callable[..., None]
) -> Verdicts:
    made = Verdicts()
    loaded = _read_ahead(judge, indices, pool, pace)
    for first in range(0, len(indices), pace.batch):
        batch = indices[first : first + pace.batch]
        samples = [next(loaded) for _ in batch]
        answers = iter(judge.answer([s for s in samples if not isinstance(s, DatasetError)]))
        for index, sample in zip(batch, samples, strict=True):
            if isinstance(sample, DatasetError):
                made.results.append(FrameResult(index, dropped=BAD_FILE, key=judge.key(index)))
                made.skipped[judge.key(index)] = str(sample)
                continue
            judged = next(answers)
            made.results.append(judged.result)
            made.center.append(judged.center)
            made.random.append(judged.random)
        step(len(batch))
    return made


def _read_ahead(judge: Judge[Any], indices: range, pool: ThreadPoolExecutor, pace: Pace) -> Iterator[Any]:
    """Samples, or why there is none, in order; up to two batches wait."""
    waiting: deque[Future[Any]] = deque()
    for index in indices:
        waiting.append(pool.submit(_loaded, judge, index))
        if len(waiting) > 2 * pace.batch:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _loaded(judge: Judge[Any], index: int) -> Any:
    try:
        return judge.load(index)
    except DatasetError as error:
        return error


def _write(stem: Path, part: Verdicts) -> None:
    """The results last: where they are, the part is whole."""
    write_json(stem.with_suffix(".json"), part.skipped)
    for name in _TABLES:
        write_frames(stem.with_suffix(f".{name}.csv"), getattr(part, name))


def _read(stem: Path) -> Verdicts | None:
    if not stem.with_suffix(".results.csv").exists():
        return None
    tables = {name: read_frames(stem.with_suffix(f".{name}.csv")) for name in _TABLES}
    return Verdicts(**tables, skipped=json.loads(stem.with_suffix(".json").read_text(encoding="utf-8")))
