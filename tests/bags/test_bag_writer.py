# SPDX-License-Identifier: Apache-2.0
"""What lands in the file, as rosbags' own reader and the mcap library see it."""

import math

import cv2
import numpy as np
import pytest
from bag_drives import CAMERA, DATUM, PINHOLE_TOPICS, TOPICS, messages, ns, picture, write
from mcap.reader import make_reader
from mcap.records import Chunk
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader

from geodistill_core.bags import compose
from geodistill_core.bags.writer import BagWriter
from geodistill_core.errors import BagError


def read_back(path):
    with AnyReader([path]) as reader:
        return [
            (connection.topic, stamp, reader.deserialize(data, connection.msgtype))
            for connection, stamp, data in reader.messages()
        ]


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return write(tmp_path_factory.mktemp("drive") / "drive.mcap", messages())


def test_another_reader_finds_every_topic_type_and_message(drive):
    expected = {}
    for topic, *_ in messages():
        expected[topic] = expected.get(topic, 0) + 1
    with AnyReader([drive]) as reader:
        assert {topic: info.msgtype for topic, info in reader.topics.items()} == TOPICS
        assert {topic: info.msgcount for topic, info in reader.topics.items()} == expected


def test_stamps_in_headers_and_in_the_index_are_those_written(drive):
    for _, stamp, message in read_back(drive):
        assert message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec == stamp
        assert (stamp - ns(0)) % 10_000_000 == 0


def test_jpeg_images_decode_to_the_pictures_given(drive):
    images = [m for topic, _, m in read_back(drive) if topic == "/camera/image/compressed"]
    for index, message in enumerate(images):
        decoded = cv2.imdecode(message.data, cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(decoded.astype(int) - picture(index)).mean() < 3
        assert message.format == "rgb8; jpeg compressed bgr8"


def test_fix_carries_position_covariance_and_status(drive):
    fixes = [m for topic, _, m in read_back(drive) if topic == "/gnss/fix"]
    first = fixes[0]
    assert (first.latitude, first.longitude) == pytest.approx((DATUM.latitude, DATUM.longitude), abs=1e-12)
    assert first.status.status == 0
    assert first.position_covariance.tolist() == [64, 0, 0, 0, 64, 0, 0, 0, 256]
    assert first.position_covariance_type == 2
    assert fixes[5].longitude > first.longitude


def test_no_point_means_no_fix():
    message = compose.nav_sat_fix(5, None, 8.0)
    assert message.status.status == -1
    assert math.isnan(message.latitude)


def test_imu_orientation_and_heading_covariance_follow_rep_103_and_145(drive):
    message = next(m for topic, _, m in read_back(drive) if topic == "/imu/data")
    q = message.orientation
    forward = 1 - 2 * (q.y**2 + q.z**2), 2 * (q.x * q.y + q.w * q.z), 2 * (q.x * q.z - q.w * q.y)
    yaw, pitch = 0.1, -0.02
    assert forward == pytest.approx(
        (math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), -math.sin(pitch))
    )
    assert message.orientation_covariance[8] == pytest.approx(0.17**2)
    assert message.angular_velocity_covariance[0] == -1


def test_camera_info_states_the_camera(tmp_path):
    entries = [("/camera/camera_info", compose.camera_info(ns(0), CAMERA), ns(0))]
    path = write(tmp_path / "d.mcap", entries, PINHOLE_TOPICS)
    (_, _, message), *_ = read_back(path)
    assert (message.width, message.height) == (64, 48)
    assert message.k.reshape(3, 3).tolist() == CAMERA.K.tolist()
    assert message.d.tolist() == list(CAMERA.distortion)
    assert message.distortion_model == "plumb_bob"


def test_chunks_are_small_and_carry_checksums(drive):
    with drive.open("rb") as stream:
        summary = make_reader(stream, validate_crcs=True).get_summary()
    sizes = [index.uncompressed_size for index in summary.chunk_indexes]
    assert len(sizes) > 1
    assert max(sizes) < 256 * 1024
    assert summary.statistics.message_count == len(messages())
    with drive.open("rb") as stream:
        assert make_reader(stream).get_header().profile == "ros2"


@pytest.mark.parametrize("kib", [64, 128, 256])
def test_chunks_are_as_large_as_asked_for_and_every_one_has_its_checksum(tmp_path, kib):
    picture_bytes = 128 * 64 * 3
    with BagWriter(tmp_path / "d.mcap", chunk_bytes=kib * 1024) as writer:
        writer.add_topic("/camera/image_raw", "sensor_msgs/msg/Image")
        for k in range(30):
            writer.write("/camera/image_raw", compose.raw_image(ns(k), picture(k)), ns(k))
    with (tmp_path / "d.mcap").open("rb") as stream:
        records = list(StreamReader(stream, validate_crcs=True, emit_chunks=True).records)
    chunks = [record for record in records if isinstance(record, Chunk)]
    assert all(chunk.uncompressed_crc for chunk in chunks)
    *full, last = [chunk.uncompressed_size for chunk in chunks]
    assert all(kib * 1024 <= size < kib * 1024 + picture_bytes + 1024 for size in full) and len(full) >= 2
    assert last < kib * 1024 + picture_bytes + 1024


def test_the_datum_is_latched_and_the_rest_is_volatile(drive):
    with AnyReader([drive]) as reader:
        qos = {c.topic: c.ext.offered_qos_profiles[0].durability.name for c in reader.connections}
    assert qos.pop("/ground_truth/datum") == "TRANSIENT_LOCAL"
    assert set(qos.values()) == {"VOLATILE"}


def test_the_same_messages_give_the_same_bytes(drive, tmp_path):
    assert write(tmp_path / "again.mcap", messages()).read_bytes() == drive.read_bytes()


def test_an_interrupted_recording_leaves_no_file_and_an_old_one_untouched(tmp_path):
    path = tmp_path / "drive.mcap"
    path.write_bytes(b"previous")
    with pytest.raises(KeyboardInterrupt), BagWriter(path) as writer:
        writer.add_topic("/gnss/fix", TOPICS["/gnss/fix"])
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["drive.mcap"]
    assert path.read_bytes() == b"previous"


def test_a_place_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BagError, match="choose another folder"):
        BagWriter(tmp_path / "file" / "drive.mcap")
    with pytest.raises(BagError, match=r"\.mcap"):
        BagWriter(tmp_path / "drive.bag")
