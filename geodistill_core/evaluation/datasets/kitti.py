# SPDX-License-Identifier: Apache-2.0
"""The evaluation of a model on KITTI's cross-view lists."""

from __future__ import annotations

from pathlib import Path

from geodistill_core.bags.datasets.kitti import KittiSplit, plan_kitti
from geodistill_core.datasets.kitti.frames import list_file
from geodistill_core.datasets.kitti.images import CAMERA_HEIGHT_M
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.datasets.asked import Asked, by_papers, by_vehicle
from geodistill_core.evaluation.datasets.evaluation import Evaluation
from geodistill_core.evaluation.datasets.kitti_papers import KittiPapers


def kitti_evaluation(
    root: Path,
    split: KittiSplit,
    asked: Asked,
    lists: Path | None = None,
    camera_height_m: float = CAMERA_HEIGHT_M,
) -> Evaluation:
    """What is asked on a list of KITTI (in `lists`, or in `root`); `evaluate` answers it.

    Raises:
        DatasetError: the list is missing or holds no frame.
        CheckpointError: a model cannot be used.
        ConfigError: a setting is out of range, or an orientation model is given.
    """
    if asked.orientation_model is not None:
        raise ConfigError("orientation networks read panoramas; leave the orientation model out on KITTI")
    if asked.protocol == "vehicle":
        plan = plan_kitti(root, split, asked.noise, lists, camera_height_m)
        path = list_file(lists or root, split.part)
        return by_vehicle(plan, asked, root, {path.name: path})
    samples = KittiPapers(root, split, asked.paper, lists, camera_height_m)
    settings = {"drives": list(split.drives), "limit": split.limit, "camera_height_m": camera_height_m}
    return by_papers(samples, asked, root, ("kitti", split.part), settings)
