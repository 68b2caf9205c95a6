# SPDX-License-Identifier: Apache-2.0
"""Adapt a network to where a drive led: pairs, teacher, students, verdict."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from geodistill_core.bags.reader import ReaderOptions, read_drive
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.files import write_json
from geodistill_core.maps import open_map
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.checkpoint import load_checkpoint
from geodistill_core.models.manifest import Manifest
from geodistill_training.adapt.bag_pairs import BagPairs, predict_drive, write_bag_pairs
from geodistill_training.adapt.drive_job import DriveJob, OpenDrive
from geodistill_training.adapt.drive_parts import divide_drive
from geodistill_training.adapt.odometry import Odometry
from geodistill_training.adapt.pipeline import PREDICTIONS, Target, adapt
from geodistill_training.adapt.predictions import Predictions
from geodistill_training.adapt.promote import judge_and_promote
from geodistill_training.adapt.verdict import Verdict
from geodistill_training.recipe.bag import BagData
from geodistill_training.recipe.network import NetworkRecipe
from geodistill_training.recipe.recipe import Recipe


def adapt_to_drive(recipe: Recipe, job: DriveJob) -> Verdict:
    """Everything from a bag to a verdict; see `DriveJob` and `judge_and_promote` for what it leaves behind.

    Raises:
        ConfigError: the recipe is not for a drive, the run belongs to another drive, or `output` holds something.
        BagError: the drive is too short, or has no odometry.
        CheckpointError, MapError: model or map cannot be used.
    """
    data = recipe.data
    if not isinstance(data, BagData) or recipe.method != "adapt":
        raise ConfigError(f"recipe {recipe.name} is not for a drive; set method: adapt and data: {{dataset: bag}}")
    if job.output.exists() and (job.output.is_file() or any(job.output.iterdir())):
        raise ConfigError(f"{job.output} is not empty; name a new folder for the adapted checkpoint")
    reader = read_drive(job.bag, ReaderOptions(camera_height_m=job.camera_height_m))
    teacher, manifest = load_checkpoint(job.model)
    claim(job, manifest)
    odometry = Odometry(reader)
    recipe = recipe.model_copy(update={"network": _network_of(manifest, job.model)})
    drive = OpenDrive(reader, odometry, divide_drive(reader, odometry, data), open_map(job.map), data)
    student = adapt(recipe, job.run, teacher, _target(drive, teacher, manifest, job), job.engine).network
    return judge_and_promote(recipe, job, drive, student)


def _network_of(manifest: Manifest, model: str) -> NetworkRecipe:
    """The network of a checkpoint, as a recipe names it."""
    arguments = {key: value for key, value in manifest.arguments.items() if key != "geometry"}
    geometry = manifest.arguments.get("geometry", "corrected")
    return NetworkRecipe(architecture=manifest.architecture, geometry=geometry, arguments=arguments, start=str(model))


def claim(job: DriveJob, manifest: Manifest) -> None:
    """One run folder serves one drive and one model.

    Raises:
        ConfigError: it was begun for others.
    """
    path = job.run / "drive.json"
    about = {"bag": job.bag.name, "bag_sha256": job.digest(), "model": manifest.name, "model_sha256": manifest.sha256}
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else about
    if known != about:
        raise ConfigError(
            f"{job.run} adapts {known.get('model')} to {known.get('bag')}, or did so with other files of these names; "
            "use another run folder, or delete it"
        )
    write_json(path, about)


def _target(drive: OpenDrive, teacher: AnyNetwork, manifest: Manifest, job: DriveJob) -> Target:
    """The learned part of the drive. Making its pairs gives the teacher's predictions on the way."""
    pairs = _pairs(drive, teacher, manifest, job, job.run / "pairs", job.run / "teacher" / PREDICTIONS)

    def predict(network: AnyNetwork) -> Predictions:
        with job.shown("auxiliary student's answers", len(pairs)) as step:
            return predict_drive(drive.reader, drive.localizer(network, manifest, drive.data.prior), pairs, step)

    return Target(pairs, predict)


def _pairs(
    drive: OpenDrive, teacher: AnyNetwork, manifest: Manifest, job: DriveJob, folder: Path, said: Path
) -> BagPairs:
    if not (folder.is_dir() and said.is_file()):
        shutil.rmtree(folder, ignore_errors=True)
        stamps = drive.parts.learned
        with job.shown("teacher's answers", len(stamps)) as step:
            localizer = drive.localizer(teacher, manifest, drive.data.prior)
            write_bag_pairs(drive.reader, localizer, stamps, folder, step).save(said)
    return BagPairs(folder)
