# SPDX-License-Identifier: Apache-2.0
"""Files of other kinds, split files, damaged files: read alike, or refused with a remedy."""

import numpy as np
import pytest
from bag_drives import TOPICS, messages, ns, picture, without, write
from rosbags.rosbag2 import StoragePlugin, Writer

from geodistill_core.bags import compose
from geodistill_core.bags.reader import ReaderOptions, read_drive
from geodistill_core.bags.writer import typestore
from geodistill_core.errors import BagError

HEIGHT = ReaderOptions(camera_height_m=1.8)


def frames_of(path):
    return list(read_drive(path, HEIGHT).frames())


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return write(tmp_path_factory.mktemp("drive") / "drive.mcap", messages())


def test_a_missing_or_empty_file_is_a_bag_error(tmp_path):
    with pytest.raises(BagError, match="does not exist"):
        read_drive(tmp_path / "nowhere.mcap")
    (tmp_path / "empty.mcap").touch()
    with pytest.raises(BagError, match="empty"):
        read_drive(tmp_path / "empty.mcap")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BagError):
        read_drive(tmp_path / "folder")
    with pytest.raises(BagError, match="no messages"):
        read_drive(write(tmp_path / "none.mcap", []))


@pytest.mark.parametrize("keep", [20, 0.1, 0.5, 0.9, -20])
def test_a_truncated_file_is_refused_with_a_remedy(drive, tmp_path, keep):
    data = drive.read_bytes()
    size = int(len(data) * keep) if isinstance(keep, float) else keep
    (tmp_path / "cut.mcap").write_bytes(data[:size])
    with pytest.raises(BagError, match="mcap recover"):
        read_drive(tmp_path / "cut.mcap")


def same(a, b):
    """Whether two frames are equal, pixels included."""
    if (a.stamp_ns, a.frame_prior, a.truth, a.dropped) != (b.stamp_ns, b.frame_prior, b.truth, b.dropped):
        return False
    return np.array_equal(a.image.rgb, b.image.rgb)


@pytest.mark.parametrize("share", np.linspace(0.001, 0.999, 80))
def test_flipped_bytes_are_refused_or_lie_where_nothing_is_read(drive, tmp_path, share):
    data = bytearray(drive.read_bytes())
    at = int(len(data) * share)
    data[at : at + 8] = bytes(value ^ 0xFF for value in data[at : at + 8])
    (tmp_path / "bad.mcap").write_bytes(data)
    try:
        frames = frames_of(tmp_path / "bad.mcap")
    except BagError:
        return
    assert all(same(a, b) for a, b in zip(frames, frames_of(drive), strict=True))


def test_a_rosbag2_folder_with_sqlite_reads_the_same(drive, tmp_path):
    store = typestore()
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connections = {t: writer.add_connection(t, msgtype, typestore=store) for t, msgtype in TOPICS.items()}
        for topic, message, stamp in messages():
            writer.write(connections[topic], stamp, store.serialize_cdr(message, TOPICS[topic]))
    for a, b in zip(frames_of(drive), frames_of(tmp_path / "bag"), strict=True):
        assert (a.stamp_ns, a.frame_prior, a.truth) == (b.stamp_ns, b.frame_prior, b.truth)


def test_a_rosbag2_folder_of_split_mcap_files_reads_the_same(drive, tmp_path):
    (tmp_path / "bag").mkdir()
    entries = messages()
    write(tmp_path / "bag" / "bag_1.mcap", [e for e in entries if e[2] >= ns(2)])
    write(tmp_path / "bag" / "bag_2.mcap", [e for e in entries if e[2] < ns(2)])
    for a, b in zip(frames_of(drive), frames_of(tmp_path / "bag"), strict=True):
        assert (a.stamp_ns, a.frame_prior, a.truth) == (b.stamp_ns, b.frame_prior, b.truth)


def test_raw_images_are_read_as_well(tmp_path):
    topics = {"/camera/image_raw": "sensor_msgs/msg/Image"} | TOPICS
    entries = without(messages(), "/camera/image/compressed")
    entries += [("/camera/image_raw", compose.raw_image(ns(k / 2), picture(k)), ns(k / 2)) for k in range(9)]
    for k, frame in enumerate(frames_of(write(tmp_path / "d.mcap", entries, topics))):
        np.testing.assert_array_equal(frame.image.rgb, picture(k))
