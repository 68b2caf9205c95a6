# SPDX-License-Identifier: Apache-2.0
"""Many drives, one localizer: which folder each drive gets, and what becomes of it.

A drive that cannot be run is a `Fate` with a reason and does not stop the others. Where drives run is a matter
of the `Runner`: one after another here, in `processes`, on a Ray `cluster`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from geodistill_core.errors import BagError, ConfigError, GeodistillError
from geodistill_core.printable import printable

DRIVES_FOLDER = "drives"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class DriveJob:
    """One drive to run: `bag` and `folder` are absolute, so that every process and machine finds them."""

    name: str
    bag: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a drive: scored, or `problem` says why not; `kept` if an earlier run had scored it.

    `exit_code` is what the drive alone would have ended with.
    """

    name: str
    problem: str | None = None
    kept: bool = False
    exit_code: int = 0


Work = Callable[[DriveJob], bool]
"""Runs a drive into its folder; true if the folder already held exactly this run. Must pickle."""

Runner = Callable[[Work, Sequence[DriveJob]], Generator[Fate, None, None]]
"""Fates in whatever order the drives end."""


def drive_jobs(bags: Sequence[Path], folder: Path) -> list[DriveJob]:
    """One job for each bag, by name: `FOLDER/drives/NAME`, NAME being the bag's, with as many of its parent
    folders as it takes to tell all of them apart.

    Raises:
        BagError: one of them does not exist.
        ConfigError: the same bag twice, or names that cannot be told apart.
    """
    for bag in bags:
        if not bag.exists():
            raise BagError(f"{bag} does not exist; give .mcap files or rosbag2 folders")
    paths = [bag.resolve() for bag in bags]
    if repeated := {path for path in paths if paths.count(path) > 1}:
        raise ConfigError(f"{min(repeated)} is given {paths.count(min(repeated))} times; give it once")
    for depth in range(1, max((len(path.parts) for path in paths), default=1)):
        names = [_name(path, depth) for path in paths]
        if len(set(names)) == len(names):
            root = folder.resolve() / DRIVES_FOLDER
            return sorted((DriveJob(n, p, root / n) for n, p in zip(names, paths, strict=True)), key=lambda j: j.name)
    raise ConfigError(f"{', '.join(sorted(path.name for path in paths))} give the same folder names; rename one")


def _name(path: Path, depth: int) -> str:
    own = path.name if path.is_dir() else path.stem
    return _NOT_IN_NAMES.sub("_", "-".join([*path.parts[-depth:-1], own])).lstrip(".") or "_"


def fate_of(work: Work, job: DriveJob) -> Fate:
    """Run one drive; whatever goes wrong with it is told in its fate, without the folders it lies in."""
    try:
        return Fate(job.name, kept=work(job))
    except GeodistillError as error:
        return _failed(job, str(error), error.exit_code)
    except Exception as error:  # one drive must not end the others
        return _failed(job, f"{type(error).__name__}: {error}", 1)


def _failed(job: DriveJob, problem: str, exit_code: int) -> Fate:
    said = " ".join(problem.replace(f"{job.bag.parent}/", "").split())
    return Fate(job.name, printable(said), exit_code=exit_code)


def one_by_one(work: Work, jobs: Sequence[DriveJob]) -> Generator[Fate, None, None]:
    """The drives in this process, in order."""
    return (fate_of(work, job) for job in jobs)
