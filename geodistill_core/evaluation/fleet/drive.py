# SPDX-License-Identifier: Apache-2.0
"""One drive of a fleet: replayed into its folder, unless the folder already holds exactly this run."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

from geodistill_core.bags.manifest import sha256_of, sidecar_path
from geodistill_core.bags.reader import read_drive
from geodistill_core.bags.truth.source import TruthOptions
from geodistill_core.errors import ConfigError, MapError
from geodistill_core.evaluation.files import to_json, versions
from geodistill_core.evaluation.fleet.jobs import DriveJob, Work
from geodistill_core.evaluation.outcome import METRICS
from geodistill_core.evaluation.replay import ReplayPlan, map_beside, replay_drive
from geodistill_core.models.checkpoint import SHIPPED, resolve
from geodistill_core.models.manifest import read_manifest

MARKER = "finished.json"


def fleet_work(plan: ReplayPlan) -> Work:
    """What replays each drive as planned, with paths that hold wherever the same files are seen.

    Raises:
        CheckpointError, MapError: the plan names a model or a map that is not there.
        ConfigError: the plan measures time, which drives that share a machine would distort.
    """
    if plan.timing:
        raise ConfigError("--timing with several drives measures how they disturb each other; time one drive alone")
    if plan.map_path is not None and not plan.map_path.exists():
        raise MapError(f"{plan.map_path} does not exist; give imagery that is there, or leave out --map")
    portable = replace(
        plan,
        map_path=plan.map_path and plan.map_path.resolve(),
        model=_anywhere(plan.model),
        orientation_model=plan.orientation_model and _anywhere(plan.orientation_model),
        reader=replace(plan.reader, truth=_rooted(plan.reader.truth)),
    )
    return partial(replay_or_keep, portable)


def _anywhere(model: str) -> str:
    folder = resolve(model)
    return model if folder.parent == SHIPPED else str(folder.resolve())


def _rooted(truth: TruthOptions) -> TruthOptions:
    is_file = truth.source is not None and Path(truth.source).is_file()
    return replace(truth, source=str(Path(str(truth.source)).resolve())) if is_file else truth


def replay_or_keep(plan: ReplayPlan, job: DriveJob) -> bool:
    """Replay a drive into its folder; true, and nothing is done, if that run is already there."""
    marker = job.folder / MARKER
    if marker.is_file() and marker.read_text(encoding="utf-8") == _marker(plan, job):
        return True
    marker.unlink(missing_ok=True)
    replay_drive(job.bag, job.folder, plan)
    marker.write_text(_marker(plan, job), encoding="utf-8")
    return False


def _marker(plan: ReplayPlan, job: DriveJob) -> str:
    """What a finished run stands on, and what it left: hashes of plan, versions, inputs and outputs."""
    reader, models = read_drive(job.bag, plan.reader), [plan.model, plan.orientation_model]
    inputs = [job.bag, plan.map_path or map_beside(reader), sidecar_path(job.bag), reader.truth_file]
    outputs = [job.folder / name for name in (METRICS, "run.json", "frames.csv")]
    truth = replace(plan.reader.truth, source="") if reader.truth_file else plan.reader.truth
    # files count by what they hold, not by where they lie
    settings = replace(plan, model="", map_path=None, orientation_model=None, reader=replace(plan.reader, truth=truth))
    stands_on = {
        "plan": hashlib.sha256(repr(settings).encode()).hexdigest(),
        "versions": versions(),
        "models": [read_manifest(resolve(name)).sha256 for name in models if name],
        "files": [sha256_of(path) if path and path.exists() else None for path in [*inputs, *outputs]],
    }
    return to_json(stands_on)
