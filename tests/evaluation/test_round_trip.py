# SPDX-License-Identifier: Apache-2.0
"""A data set's tree, its recordings, their replay: sample by sample the errors are those of evaluating the tree."""

from __future__ import annotations

import numpy as np
import pytest

from geodistill_core.bags.datasets.bags import write_dataset_bags
from geodistill_core.bags.datasets.drive import BagOptions
from geodistill_core.bags.datasets.kitti import KittiSplit, plan_kitti
from geodistill_core.bags.datasets.vigor import VigorSplit, plan_vigor
from geodistill_core.evaluation.datasets.asked import Asked
from geodistill_core.evaluation.datasets.evaluation import evaluate
from geodistill_core.evaluation.datasets.kitti import kitti_evaluation
from geodistill_core.evaluation.datasets.vigor import vigor_evaluation
from geodistill_core.evaluation.frame_table import read_frames
from geodistill_core.evaluation.metrics import scored
from geodistill_core.evaluation.replay import ReplayPlan, replay_drive
from tests.twins.trees import kitti_tree, vigor_tree

# Two decoders of one JPEG differ by a grey level here and there; a cell of the heat map is half a metre wide.
CODING_M, CODING_DEG = 0.02, 0.1
EXACT_M, EXACT_DEG = 1e-6, 1e-6


def replayed(plan, folder, raw_images=False):
    """Frames of the replay of every recording of a plan, by the sample that each is."""
    frames = {}
    for made in write_dataset_bags(plan, folder / "bags", BagOptions(raw_images=raw_images, jobs=1)):
        replay_drive(made.bag, folder / made.bag.name, ReplayPlan())
        frames |= {frame.key: frame for frame in read_frames(folder / made.bag.name / "frames.csv")}
    return frames


def evaluated(evaluation, folder):
    summary = evaluate(evaluation, folder)
    assert summary["frames"] == summary["frames_localized"] + sum(summary["dropped"].values())
    return {frame.key: frame for frame in read_frames(folder / "frames.csv")}


def assert_same_errors(tree, replay, metres, degrees):
    assert list(tree) == list(replay)
    for of_tree, of_replay in zip(scored(tree.values()), scored(replay.values()), strict=True):
        for name in ("east_m", "north_m", "lateral_m", "longitudinal_m"):
            assert getattr(of_replay, name) == pytest.approx(getattr(of_tree, name), abs=metres)
        assert np.degrees(of_replay.yaw_rad) == pytest.approx(np.degrees(of_tree.yaw_rad), abs=degrees)
    for key, frame in tree.items():
        assert replay[key].gnss == pytest.approx(frame.gnss, abs=1e-11)
        assert replay[key].answer.status == frame.answer.status


def assert_found(frames):
    """The errors that are compared are those of a localizer that works, not of one that repeats its prior."""
    errors = scored(frames.values())
    assert len(errors) == len(frames)
    assert np.mean([error.position_m < 1.0 for error in errors]) >= 0.5


@pytest.mark.parametrize(
    ("raw_images", "metres", "degrees"), [(False, CODING_M, CODING_DEG), (True, EXACT_M, EXACT_DEG)]
)
def test_vigor_gives_the_same_errors_on_the_tree_and_replayed_from_its_recordings(
    tmp_path, raw_images, metres, degrees
):
    root, _ = vigor_tree()
    split, asked = VigorSplit("cross", "test"), Asked(protocol="vehicle", heading_range_deg=10.0)
    tree = evaluated(vigor_evaluation(root, split, asked), tmp_path / "tree")
    assert_found(tree)
    assert_same_errors(tree, replayed(plan_vigor(root, split, asked.noise), tmp_path, raw_images), metres, degrees)


def test_kitti_gives_the_same_errors_on_the_tree_and_replayed_from_its_recordings(tmp_path):
    root, _ = kitti_tree()
    split, asked = KittiSplit("test1"), Asked(protocol="vehicle", heading_range_deg=10.0)
    tree = evaluated(kitti_evaluation(root, split, asked), tmp_path / "tree")
    assert_found(tree)
    assert_same_errors(tree, replayed(plan_kitti(root, split, asked.noise), tmp_path), EXACT_M, EXACT_DEG)


def test_a_stated_gnss_error_is_the_same_on_the_tree_and_in_the_recordings(tmp_path):
    root, _ = vigor_tree()
    split = VigorSplit("same", "test", cities=("Seattle", "Chicago"))
    asked = Asked(protocol="vehicle", heading_range_deg=25.0, gnss_sigma_m=4.0, seed=11)
    tree = evaluated(vigor_evaluation(root, split, asked), tmp_path / "tree")
    assert_same_errors(
        tree, replayed(plan_vigor(root, split, asked.noise), tmp_path, raw_images=True), EXACT_M, EXACT_DEG
    )
