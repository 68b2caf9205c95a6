# SPDX-License-Identifier: Apache-2.0
"""Salvage: whatever bytes are lost or flipped, no altered message comes out of a chunk, and no loss is silent."""

from __future__ import annotations

import random
import re
import struct
from collections import Counter

import pytest
from mcap.writer import CompressionType

from geodistill_core.bags.salvage.records import CHUNK
from geodistill_core.bags.source import open_bag
from geodistill_core.bags.storage.folder import kind_of
from geodistill_core.errors import BagError
from tests.bags.bag_drives import TOPICS, messages, ns
from tests.bags.damaged import (
    NOISE_TOPICS,
    chunk_counts,
    chunk_spans,
    encoded,
    flipped,
    kept,
    noise_drive,
    record_by_record,
    write_mcap,
    write_sqlite,
)

SMALL_CHUNK = 64 << 10


@pytest.fixture(scope="module")
def content():
    return encoded(noise_drive(2.0), NOISE_TOPICS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings")


def salvaged(path, data):
    path.write_bytes(data)
    return open_bag(path, salvage=True)


@pytest.mark.parametrize("compression", list(CompressionType), ids=str)
@pytest.mark.parametrize("indexed", [True, False])
def test_flipped_bytes_cost_one_chunk_at_most_and_never_alter_a_message(folder, content, compression, indexed):
    path = write_mcap(folder / f"{compression}.mcap", content, NOISE_TOPICS, SMALL_CHUNK, compression)
    data = path.read_bytes()[: None if indexed else -20]
    biggest = max(chunk_counts(path))
    # without an index nothing but the first chunk may say which topics there are
    first = 0 if indexed else chunk_spans(path)[0][1]
    dice = random.Random(7)
    for _ in range(40):
        at = dice.randrange(first, len(data))
        source = salvaged(folder / "bad.mcap", flipped(data, at, dice.choice((1, 8, 64))))
        found = kept(source)
        assert not Counter(found) - Counter(content)
        assert len(content) - len(found) <= biggest
        if len(found) < len(content):
            assert source.salvage.damaged and source.salvage.lost_messages != 0


def test_a_broken_length_does_not_take_the_chunks_behind_it_along(folder, content):
    path = write_mcap(folder / "lengths.mcap", content, NOISE_TOPICS, SMALL_CHUNK)
    data, (start, _) = path.read_bytes(), chunk_spans(path)[4]
    for length in (3, 1 << 20, 1 << 60):
        bad = data[: start + 1] + struct.pack("<Q", length) + data[start + 9 :]
        lost = len(content) - len(kept(salvaged(folder / "bad.mcap", bad)))
        assert 0 < lost < len(content) / len(chunk_spans(path)) * 2
    renamed = data[:start] + bytes([CHUNK | 0x80]) + data[start + 1 :]
    assert kept(salvaged(folder / "bad.mcap", renamed)) == content


@pytest.mark.parametrize("compression", list(CompressionType), ids=str)
def test_definitions_are_found_in_the_index_or_in_a_damaged_chunk_where_theirs_is_lost(folder, content, compression):
    path = write_mcap(folder / "first.mcap", content, NOISE_TOPICS, SMALL_CHUNK, compression)
    data, (_, end) = path.read_bytes(), chunk_spans(path)[0]
    bad = flipped(data, end - 40)
    sizes = (len(data), len(data) - 20, len(data) // 2)
    for size in sizes if compression is CompressionType.NONE else sizes[:2]:
        source = salvaged(folder / "bad.mcap", bad[:size])
        assert len(kept(source)) > 0.7 * size / len(data) * len(content)
        assert source.salvage.gaps[0].from_ns is None


def test_a_bomb_is_not_unpacked(folder, content):
    path = write_mcap(folder / "bomb.mcap", content, NOISE_TOPICS, SMALL_CHUNK)
    data, (start, _) = path.read_bytes(), chunk_spans(path)[2]
    bad = data[: start + 25] + struct.pack("<Q", 1 << 50) + data[start + 33 :]
    source = salvaged(folder / "bad.mcap", bad)
    assert [gap.cause for gap in source.salvage.gaps] == [f"chunk claims {1 << 50} bytes, over {1 << 30}"]


@pytest.mark.parametrize("cut", [None, -20, 0.5])
def test_messages_outside_chunks_are_read_as_well(folder, content, cut):
    path = write_mcap(folder / "plain.mcap", content, NOISE_TOPICS, SMALL_CHUNK, chunked=False)
    if cut is None:
        assert kept(open_bag(path)) == content
    data = path.read_bytes()
    part = data[: cut if cut is None or cut < 0 else int(len(data) * cut)]
    source = salvaged(folder / "bad.mcap", part)
    assert (
        len(kept(source))
        >= sum(record_by_record(part).values())
        >= (cut if cut and cut > 0 else 1) * 0.9 * len(content)
    )
    assert source.salvage.unverified == (len(kept(source)) if cut == 0.5 else 0)


def test_a_wrong_byte_outside_chunks_is_told_by_the_checksum_over_the_file(folder, content):
    path = write_mcap(folder / "plain.mcap", content, NOISE_TOPICS, SMALL_CHUNK, chunked=False)
    data = path.read_bytes()
    source = salvaged(folder / "bad.mcap", flipped(data, len(data) // 2, 1))
    assert source.salvage.damaged and source.salvage.unverified >= len(content) - 1
    with pytest.raises(BagError, match="--salvage"):
        open_bag(folder / "bad.mcap")


def test_a_damaged_start_of_the_file_does_not_hide_the_rest(folder, content):
    path = write_mcap(folder / "start.mcap", content, NOISE_TOPICS, SMALL_CHUNK)
    assert kept(salvaged(folder / "bad.mcap", b"\0" * 30 + path.read_bytes()[30:])) == content


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_sqlite_file_gives_every_message_that_lies_before_the_cut(tmp_path, content, share):
    data = write_sqlite(tmp_path / "bag", content, NOISE_TOPICS).read_bytes()
    size = int(len(data) * share)
    with pytest.raises(BagError, match="--salvage"):
        (tmp_path / "cut.db3").write_bytes(data[:size])
        kept(open_bag(tmp_path / "cut.db3"))
    source = salvaged(tmp_path / "cut.db3", data[:size])
    found = kept(source)
    assert not Counter(found) - Counter(content)
    # a picture of noise is there when its last bytes are
    pictures = [cdr for topic, cdr, _ in content if topic == "/camera/image_raw" and cdr[-40:] in data[:size]]
    assert sum(topic == "/camera/image_raw" for topic, *_ in found) == len(pictures) > 0
    assert source.salvage.damaged and source.salvage.unverified == len(found)


def test_an_sqlite_page_of_rubbish_costs_its_rows_and_counts_them(tmp_path, content):
    data = write_sqlite(tmp_path / "bag", content, NOISE_TOPICS).read_bytes()
    at = len(data) // 2 // 4096 * 4096
    found = kept(salvaged(tmp_path / "bad.db3", data[:at] + bytes(8192) + data[at + 8192 :]))
    source = open_bag(tmp_path / "bad.db3", salvage=True)
    lost = len(content) - len(found)
    assert 0 < lost < 40 and source.salvage.lost_messages == lost


def test_an_intact_recording_is_salvaged_whole(tmp_path, content):
    file = write_sqlite(tmp_path / "bag", content, NOISE_TOPICS)
    for path in (file, file.parent, write_mcap(tmp_path / "d.mcap", content, NOISE_TOPICS, SMALL_CHUNK)):
        source = open_bag(path, salvage=True)
        assert sorted(kept(source)) == sorted(content) and not source.salvage.damaged
        assert source.salvage.to_json()["lost"] == {"messages": 0, "seconds": 0.0, "bytes": 0, "topics": {}}


def split(folder, content, parts=3):
    """A rosbag2 folder of several files with their metadata.yaml."""
    step = -(-len(content) // parts)
    for part in range(parts):
        write_mcap(folder / f"bag_{part}.mcap", content[part * step : (part + 1) * step], NOISE_TOPICS, SMALL_CHUNK)
    counts = Counter(topic for topic, *_ in content)
    topics = "".join(
        f"    - topic_metadata: {{name: {topic}, type: x}}\n      message_count: {count}\n"
        for topic, count in counts.items()
    )
    (folder / "metadata.yaml").write_text(
        "rosbag2_bagfile_information:\n"
        f"  starting_time: {{nanoseconds_since_epoch: {content[0][2]}}}\n"
        f"  duration: {{nanoseconds: {content[-1][2] - content[0][2]}}}\n"
        f"  topics_with_message_count:\n{topics}"
        f"  relative_file_paths: [{', '.join(f'bag_{part}.mcap' for part in range(parts))}]\n"
    )
    return step


@pytest.mark.parametrize("how", ["missing", "empty", "rubbish", "missing, without metadata"])
def test_a_lost_middle_file_is_a_gap_between_its_neighbours(tmp_path, content, how):
    step, middle = split(tmp_path, content), tmp_path / "bag_1.mcap"
    assert kept(open_bag(tmp_path)) == content
    middle.unlink()
    if "without" in how:
        (tmp_path / "metadata.yaml").unlink()
    elif how != "missing":
        middle.write_bytes(b"" if how == "empty" else bytes(5000))
    with pytest.raises(BagError, match=r"bag_1\.mcap"):
        open_bag(tmp_path)
    source = open_bag(tmp_path, salvage=True)
    assert kept(source) == content[:step] + content[2 * step :]
    (gap,) = source.salvage.gaps
    assert (gap.file, gap.from_ns, gap.to_ns) == ("bag_1.mcap", content[step - 1][2], content[2 * step][2])
    assert source.salvage.lost_messages == (None if "without" in how else step)
    assert source.salvage.lost_seconds == pytest.approx((gap.to_ns - gap.from_ns) * 1e-9)


def test_a_lost_last_file_ends_where_metadata_says(tmp_path, content):
    step = split(tmp_path, content)
    (tmp_path / "bag_2.mcap").unlink()
    source = open_bag(tmp_path, salvage=True)
    assert source.salvage.gaps[0].to_ns == content[-1][2] and source.salvage.lost_messages == len(content) - 2 * step


def test_counts_of_a_recorder_that_never_finished_are_not_believed(tmp_path, content):
    split(tmp_path, content)
    text = (tmp_path / "metadata.yaml").read_text()
    (tmp_path / "metadata.yaml").write_text(re.sub(r"( message_count:) \d+", r"\1 0", text))
    (tmp_path / "bag_1.mcap").unlink()
    assert open_bag(tmp_path, salvage=True).salvage.lost_messages is None


def test_messages_that_do_not_fit_their_type_are_frames_and_readings_with_a_reason(tmp_path):
    from geodistill_core.bags.reader import ReaderOptions, read_drive

    content = encoded(messages(1.0), TOPICS)
    for topic, stamp in (("/camera/image/compressed", ns(0.5)), ("/gnss/fix", ns(0.4))):
        index = next(i for i, entry in enumerate(content) if (entry[0], entry[2]) == (topic, stamp))
        content[index] = (topic, content[index][1][:30], stamp)
    path = write_mcap(tmp_path / "d.mcap", content, TOPICS, SMALL_CHUNK)
    with pytest.raises(BagError, match="--salvage"):
        list(read_drive(path, ReaderOptions(camera_height_m=1.8)).frames())
    reader = read_drive(path, ReaderOptions(camera_height_m=1.8, salvage=True))
    assert [frame.dropped for frame in reader.frames()] == [None, "undecodable", None]
    assert reader.dropped_readings == {"gnss.undecodable": 1}


def test_chunks_that_overlap_in_time_come_out_in_order(tmp_path, content):
    by_topic = sorted(content, key=lambda entry: entry[0])
    path = write_mcap(tmp_path / "topics.mcap", by_topic, NOISE_TOPICS, SMALL_CHUNK)
    found = kept(open_bag(path, salvage=True))
    assert [entry[2] for entry in found] == sorted(entry[2] for entry in content)
    assert found == kept(open_bag(path))


@pytest.mark.parametrize("salvage", [False, True])
def test_a_ros_1_bag_is_refused_with_the_command_that_converts_it(tmp_path, salvage):
    for name in ("my drive.bag", "renamed.mcap"):
        (tmp_path / name).write_bytes(b"#ROSBAG V2.0\n" + bytes(100))
        with pytest.raises(
            BagError, match=r"ROS 1 bag; convert it with `rosbags-convert --src .* --dst .*`"
        ) as refused:
            open_bag(tmp_path / name, salvage=salvage)
    assert "renamed" in str(refused.value) and str(kind_of(tmp_path / name)) == "a ROS 1 bag"


def test_a_write_ahead_log_is_not_ignored(tmp_path, content):
    file = write_sqlite(tmp_path / "bag", content[:50], NOISE_TOPICS)
    (file.parent / f"{file.name}-wal").write_bytes(bytes(100))
    for salvage in (False, True):
        with pytest.raises(BagError, match="wal_checkpoint"):
            open_bag(file, salvage=salvage)
