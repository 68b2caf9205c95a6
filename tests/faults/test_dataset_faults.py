# SPDX-License-Identifier: Apache-2.0
"""T01, T08, T09, T10: broken pictures, leaking splits, flipped labels and exchanged directions do not go unnoticed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from geodistill_training.data import kitti_pairs, vigor_pairs
from geodistill_training.data.sets import refuse_shared
from geodistill_training.recipe.data import KittiData, VigorData

from geodistill_core.datasets.check import GroundPlaces, check_kitti, check_vigor, refuse_leak
from geodistill_core.datasets.kitti import images
from geodistill_core.datasets.kitti.frames import read_frames
from geodistill_core.datasets.kitti.images import aligned_tile
from geodistill_core.datasets.synthcity import build_city, map_tile
from geodistill_core.datasets.truth import Truth
from geodistill_core.datasets.vigor.labels import VigorSample
from geodistill_core.errors import DatasetError
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, summarize
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps.raster import RasterSource
from geodistill_core.models import build
from geodistill_core.models.checkpoint import load_checkpoint, shipped_checkpoints
from geodistill_core.types import GeoPoint
from tests.twins.kitti import CLEAR, TOWN
from tests.twins.trees import copy_of, kitti_tree, replace_file, vigor_tree

needs_tiny = pytest.mark.skipif("tiny" not in shipped_checkpoints(), reason="no checkpoint `tiny` in the package")
SMALL = {"widths": (8, 8, 8, 8)}


def _rng(index=0):
    return np.random.default_rng(index)


# T01: what cannot be read is named


@pytest.mark.parametrize("kind", ["panorama", "tile"])
def test_a_truncated_vigor_picture_is_named(tmp_path, kind):
    pairs = vigor_pairs.VigorPairs(VigorData(root=copy_of(vigor_tree()[0], tmp_path)), build("tiny", **SMALL))
    path = pairs.samples[0].panorama if kind == "panorama" else pairs.samples[0].tile()
    replace_file(path, path.read_bytes()[:-2000])
    with pytest.raises(DatasetError) as caught:
        pairs.example(0, _rng())
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["ground", "satellite", "oxts"])
def test_a_truncated_kitti_file_is_named(tmp_path, kind):
    pairs = kitti_pairs.KittiPairs(KittiData(root=copy_of(kitti_tree()[0], tmp_path)), build("tiny", **SMALL))
    path = getattr(pairs.frames[0], kind)
    replace_file(path, path.read_bytes()[: 20 if kind == "oxts" else -2000])
    with pytest.raises(DatasetError) as caught:
        pairs.example(0, _rng())
    assert str(path) in str(caught.value)


# T08: what is judged was not learned from


def _at(*east_m):
    points = [LocalFrame(GeoPoint(49.0, 8.4)).point(metres, 0.0) for metres in east_m]
    return np.array([(point.latitude, point.longitude) for point in points])


@pytest.mark.parametrize("dataset", ["vigor", "kitti"])
def test_training_refuses_to_be_judged_on_an_image_that_it_learns_from(dataset):
    network = build("tiny", **SMALL)
    if dataset == "vigor":
        learned, judged = (
            vigor_pairs.VigorPairs(VigorData(root=vigor_tree()[0], part=part), network, labels=False)
            for part in ("train", "test")
        )
    else:
        learned, judged = (
            kitti_pairs.KittiPairs(KittiData(root=kitti_tree()[0], part=part), network, labels=False)
            for part in ("train", "test1")
        )
    refuse_shared([learned], judged)
    with pytest.raises(DatasetError, match=rf"leak: {len(learned)} ground images are in both"):
        refuse_shared([learned, learned], learned)


def test_the_same_panorama_in_training_and_test_is_refused():
    train, test = GroundPlaces(("a", "b"), _at(0, 500)), GroundPlaces(("b", "c"), _at(500, 900))
    for least_m in (50.0, None):
        with pytest.raises(DatasetError, match=r"leak: 1 ground images are in both \(first: b\)"):
            refuse_leak(train, test, least_m)


def test_a_test_image_49_metres_from_a_training_image_is_refused_and_one_at_51_is_not():
    train = GroundPlaces(("a", "b"), _at(0, 500))
    with pytest.raises(DatasetError, match=r"1 test images lie within 50 m .*near is 49\.0 m from a"):
        refuse_leak(train, GroundPlaces(("near", "far"), _at(49, 300)))
    assert refuse_leak(train, GroundPlaces(("near", "far"), _at(51, 300))).near == 0


def test_a_split_within_one_area_may_be_near_and_is_counted():
    overlap = refuse_leak(GroundPlaces(("a",), _at(0)), GroundPlaces(("b", "c"), _at(3, 400)), least_m=None)
    assert (overlap.near, overlap.nearest) == (1, ("a", "b"))
    assert overlap.nearest_m == pytest.approx(3.0, abs=1e-3)


def test_a_vigor_tree_whose_test_list_repeats_training_is_unfit(tmp_path):
    root = copy_of(vigor_tree()[0], tmp_path)
    lists = root / "splits__corrected/Chicago"
    learned = (lists / "same_area_balanced_train__corrected.txt").read_text()
    replace_file(lists / "same_area_balanced_test__corrected.txt", learned)
    report, _ = check_vigor(root, "none")
    [leak] = [one for one in report.findings if one.severity == "leak"]
    assert "same-area split (corrected labels) leaks: 1 ground images are in both" in leak.text
    assert leak.examples == (f"Chicago/{learned.split()[0]}",)
    assert report.exit_code == 4


def test_a_kitti_tree_whose_far_test_lies_on_the_training_streets_is_unfit(tmp_path):
    root = copy_of(kitti_tree()[0], tmp_path)
    learned = (root / "train_files.txt").read_text().split()[0]
    judged = (root / "test2_files.txt").read_text().split()[0]
    day, drive, number = (part.removesuffix(".png") for part in learned.split("/"))
    record = (root / f"raw_data/{day}/{drive}/oxts/data/{number}.txt").read_text()
    day, drive, number = (part.removesuffix(".png") for part in judged.split("/"))
    replace_file(root / f"raw_data/{day}/{drive}/oxts/data/{number}.txt", record)
    report, _ = check_kitti(root, "none")
    [leak] = [one for one in report.findings if one.severity == "leak"]
    assert "test2 leaks: 1 test images lie within 50 m" in leak.text and judged in leak.text
    assert report.exit_code == 4


# T09: labels mean what the pictures show


class _Peaks:
    """Where the shipped network sees each example: metres east and north of the tile's centre, and yaw."""

    def __init__(self, pairs, yaws_deg):
        self.pairs = pairs
        with torch.inference_mode():
            self.found = [self._peak(pairs.example(i, _rng(i)), np.radians(yaws_deg)) for i in range(len(pairs))]

    def _peak(self, example, around):
        network, side = self.pairs.network, example.tile.shape[0] * example.metres_per_pixel
        source = RasterSource(example.tile, GeoPoint(0.0, 0.0), example.metres_per_pixel)
        # Wider than the tile, so that the template may lie over its rim.
        tile = source.tile(GeoPoint(0.0, 0.0), side + 16.0, network.metres_per_pixel)
        ground = network.encode_ground(_ground(example))
        yaws = torch.from_numpy(example.yaw_enu_rad + around).float()[None]
        logits = network.match(ground, network.encode_map(network.prepare_map(tile)), yaws)[0]
        yaw, row, column = np.unravel_index(int(logits.argmax()), logits.shape)
        half, cell = (logits.shape[1] - 1) / 2, network.metres_per_cell
        return (column - half) * cell, (half - row) * cell, float(yaws[0, yaw])

    def misses(self):
        """Median distance (m) and yaw difference (degrees) between what is seen and what the labels say now."""
        truths = [self.pairs.example(i, _rng(i)).truth for i in range(len(self.pairs))]
        apart = [
            (math.hypot(e - t[0], n - t[1]), abs(wrap(y - t[2])))
            for (e, n, y), t in zip(self.found, truths, strict=True)
        ]
        return np.median([d for d, _ in apart]), math.degrees(np.median([a for _, a in apart]))


def _ground(example):
    from geodistill_training.data.examples import collate

    return collate([example], 0, [0]).ground


def _fits(misses):
    return misses[0] < 1.0 and misses[1] < 8.0


@pytest.fixture(scope="module")
def vigor_peaks():
    data = VigorData(root=vigor_tree()[0], area="cross", part="test", turn_deg=120, tile_extent_m=72)
    return _Peaks(vigor_pairs.VigorPairs(data, load_checkpoint("tiny")[0].eval(), labels=True), np.arange(0, 360, 12))


@needs_tiny
def test_the_network_sees_vigor_where_the_labels_say(vigor_peaks):
    assert _fits(vigor_peaks.misses())


@needs_tiny
@pytest.mark.parametrize(
    "flip",
    [
        lambda east, north, yaw: (-east, north, yaw),
        lambda east, north, yaw: (east, -north, yaw),
        lambda east, north, yaw: (north, east, yaw),
        lambda east, north, yaw: (east, north, math.pi - yaw),
        lambda east, north, yaw: (east, north, math.pi / 2 - yaw),
        lambda east, north, yaw: (east, north, yaw + math.pi),
    ],
    ids=["east-west", "north-south", "east for north", "yaw sign", "bearing for yaw", "backwards"],
)
def test_a_flipped_vigor_convention_is_noticed(vigor_peaks, monkeypatch, flip):
    place, heading = VigorSample.camera_east_north_m, vigor_pairs.turned_yaw_enu_rad
    monkeypatch.setattr(VigorSample, "camera_east_north_m", lambda self, group=0: flip(*place(self, group), 0.0)[:2])
    monkeypatch.setattr(vigor_pairs, "turned_yaw_enu_rad", lambda turn: flip(0.0, 0.0, heading(turn))[2])
    assert not _fits(vigor_peaks.misses())


# KITTI's camera sees too little for that: the ground around the label is compared with the ground that was driven.

_AHEAD_M, _LEFT_M = np.meshgrid(np.linspace(-12, 12, 49), np.linspace(-12, 12, 49))


def _ground_around(tile, east_m, north_m, yaw):
    """Grey levels of a tile at points ahead and to the left of a pose on it."""
    c, s = math.cos(yaw), math.sin(yaw)
    column, row = tile.enu_to_pixel(east_m + c * _AHEAD_M - s * _LEFT_M, north_m + s * _AHEAD_M + c * _LEFT_M)
    picked = tile.rgb[np.round(row - 0.5).astype(int), np.round(column - 0.5).astype(int)]
    return picked.astype(float).mean(axis=2)


def _likeness(placed_tile):
    """Least correlation over test frames of the ground around the label with the ground around the driven pose."""
    root, driven = kitti_tree()
    poses = {one.name: one for one in driven}
    found = []
    for frame in read_frames(root / "test1_files.txt", root):
        pose, placed = poses[frame.name], placed_tile(frame, frame.displacement, 25.0, 400)
        true = map_tile(build_city(*TOWN), pose.east_m, pose.north_m, 40.0, 0.2, CLEAR)
        seen = _ground_around(placed.tile, placed.right_m, placed.up_m, placed.heading_rad)
        driven_over = _ground_around(true, 0.0, 0.0, pose.yaw_enu_rad)
        found.append(np.corrcoef(seen.ravel(), driven_over.ravel())[0, 1])
    return min(found)


def test_kitti_labels_lie_on_the_ground_that_was_driven():
    assert _likeness(aligned_tile) > 0.85


@pytest.mark.parametrize(
    "flip",
    [
        lambda p: replace(p, right_m=-p.right_m),
        lambda p: replace(p, up_m=-p.up_m),
        lambda p: replace(p, right_m=p.up_m, up_m=p.right_m),
        lambda p: replace(p, heading_rad=-p.heading_rad),
        lambda p: replace(p, heading_rad=p.heading_rad + math.pi / 2),
    ],
    ids=["right-left", "up-down", "right for up", "turn sign", "north for heading"],
)
def test_a_flipped_kitti_convention_is_noticed(flip):
    assert _likeness(lambda *arguments: flip(aligned_tile(*arguments))) < 0.7


def test_a_kitti_yaw_read_as_a_bearing_is_noticed(monkeypatch):
    read = images.read_oxts
    monkeypatch.setattr(images, "read_oxts", lambda path: _as_bearing(read(path)))
    assert _likeness(aligned_tile) < 0.7


def _as_bearing(truth):
    return replace(truth, yaw_enu_rad=math.pi / 2 - truth.yaw_enu_rad)


# T10: lateral is across the heading, longitudinal along it


def _drive(left_m, ahead_m):
    """Answers beside or ahead of the truth by so much, on a drive that turns through all headings."""
    results = []
    for index, yaw in enumerate(np.linspace(-3.0, 3.0, 13)):
        east, north = math.cos(yaw) * ahead_m - math.sin(yaw) * left_m, math.sin(yaw) * ahead_m + math.cos(yaw) * left_m
        answered = LocalFrame(GeoPoint(49.0, 8.4)).point(east, north)
        answer = PoseAnswer(answered.latitude, answered.longitude, yaw, np.diag([1.0, 1.0, 0.01]))
        results.append(FrameResult(index, Truth(49.0, 8.4, yaw), answer))
    return summarize(results, model="m", map_name="m")


@pytest.mark.parametrize(
    ("offset", "wrong", "right"),
    [((2.0, 0.0), "lateral_error_m", "longitudinal_error_m"), ((0.0, 2.0), "longitudinal_error_m", "lateral_error_m")],
    ids=["beside", "ahead"],
)
def test_an_error_in_one_direction_is_no_error_in_the_other(offset, wrong, right):
    metrics = _drive(*offset)
    assert metrics[wrong]["median"] == pytest.approx(2.0, abs=1e-6)
    assert metrics[wrong]["max"] == pytest.approx(2.0, abs=1e-6)
    assert metrics[right]["max"] == pytest.approx(0.0, abs=1e-6)
