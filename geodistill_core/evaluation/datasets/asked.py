# SPDX-License-Identifier: Apache-2.0
"""What is asked of a model on a data set, in plain values, and the evaluation that comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from geodistill_core.bags.datasets.drive import DatasetPlan
from geodistill_core.datasets.case import PriorNoise
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.datasets.evaluation import Evaluation
from geodistill_core.evaluation.datasets.paper import PaperJudge
from geodistill_core.evaluation.datasets.question import PaperOptions, PaperSet
from geodistill_core.evaluation.datasets.run import Pace
from geodistill_core.evaluation.datasets.vehicle import VehicleJudge
from geodistill_core.localization import LocalizerConfig
from geodistill_core.localization.localizer import orientation_network
from geodistill_core.models.checkpoint import load_checkpoint, resolve
from geodistill_core.models.manifest import Manifest, read_manifest

PROTOCOLS = ("paper", "vehicle")


@dataclass(frozen=True, slots=True)
class Asked:
    """`protocol` paper: each image on its own tile, the position unknown; vehicle: as its recording is replayed.

    The heading is known within `heading_range_deg` to either side (0: exactly, 180: not at all). `gnss_sigma_m` is of
    the vehicle's position, None for the split's own. `orientation_model` is the checkpoint of an orientation network.
    `device` runs the network under the papers' protocol; `table` is the suffix of the per-sample table.
    """

    model: str = "tiny"
    protocol: str = "paper"
    heading_range_deg: float = 10.0
    gnss_sigma_m: float | None = None
    seed: int = 0
    orientation_model: str | None = None
    pace: Pace = Pace()  # noqa: RUF009 - frozen
    threads: int = 1
    device: str = "cpu"
    table: str = ".csv"

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ConfigError(f"protocol {self.protocol!r} is neither {' nor '.join(PROTOCOLS)}")
        if self.protocol == "paper" and self.gnss_sigma_m is not None:
            raise ConfigError(f"GNSS sigma {self.gnss_sigma_m} m: the papers know no GNSS; ask by protocol vehicle")
        if self.protocol == "vehicle" and self.device != "cpu":
            raise ConfigError(f"device {self.device!r}: the vehicle's localizer runs on the cpu; leave the device out")

    @property
    def paper(self) -> PaperOptions:
        """The papers' question."""
        return PaperOptions(self.heading_range_deg, seed=self.seed)

    @property
    def noise(self) -> PriorNoise:
        """The vehicle's."""
        return PriorNoise(self.gnss_sigma_m, self.heading_range_deg, self.seed)


def by_papers(
    samples: PaperSet, asked: Asked, root: Path, named: tuple[str, str], settings: Mapping[str, Any]
) -> Evaluation:
    """The evaluation under the papers' protocol; `named` is data set and split, `settings` what chose the samples.

    Raises:
        CheckpointError: a model cannot be used.
        ConfigError: there is no such device, or the orientation model is none.
    """
    network, manifest = load_checkpoint(asked.model)
    orientation = None if asked.orientation_model is None else orientation_network(asked.orientation_model)
    judge = PaperJudge(samples, network, manifest, asked.paper, orientation, _usable(asked.device))
    facts = {"device": asked.device, "yaw_step_deg": asked.paper.yaw_step_deg}
    return _evaluation(judge, asked, root, named, samples.lists, {**settings, **facts})


def by_vehicle(plan: DatasetPlan, asked: Asked, root: Path, lists: Mapping[str, Path]) -> Evaluation:
    """The evaluation as a vehicle would ask: of the drives that a part of a data set becomes.

    Raises:
        CheckpointError: a model cannot be used.
    """
    config = LocalizerConfig(orientation_model=asked.orientation_model)
    judge = VehicleJudge(plan, asked.model, config)
    facts = {"gnss_sigma_m": asked.gnss_sigma_m, "prior": config.prior}
    return _evaluation(judge, asked, root, (plan.dataset, plan.split), lists, {**plan.settings, **facts})


def _evaluation(
    judge: PaperJudge | VehicleJudge,
    asked: Asked,
    root: Path,
    named: tuple[str, str],
    lists: Mapping[str, Path],
    settings: Mapping[str, Any],
) -> Evaluation:
    models = {"model": asked.model, "orientation model": asked.orientation_model}
    manifests = {role: read_manifest(resolve(name)) for role, name in models.items() if name is not None}
    configuration = {"protocol": asked.protocol, "heading_range_deg": asked.heading_range_deg, **settings}
    return Evaluation(
        judge,
        root,
        lists,
        *named,
        model=manifests["model"].name,
        hashes={role: manifest.sha256 for role, manifest in manifests.items()} | _calibrations(manifests),
        seed=asked.seed,
        configuration=configuration,
        pace=asked.pace,
        threads=asked.threads,
        table=asked.table,
    )


def _calibrations(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """SHA-256 of what else decides an answer beside the weights."""
    return {
        f"calibration of the {role}": hashlib.sha256(manifest.calibration.model_dump_json().encode()).hexdigest()
        for role, manifest in manifests.items()
        if manifest.calibration is not None
    }


def _usable(device: str) -> str:
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device {device!r} cannot be used ({reason}); choose cpu, or cuda where there is one"
        ) from error
    return device
