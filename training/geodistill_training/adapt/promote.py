# SPDX-License-Identifier: Apache-2.0
"""Judge an adapted network as it would be shipped, and ship it or not."""

from __future__ import annotations

import shutil
from typing import Any

from geodistill_core.evaluation.files import write_json
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.checkpoint import load_checkpoint, save_checkpoint
from geodistill_core.models.manifest import Calibration, Manifest
from geodistill_training.adapt.drive_job import DriveJob, OpenDrive
from geodistill_training.adapt.held_out import answer_held_out
from geodistill_training.adapt.verdict import Verdict, judge
from geodistill_training.recipe.recipe import Recipe


def judge_and_promote(recipe: Recipe, job: DriveJob, drive: OpenDrive, student: AnyNetwork) -> Verdict:
    """The verdict on `student` against the job's model, on the held-out part of the drive.

    The rounded weights are what is judged; they lie with their manifest in the run's `candidate`, beside
    `verdict.json`. Both are copied to the output if, and only if, the verdict is good.
    """
    before, manifest = load_checkpoint(job.model)
    candidate = job.run / "candidate"
    described = _described(manifest, recipe, job, drive)
    save_checkpoint(candidate, student.cpu().eval(), described)
    after, _ = load_checkpoint(candidate)
    old, new = (drive.localizer(network, manifest, "flat") for network in (before, after))
    with job.shown("held-out part", sum(map(len, drive.parts.held))) as step:
        held = answer_held_out(drive.reader, drive.odometry, drive.parts, old, new, step)
    inflation = held.inflation()
    used = min(inflation, job.rule.most_inflation)
    verdict = judge(held.at(used), inflation, job.rule)
    calibration = earned_calibration(manifest, used, len(held.frames))
    save_checkpoint(candidate, after, {**described, "calibration": calibration})
    write_json(job.run / "verdict.json", _report(verdict, drive, calibration))
    if verdict.promoted:
        shutil.copytree(candidate, job.output, dirs_exist_ok=True)
        shutil.copy2(job.run / "verdict.json", job.output / "verdict.json")
    return verdict


def earned_calibration(manifest: Manifest, inflation: float, frames: int) -> Calibration | None:
    """The old temperature times `inflation`; it says that it was not fitted to these weights."""
    old = manifest.calibration
    if old is None:
        return None
    how = "kept" if inflation == 1.0 else f"raised {inflation:.2f} times"
    text = (
        f"not fitted to these weights: {how} from {manifest.name} ({old.samples} samples, {old.fitted_on}; likelihoods "
        f"are that network's), so that {frames} held-out frames disagree with odometry no more for their covariances"
    )
    return old.model_copy(update={"temperature": old.temperature * inflation, "fitted_on": text})


def _described(manifest: Manifest, recipe: Recipe, job: DriveJob, drive: OpenDrive) -> dict[str, Any]:
    """The adapted network's manifest, before hash and probe; it names where its weights come from."""
    training = {
        "adapted_from": {"name": manifest.name, "sha256": manifest.sha256, "training": manifest.training},
        "data": f"{job.bag.name}: {len(drive.parts.learned)} frames, no position labels",
        "recipe": recipe.model_dump(mode="json"),
        "recipe_digest": recipe.digest(),
    }
    kept = manifest.model_dump(mode="json", exclude={"sha256", "probe", "tracking"})
    return {**kept, "name": f"{manifest.name}-{job.output.name}", "training": training}


def _report(verdict: Verdict, drive: OpenDrive, calibration: Calibration | None) -> dict[str, Any]:
    frames = {
        "learned": len(drive.parts.learned),
        "held_out": sum(map(len, drive.parts.held)),
        "between": drive.parts.dropped,
    }
    return {**verdict.report(), "frames": frames, "calibration": calibration and calibration.model_dump()}
