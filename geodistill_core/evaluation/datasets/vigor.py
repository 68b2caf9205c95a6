# SPDX-License-Identifier: Apache-2.0
"""The evaluation of a model on VIGOR."""

from __future__ import annotations

from pathlib import Path

from geodistill_core.bags.datasets.vigor import VigorSplit, plan_vigor
from geodistill_core.datasets.vigor.splits import label_file
from geodistill_core.evaluation.datasets.asked import Asked, by_papers, by_vehicle
from geodistill_core.evaluation.datasets.evaluation import Evaluation
from geodistill_core.evaluation.datasets.vigor_papers import VigorPapers
from geodistill_core.types import DEFAULT_CAMERA_HEIGHT_M


def vigor_evaluation(
    root: Path, split: VigorSplit, asked: Asked, camera_height_m: float = DEFAULT_CAMERA_HEIGHT_M
) -> Evaluation:
    """What is asked on a part of VIGOR, which states no camera height; `evaluate` answers it.

    Raises:
        DatasetError: a label file is missing or holds no sample.
        CheckpointError: a model cannot be used.
        ConfigError: a setting is out of range.
    """
    if asked.protocol == "vehicle":
        plan = plan_vigor(root, split, asked.noise, camera_height_m)
        paths = [label_file(root, drive.name, split.area, split.part, split.labels) for drive in plan.drives]
        return by_vehicle(plan, asked, root, {f"{path.parent.name}/{path.name}": path for path in paths})
    samples = VigorPapers(root, split, asked.paper, camera_height_m)
    settings = {"cities": list(samples.cities), "limit": split.limit, "camera_height_m": camera_height_m}
    return by_papers(samples, asked, root, ("vigor", split.name), settings)
