# SPDX-License-Identifier: Apache-2.0
"""Offline replay: every recorded frame through the localizer in this process, in order, nothing lost.

Without `timing` no clock is read, so the same drive, map, model and number of threads give the same bytes in
every file of the run's folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodistill_core.bags.reader import DriveFrame, DriveReader, ReaderOptions, read_drive
from geodistill_core.errors import MapError
from geodistill_core.evaluation.attempt import attempt
from geodistill_core.evaluation.interrupt import interrupts_between_frames
from geodistill_core.evaluation.outcome import RESULTS, Outcome
from geodistill_core.evaluation.result_bag import ResultBag, datum_of
from geodistill_core.evaluation.run_info import RunInfo, run_info
from geodistill_core.evaluation.threads import torch_threads
from geodistill_core.evaluation.tracked_frames import TrackedFrames
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.types import Estimate

__all__ = ["ReplayPlan", "locate_frame", "map_beside", "replay", "replay_drive", "run_info"]

Step = Callable[..., None]


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """How drives are replayed: plain values, which travel to other processes and machines.

    With `track` the answers are those of a track over time, into which GNSS goes beside the images, whatever `prior`.
    `map_path` None takes the map that belongs to each drive. `threads` of the network are fixed, because sums
    in floating point depend on them. With `timing`, latency and throughput are measured. `runtime` names what runs
    the network.
    """

    model: str = "tiny"
    map_path: Path | None = None
    orientation_model: str | None = None
    prior: str = "gaussian"
    reader: ReaderOptions = ReaderOptions()  # noqa: RUF009 - frozen
    threads: int = 1
    timing: bool = False
    runtime: str = "torch"
    track: bool = False

    def localizer(self, map_path: Path) -> Localizer:
        """The planned network over a map; raises what `Localizer.load` raises."""
        prior = "flat" if self.track else self.prior
        config = LocalizerConfig(prior=prior, orientation_model=self.orientation_model)  # type: ignore[arg-type]
        return Localizer.load(self.model, map_path, config, runtime=self.runtime)  # type: ignore[arg-type]


def replay_drive(
    drive: Path, folder: Path, plan: ReplayPlan, step: Step = lambda count=1, total=None: None
) -> dict[str, Any]:
    """Replay one drive and leave a run folder; returns the metrics. `step(count, total)` counts frames.

    Where Ctrl-C or an error ends the replay early, the folder holds what had been done, marked as incomplete,
    and the error is raised afterwards.
    """
    reader = read_drive(drive, plan.reader)
    reader.check_truth()
    map_path = plan.map_path or map_beside(reader)
    localizer = plan.localizer(map_path)
    outcome = Outcome(run_info(reader, localizer, map_path, "offline", track=plan.track), reader)
    failure: BaseException | None = None
    step(0, reader.image_count)
    with interrupts_between_frames() as check:

        def counted() -> None:
            step()
            check()

        with ResultBag(folder / RESULTS, datum_of(reader)) as record:
            try:
                _run(reader, localizer, outcome, plan.timing, plan.threads, counted, record, track=plan.track)
            except (KeyboardInterrupt, Exception) as error:
                if not outcome.results:
                    raise
                interrupted = isinstance(error, KeyboardInterrupt)
                why = "interrupted" if interrupted else f"stopped by a {type(error).__name__}"
                outcome.stopped(why, reader.image_count)
                failure = error
        outcome.note_recording(reader)
        outcome.note_runtime(localizer)
        summary = outcome.save(folder, localizer.source)
    if failure is not None:
        raise failure
    return summary


def replay(
    reader: DriveReader,
    localizer: Localizer,
    info: RunInfo,
    *,
    timing: bool = False,
    threads: int = 1,
    step: Callable[[], None] = lambda: None,
    record: ResultBag | None = None,
) -> Outcome:
    """Localize every frame, call `step` after each, write the answers to `record`; see ReplayPlan for the others."""
    outcome = Outcome(info, reader)
    _run(reader, localizer, outcome, timing, threads, step, record)
    outcome.note_recording(reader)
    return outcome


def _run(
    reader: DriveReader,
    localizer: Localizer,
    outcome: Outcome,
    timing: bool,
    threads: int,
    step: Callable[[], None],
    record: ResultBag | None,
    *,
    track: bool = False,
) -> None:
    """`replay` into an outcome that the caller keeps whatever happens."""
    clock = time.perf_counter if timing else lambda: 0.0
    with torch_threads(threads):
        started_s = clock()
        tracked = TrackedFrames(localizer) if track else None
        for frame in reader.frames() if tracked is None else reader.frames(tracked.expecting):
            before_s = clock()
            found, pose = (locate_frame(frame, localizer), None) if tracked is None else tracked.locate(frame)
            latency_ms = 1e3 * (clock() - before_s) if timing else None
            if isinstance(found, Estimate):
                outcome.add(frame, found, latency_ms=latency_ms, tracked=pose)
                if record is not None:
                    record.add(frame, found)
            else:
                outcome.add(frame, found)
            step()
        outcome.elapsed_s = clock() - started_s if timing else None
    if len(outcome.results) != reader.image_count:
        outcome.stopped("the recording's index counts other images than it holds", reader.image_count)


def locate_frame(frame: DriveFrame, localizer: Localizer) -> Estimate | str:
    """The estimate of a recorded frame, or the reason why there is none."""
    if frame.image is None or frame.frame_prior is None:
        return str(frame.dropped)
    return attempt(localizer, frame.image, frame.frame_prior.prior)


def map_beside(reader: DriveReader) -> Path:
    """The map that belongs to a drive: named by its sidecar, or `DRIVE.mbtiles`; raises MapError for none."""
    named = reader.manifest.map if reader.manifest else None
    if named and (Path(named).is_absolute() or ".." in Path(named).parts):
        raise MapError(f"the sidecar of {reader.path.name} names the map {named!r}, which is not beside it; use --map")
    path = reader.path.parent / named if named else reader.path.with_suffix(".mbtiles")
    if not path.exists():
        raise MapError(f"there is no map at {path}; give one with --map")
    return path
