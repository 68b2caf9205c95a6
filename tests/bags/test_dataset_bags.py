# SPDX-License-Identifier: Apache-2.0
"""Recordings of data sets depend on the plan alone: not on jobs, interruptions or what was there before."""

import hashlib
import os
import sqlite3

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.rosbag2 import Reader

from geodistill_core.bags.datasets import parts as dataset_parts
from geodistill_core.bags.datasets.bags import write_dataset_bags
from geodistill_core.bags.datasets.drive import BagOptions
from geodistill_core.bags.datasets.vigor import VigorSplit, plan_vigor
from geodistill_core.bags.manifest import sha256_of
from geodistill_core.bags.reader import read_drive
from geodistill_core.datasets.case import PriorNoise
from geodistill_core.errors import ConfigError, MapError
from tests.twins.small import CITY, vigor_tree

SPLIT = VigorSplit(cities=(CITY,))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return vigor_tree(tmp_path_factory.mktemp("vigor"))


@pytest.fixture(autouse=True)
def two_samples_a_file(monkeypatch):
    monkeypatch.setattr(dataset_parts, "PART_SAMPLES", 2)


def convert(tree, folder, noise=None, step=lambda count=1: None, **options):
    plan = plan_vigor(tree, SPLIT, noise or PriorNoise())
    return write_dataset_bags(plan, folder, BagOptions(**{"jobs": 1, **options}), step)


def hashes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_parts, "PART_SAMPLES", 2)
        convert(tree, folder)
    return folder


def test_a_recording_is_a_rosbag2_folder_of_several_files_that_describes_itself(whole):
    described = yaml.safe_load((whole / CITY / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    names = [f"{CITY}_{k}.mcap" for k in range(3)]
    assert described["relative_file_paths"] == names and described["storage_identifier"] == "mcap"
    assert sorted(path.name for path in (whole / CITY).iterdir()) == [*names, "metadata.yaml"]
    with Reader(whole / CITY) as reader:
        messages = list(reader.messages())
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        durability = {c.topic: c.ext.offered_qos_profiles[0].durability.name for c in reader.connections}
    assert len(messages) == described["message_count"] == sum(counts.values())
    assert [stamp for _, stamp, _ in messages] == sorted(stamp for _, stamp, _ in messages)
    assert counts["/camera/image/compressed"] == 5 and counts["/tf_static"] == 3
    latched = {topic for topic, name in durability.items() if name == "TRANSIENT_LOCAL"}
    assert latched == {"/tf_static", "/ground_truth/datum"}
    for file in described["files"]:
        with (whole / CITY / file["path"]).open("rb") as stream:
            statistics = make_reader(stream).get_summary().statistics
        assert statistics.message_count == file["message_count"]
        assert statistics.message_start_time == file["starting_time"]["nanoseconds_since_epoch"]


def test_each_file_can_be_decoded_by_what_it_carries_alone(whole):
    """As Foxglove does: by the definitions inside, checksums on."""
    for path in sorted((whole / CITY).glob("*.mcap")):
        with path.open("rb") as stream:
            reader = make_reader(stream, validate_crcs=True, decoder_factories=[DecoderFactory()])
            decoded = {channel.topic: message for _, channel, _, message in reader.iter_decoded_messages()}
        assert decoded["/camera/image/compressed"].format == "rgb8; jpeg compressed bgr8"
        assert decoded["/tf_static"].transforms[0].child_frame_id == "camera"


def test_any_number_of_jobs_gives_the_same_files(tree, whole, tmp_path):
    convert(tree, tmp_path, jobs=4)
    assert hashes(tmp_path) == hashes(whole)


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_run_that_was_stopped_goes_on_and_gives_the_same_files(tree, whole, tmp_path, after):
    counted = []

    def interrupt(count=1):
        counted.append(count)
        if len(counted) >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(tree, tmp_path, step=interrupt)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / CITY).glob("*.mcap")}
    assert len(kept) == (after - 1) // 2 and not (tmp_path / f"{CITY}.json").exists()
    (tmp_path / CITY / ".left.mcap.77.partial").write_bytes(b"of a process that was killed")
    steps = []
    convert(tree, tmp_path, step=lambda count=1: steps.append(count))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert sum(steps) == 5 and hashes(tmp_path) == hashes(whole)


def test_a_finished_recording_is_left_alone(tree, whole):
    before = {path: path.stat().st_mtime_ns for path in (whole / CITY).iterdir()}
    (bag,) = convert(tree, whole)
    assert {path: path.stat().st_mtime_ns for path in (whole / CITY).iterdir()} == before
    assert bag.manifest.dataset.frames == 5


@pytest.mark.parametrize(
    "other", [{"noise": PriorNoise(seed=1)}, {"storage": "sqlite3"}, {"chunk_bytes": 65536}, {"raw_images": True}]
)
def test_a_folder_with_recordings_made_otherwise_is_refused(tree, whole, other):
    with pytest.raises(ConfigError, match="other options"):
        convert(tree, whole, **other)


def test_somebody_elses_folder_is_refused(tree, tmp_path):
    (tmp_path / CITY).mkdir()
    with pytest.raises(ConfigError, match="choose another folder"):
        convert(tree, tmp_path)
    assert list((tmp_path / CITY).iterdir()) == []


def test_sqlite_holds_the_same_messages(tree, whole, tmp_path):
    (bag,) = convert(tree, tmp_path, storage="sqlite3")
    (other,) = convert(tree, tmp_path / "again", storage="sqlite3")
    assert hashes(bag.bag) == hashes(other.bag)
    with Reader(bag.bag) as one, Reader(whole / CITY) as two:
        for (a, t, data), (b, s, same) in zip(one.messages(), two.messages(), strict=True):
            assert (a.topic, a.msgtype, t, bytes(data)) == (b.topic, b.msgtype, s, bytes(same))
    for a, b in zip(read_drive(bag.bag).frames(), read_drive(whole / CITY).frames(), strict=True):
        assert (a.stamp_ns, a.frame_prior, a.truth) == (b.stamp_ns, b.frame_prior, b.truth)
        np.testing.assert_array_equal(a.image.rgb, b.image.rgb)
    with sqlite3.connect(f"file:{bag.bag / f'{CITY}_0.db3'}?mode=ro", uri=True) as database:
        assert database.execute("SELECT schema_version FROM schema").fetchall() == [(4,)]
        types = dict(database.execute("SELECT name, type_description_hash FROM topics"))
    assert all(digest.startswith("RIHS01_") for digest in types.values())


def test_a_chunk_size_outside_64_to_256_kib_is_refused():
    for wrong in (1024, 1 << 20):
        with pytest.raises(ConfigError, match="chunks of"):
            BagOptions(chunk_bytes=wrong)


def test_hashes_in_the_sidecar_are_those_of_files_and_maps(whole, tree):
    (bag,) = convert(tree, whole)
    for name, digest in bag.manifest.sha256.items():
        assert sha256_of(whole / name) == digest
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes(bag.map).items()))
    assert bag.manifest.sha256[f"maps/{CITY}"] == hashlib.sha256(lines.encode()).hexdigest()
    labels = next((tree / "splits__corrected" / CITY).iterdir())
    assert bag.manifest.dataset.lists == {f"{CITY}/{labels.name}": hashlib.sha256(labels.read_bytes()).hexdigest()}


def test_tiles_are_copied_where_they_cannot_be_linked(tree, whole, tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError("another device")

    monkeypatch.setattr(os, "link", refuse)
    (bag,) = convert(tree, tmp_path)
    assert hashes(bag.map) == hashes(whole / "maps" / CITY)
    assert all(path.stat().st_nlink == 1 for path in bag.map.iterdir())


def test_a_map_that_holds_another_picture_is_refused(tree, tmp_path):
    tile = next((tree / CITY / "satellite").iterdir())
    (tmp_path / "maps" / CITY).mkdir(parents=True)
    (tmp_path / "maps" / CITY / tile.name).write_bytes(b"another")
    with pytest.raises(MapError, match="another picture"):
        convert(tree, tmp_path)


def test_numbers_of_jobs_and_storages_out_of_reason_are_refused():
    for wrong in ({"jobs": 0}, {"jobs": 1000}, {"storage": "zip"}):
        with pytest.raises(ConfigError):
            BagOptions(**wrong)
