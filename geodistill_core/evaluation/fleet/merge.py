# SPDX-License-Identifier: Apache-2.0
"""The run folders of many drives merged into one: all their frames scored together, and each drive beside the
others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geodistill_core.errors import GeodistillError
from geodistill_core.evaluation.files import write_json
from geodistill_core.evaluation.fleet.jobs import DriveJob, Fate, Runner, Work
from geodistill_core.evaluation.frame_table import read_frames, write_frames
from geodistill_core.evaluation.metrics import FrameResult, summarize
from geodistill_core.evaluation.outcome import INCOMPLETE, METRICS, RunInfo
from geodistill_core.evaluation.report.fleet_page import render_fleet_page
from geodistill_core.evaluation.report.page import Report

_NAMED = 3
_OF_THE_FLEET = ("model", "versions", "seed", "latency_ms", "throughput_hz")


class FleetError(GeodistillError):
    """No drive could be run; the exit code is what the first of them alone would have ended with."""

    def __init__(self, fate: Fate, count: int) -> None:
        super().__init__(f"none of {count} drives could be run; {fate.name}: {fate.problem}")
        self.exit_code = fate.exit_code or 4


@dataclass(frozen=True, slots=True)
class DriveRun:
    """A drive's run folder: its metrics, what was run, and its frames, whose keys begin with the drive's name."""

    metrics: Mapping[str, Any]
    info: Mapping[str, Any]
    frames: Sequence[FrameResult]


def run_fleet(
    jobs: Sequence[DriveJob], folder: Path, work: Work, runner: Runner, report: Callable[[Fate], None]
) -> dict[str, Any]:
    """Run the drives, telling `report` of each as it ends, and merge them in `folder`; returns the metrics.

    After Ctrl-C the drives that had ended are merged and marked as incomplete, and KeyboardInterrupt is raised.

    Raises:
        FleetError: no drive could be run.
    """
    fates: dict[str, Fate] = {}
    interrupted: KeyboardInterrupt | None = None
    try:
        with closing(runner(work, jobs)) as ended:
            for fate in ended:
                fates[fate.name] = fate
                report(fate)
    except KeyboardInterrupt as error:
        interrupted = error
    summary = merge(jobs, fates, folder)
    if interrupted is not None:
        raise interrupted
    if not summary["drives"]:
        raise FleetError(fates[jobs[0].name], len(jobs))
    return summary


def merge(jobs: Sequence[DriveJob], fates: Mapping[str, Fate], folder: Path) -> dict[str, Any]:
    """Write metrics.json, frames.csv, run.json and report.html of all scored drives to `folder`.

    Every drive is accounted for: scored ones under `drives`, the others under `failed` with the reason. Drives
    without a fate have not been run. The bytes depend on the drives alone, not on who ran them. Returns the metrics.
    """
    scored = {job.name: read_run(job) for job in jobs if job.name in fates and fates[job.name].problem is None}
    failed = {name: fate.problem for name, fate in fates.items() if fate.problem is not None}
    frames = [frame for run in scored.values() for frame in run.frames]
    info = fleet_info(scored, len(jobs))
    summary = summarize(frames, model=info.model, map_name=info.map_name, versions=_versions(scored.values()))
    summary["drives"] = {
        name: {key: value for key, value in run.metrics.items() if key not in _OF_THE_FLEET}
        for name, run in scored.items()
    }
    summary["failed"] = failed
    if missing := len(jobs) - len(fates):
        summary[INCOMPLETE] = f"interrupted, {missing} of {len(jobs)} drives have not ended"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METRICS).unlink(missing_ok=True)
    write_frames(folder / "frames.csv", frames)
    write_json(folder / "run.json", info.to_json())
    page = render_fleet_page(Report(info.title, summary, frames, {**info.configuration, **info.hashes}))
    (folder / "report.html").write_text(page, encoding="utf-8")
    write_json(folder / METRICS, summary)
    return summary


def read_run(job: DriveJob) -> DriveRun:
    """What a drive's run left in its folder; raises GeodistillError where that cannot be read."""
    metrics, info = (json.loads((job.folder / name).read_text(encoding="utf-8")) for name in (METRICS, "run.json"))
    frames = read_frames(job.folder / "frames.csv")
    return DriveRun(metrics, info, [replace(f, key=f"{job.name}/{f.key or f.stamp_ns}") for f in frames])


def fleet_info(runs: Mapping[str, DriveRun], count: int) -> RunInfo:
    """The fleet as one run: what all drives have in common, and which bag each drive was."""
    infos = [run.info for run in runs.values()]
    shared = dict(infos[0]["configuration"]) if infos else {}
    for info in infos:
        shared = {key: value for key, value in shared.items() if info["configuration"].get(key) == value}
    return RunInfo(
        f"{len(runs)} drives" if len(runs) == count else f"{len(runs)} of {count} drives",
        _joined((info["model"] for info in infos), "models"),
        _joined((info["map"] for info in infos), "maps"),
        None,
        shared,
        _joined((info["fingerprint"] for info in infos), "fingerprints"),
        _hashes(runs),
    )


def _hashes(runs: Mapping[str, DriveRun]) -> dict[str, str]:
    """What is the same for all drives once, the rest for each of them."""
    named = [(name, kind, digest) for name, run in runs.items() for kind, digest in run.info["hashes"].items()]
    shared = {kind: {digest for _, other, digest in named if other == kind} for _, kind, _ in named}
    return {kind if len(shared[kind]) == 1 else f"{kind} of {name}": digest for name, kind, digest in named}


def _joined(values: Iterable[str], many: str) -> str:
    """Distinct values, or how `many` there are."""
    distinct = list(dict.fromkeys(values))
    return ", ".join(distinct) if len(distinct) <= _NAMED else f"{len(distinct)} {many}"


def _versions(runs: Iterable[DriveRun]) -> dict[str, str]:
    """Versions that the drives were run with; several where machines differ."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, version in run.metrics["versions"].items():
            found.setdefault(name, {})[version] = None
    return {name: ", ".join(versions) for name, versions in found.items()}
