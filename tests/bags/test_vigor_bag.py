# SPDX-License-Identifier: Apache-2.0
"""VIGOR's panoramas as recordings: what other readers find in them, and what is said of what could not be used."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from pyproj import Geod
from rosbags.highlevel import AnyReader

from geodistill_core.bags.datasets.bags import write_dataset_bags
from geodistill_core.bags.datasets.drive import BagOptions
from geodistill_core.bags.datasets.vigor import VigorSplit, plan_vigor
from geodistill_core.bags.reader import read_drive
from geodistill_core.datasets.case import PriorNoise
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.maps import open_map
from tests.twins.small import CITY, MIDDLE, OFFSETS, TILE_PX, jpeg, put, spherical, vigor_tree

GEOD = Geod(ellps="WGS84")
ONE_CITY = VigorSplit(cities=(CITY,))


def convert(root, folder, noise=None, options=None, split=ONE_CITY):
    plan = plan_vigor(root, split, noise or PriorNoise())
    return write_dataset_bags(plan, folder, options or BagOptions(jobs=2))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return vigor_tree(tmp_path_factory.mktemp("vigor"))


@pytest.fixture(scope="module")
def made(tree, tmp_path_factory):
    (bag,) = convert(tree, tmp_path_factory.mktemp("bags"))
    return bag


def messages_of(path, topic):
    with AnyReader([path]) as reader:
        wanted = [c for c in reader.connections if c.topic == topic]
        return [(stamp, reader.deserialize(data, c.msgtype)) for c, stamp, data in reader.messages(wanted)]


def test_the_files_of_the_panoramas_are_in_the_images_byte_for_byte(tree, made):
    files = sorted((tree / CITY / "panorama").iterdir())
    images = [message.data.tobytes() for _, message in messages_of(made.bag, "/camera/image/compressed")]
    assert images == [file.read_bytes() for file in files]


def test_each_image_says_which_sample_it_is(made):
    names = {stamp: message.data for stamp, message in messages_of(made.bag, "/dataset/sample")}
    stamps = [stamp for stamp, _ in messages_of(made.bag, "/camera/image/compressed")]
    assert [names[stamp] for stamp in stamps] == [
        f"{CITY}/p{k},{MIDDLE.latitude + 0.01 * k:.6f},-87.630000,.jpg" for k in range(len(OFFSETS))
    ]


def test_the_truth_is_where_the_label_says_and_the_fix_is_the_tiles_centre(made):
    truths, fixes = messages_of(made.bag, "/ground_truth/fix"), messages_of(made.bag, "/gnss/fix")
    for k, ((_, truth), (_, fix)) in enumerate(zip(truths, fixes, strict=True)):
        row, column = OFFSETS[k]
        expected = spherical(MIDDLE.latitude + 0.01 * k, MIDDLE.longitude, -column, row)
        assert (truth.latitude, truth.longitude) == pytest.approx(expected, abs=1e-9)
        assert (fix.latitude, fix.longitude) == pytest.approx((MIDDLE.latitude + 0.01 * k, MIDDLE.longitude), abs=1e-9)
        # a quarter of the tile either way, evenly
        side_m = GEOD.inv(0, fix.latitude, *spherical(fix.latitude, 0, TILE_PX / 2, 0)[::-1])[2]
        assert math.sqrt(fix.position_covariance[0]) == pytest.approx(side_m / math.sqrt(12), rel=2e-3)


def test_a_drive_reader_finds_a_prior_for_every_image_and_the_truth_looks_north(made):
    frames = list(read_drive(made.bag).frames())
    assert [frame.dropped for frame in frames] == [None] * len(OFFSETS)
    for frame in frames:
        assert frame.truth.yaw_enu_rad == pytest.approx(math.pi / 2)
        turned = math.degrees(frame.frame_prior.prior.yaw_enu_rad - math.pi / 2)
        assert abs(turned) <= 10.0 and frame.frame_prior.prior.sigma_yaw_rad == pytest.approx(math.radians(10) / 3**0.5)
    assert len({frame.frame_prior.prior.yaw_enu_rad for frame in frames}) == len(frames)


def test_the_map_holds_the_tiles_where_their_names_say(made):
    with open_map(made.map) as source:
        for k in range(len(OFFSETS)):
            center = spherical(MIDDLE.latitude + 0.01 * k, MIDDLE.longitude, 0, 0)
            tile = source.tile(type(MIDDLE)(*center), 8.0, 0.25)
            assert tile.valid.all() and (tile.rgb == 20 * k).all()
    assert read_drive(made.bag).manifest.map == f"maps/{CITY}"


def test_a_stated_gnss_error_is_drawn_and_stated(tree, tmp_path):
    (bag,) = convert(tree, tmp_path, PriorNoise(gnss_sigma_m=3.0, heading_range_deg=0.0, seed=5))
    fixes = [message for _, message in messages_of(bag.bag, "/gnss/fix")]
    truths = [message for _, message in messages_of(bag.bag, "/ground_truth/fix")]
    apart = [GEOD.inv(a.longitude, a.latitude, b.longitude, b.latitude)[2] for a, b in zip(fixes, truths, strict=True)]
    assert 0.3 < np.median(apart) < 8.0 and len(set(apart)) == len(apart)
    assert {message.position_covariance[0] for message in fixes} == {9.0}
    origin = json.loads(bag.sidecar.read_text())["dataset"]
    assert (origin["gnss"], origin["gnss_sigma_m"], origin["seed"]) == ("gaussian", 3.0, 5)


def test_raw_images_hold_the_pixels_that_another_decoder_gives(tree, tmp_path):
    (bag,) = convert(tree, tmp_path, options=BagOptions(raw_images=True, jobs=1))
    files = sorted((tree / CITY / "panorama").iterdir())
    for (_, message), file in zip(messages_of(bag.bag, "/camera/image_raw"), files, strict=True):
        assert (message.encoding, message.width, message.height) == ("rgb8", 64, 32)
        np.testing.assert_array_equal(message.data.reshape(32, 64, 3), np.asarray(Image.open(file).convert("RGB")))


def test_what_cannot_be_used_is_skipped_and_named_without_folders_of_this_machine(tmp_path):
    root = vigor_tree(tmp_path / "tree")
    pictures = sorted((root / CITY / "panorama").iterdir())
    pictures[0].unlink()
    pictures[1].write_bytes(pictures[1].read_bytes()[:-20])
    pictures[2].write_bytes(jpeg(np.zeros((48, 64, 3), np.uint8)))
    labels = next((root / "splits__corrected" / CITY).iterdir())
    labels.write_text(labels.read_text() + "p9,1,2,.jpg satellite_1_2.png\n")
    plan = plan_vigor(root, ONE_CITY, PriorNoise())
    (bag,) = write_dataset_bags(plan, tmp_path / "bags", BagOptions(jobs=1))
    origin = bag.manifest.dataset
    assert (origin.samples, origin.frames) == (5, 2)
    words = ["cannot be read", "lacks its end marker", "twice as wide as high"]
    assert all(word in reason for word, reason in zip(words, origin.skipped.values(), strict=True))
    assert [key.partition(",")[0] for key in origin.skipped] == [f"{CITY}/p{k}" for k in range(3)]
    assert str(tmp_path) not in bag.sidecar.read_text()
    assert list(plan.rejected) == [f"{CITY}/{labels.name}:6"]
    assert len(messages_of(bag.bag, "/camera/image/compressed")) == 2


def test_a_part_without_one_usable_picture_is_an_error(tmp_path):
    root = vigor_tree(tmp_path / "tree", samples=1)
    for picture in (root / CITY / "panorama").iterdir():
        put(picture, b"<html>")
    with pytest.raises(DatasetError, match="data check vigor"):
        convert(root, tmp_path / "bags")
    assert not (tmp_path / "bags" / CITY).exists()


@pytest.mark.parametrize(
    "wrong", [{"area": "north"}, {"part": "validation"}, {"labels": "mine"}, {"cities": ("Paris",)}, {"limit": 0}]
)
def test_a_part_that_vigor_does_not_have_is_refused(wrong):
    with pytest.raises(ConfigError):
        VigorSplit(**wrong)
