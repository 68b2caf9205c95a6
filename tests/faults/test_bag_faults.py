# SPDX-License-Identifier: Apache-2.0
"""R01 to R07 and R10: damaged, incomplete and odd recordings are read as far as they can be, and the rest is named."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from geodistill_core.bags.reader import ReaderOptions, TruthOptions, read_drive
from geodistill_core.bags.source import open_bag
from geodistill_core.bags.topics import NAV_SAT_FIX, StreamKind
from geodistill_core.bags.writer import typestore
from geodistill_core.cli.main import describe, main
from geodistill_core.errors import BagError
from geodistill_core.maps import RasterSource, write_mbtiles
from geodistill_core.models import build
from geodistill_core.models.checkpoint import save_checkpoint
from tests.bags.bag_drives import DATUM, TOPICS, messages, ns, write
from tests.bags.damaged import (
    NOISE_TOPICS,
    chunk_spans,
    encoded,
    flipped,
    kept,
    noise_drive,
    record_by_record,
    write_mcap,
    write_sqlite,
)

CHUNKS = [64 << 10, 1 << 20, 4 << 20]
CUTS = {"20 bytes": -20, "10 %": 0.1, "50 %": 0.5, "90 %": 0.9}
HEIGHT = ReaderOptions(camera_height_m=1.8)
SALVAGE = replace(HEIGHT, salvage=True)
CHECKPOINT = {
    "name": "untrained", "architecture": "tiny", "arguments": {"widths": (8, 8, 8, 8)}, "inputs": {},
    "metres_per_pixel": 0.25, "preprocessing": "none", "training": {}, "calibration": None, "licence": "Apache-2.0",
}  # fmt: skip


def exit_code(error):
    return describe(error)[1]


@pytest.fixture(scope="module")
def content():
    """Four seconds, 2.5 MB of messages."""
    return encoded(noise_drive(), NOISE_TOPICS)


@pytest.fixture(scope="module", params=CHUNKS, ids=lambda size: f"{size >> 10} KiB")
def recording(request, content, tmp_path_factory):
    """The same messages in chunks of three sizes."""
    return write_mcap(tmp_path_factory.mktemp("whole") / "drive.mcap", content, NOISE_TOPICS, request.param)


# R01: a file that was cut off


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_r01_salvage_recovers_at_least_what_a_record_by_record_reader_can(recording, content, tmp_path, cut):
    data = recording.read_bytes()
    size = CUTS[cut] if CUTS[cut] < 0 else int(len(data) * CUTS[cut])
    path = tmp_path / "drive.mcap"
    path.write_bytes(data[:size])
    with pytest.raises(BagError, match="--salvage") as refused:
        open_bag(path)
    assert exit_code(refused.value) == 4
    floor = record_by_record(data[:size])
    source = open_bag(path, salvage=True)
    counts = {topic: info.messages for topic, info in source.topics.items()}
    assert all(counts[topic] >= count for topic, count in floor.items())
    found = kept(source)
    assert found == content[: len(found)] and sum(counts.values()) == len(found)
    # of the last chunk, too, what lies before the cut is read: all but a block of zstd, 128 KiB
    assert len(found) >= (max(CUTS[cut], 0.0) - 0.06) * len(content)
    told = source.salvage.to_json()
    assert told["damaged"] and told["messages"] == len(found)
    assert told["lost"]["messages"] == (0 if cut == "20 bytes" else None)


@pytest.fixture(scope="module")
def replayable(tmp_path_factory):
    """A drive of three pictures with a map, and a network with random weights."""
    folder = tmp_path_factory.mktemp("replayable")
    drive = write(folder / "drive.mcap", messages(1.0))
    rgb = np.random.default_rng(0).integers(0, 255, (600, 600, 3), dtype=np.uint8)
    source = RasterSource(rgb, DATUM, 0.5, "nobody")
    write_mbtiles(folder / "drive.mbtiles", source, source.bounds(), 19, attribution="nobody")
    torch.manual_seed(0)
    save_checkpoint(folder / "untrained", build("tiny", widths=(8, 8, 8, 8)), CHECKPOINT)
    return drive, folder / "untrained"


def replayed(drive, checkpoint, output, *options):
    words = ["replay", drive, "--model", checkpoint, "-o", output, "--camera-height-m", "1.8", *options]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    metrics = output / "metrics.json"
    return int(ended.value.code or 0), json.loads(metrics.read_text()) if metrics.exists() else None


def test_r01_a_salvaged_replay_ends_with_3_and_says_so_an_intact_one_with_0(replayable, tmp_path):
    drive, checkpoint = replayable
    code, metrics = replayed(drive, checkpoint, tmp_path / "whole", "--salvage")
    assert (code, metrics["dropped"], metrics["salvaged"]["damaged"]) == (0, {}, False)
    cut = tmp_path / "drive.mcap"
    cut.write_bytes(drive.read_bytes()[:-20])
    map_option = ("--map", drive.with_suffix(".mbtiles"))
    assert replayed(cut, checkpoint, tmp_path / "refused", *map_option) == (4, None)
    code, metrics = replayed(cut, checkpoint, tmp_path / "cut", *map_option, "--salvage")
    assert code == 3 and metrics["frames"] == metrics["frames_localized"] == 3
    assert metrics["salvaged"]["damaged"] and metrics["salvaged"]["gaps"][0]["cause"] == "the index is damaged"
    assert metrics["salvaged"]["lost"]["messages"] == 0


# R02: flipped bytes in a chunk


def test_r02_a_bad_chunk_is_skipped_and_the_lost_interval_listed(content, tmp_path):
    path = write_mcap(tmp_path / "drive.mcap", content, NOISE_TOPICS, CHUNKS[0])
    start, end = chunk_spans(path)[9]
    path.write_bytes(flipped(path.read_bytes(), (start + end) // 2))
    with pytest.raises(BagError, match="--salvage"):
        kept(open_bag(path))
    source = open_bag(path, salvage=True)
    found = kept(source)
    lost = [entry for entry in content if entry not in found]
    first = content.index(lost[0])
    assert lost == content[first : first + len(lost)] and len(lost) + len(found) == len(content)
    (gap,) = source.salvage.gaps
    assert (gap.from_ns, gap.to_ns) == (content[first - 1][2], content[first + len(lost)][2])
    assert "checksum" in gap.cause or "decompressed" in gap.cause
    topics = {topic: sum(entry[0] == topic for entry in lost) for topic in NOISE_TOPICS}
    assert source.salvage.lost_topics == {topic: count for topic, count in topics.items() if count}
    assert source.salvage.to_json()["lost"]["messages"] == len(lost)
    assert any(f"{len(lost)} lost" in line for line in source.salvage.lines())


# R03: no metadata.yaml, empty, wrong storage id


@pytest.mark.parametrize("damage", ["deleted", "empty", "wrong storage id", "no YAML"])
def test_r03_the_files_are_opened_whatever_metadata_says(tmp_path, damage):
    content = encoded(messages(0.5), TOPICS)
    file = write_sqlite(tmp_path / "bag", content, TOPICS)
    metadata = file.parent / "metadata.yaml"
    text = metadata.read_text()
    if damage == "deleted":
        metadata.unlink()
    else:
        spoilt = {"empty": "", "no YAML": "{[", "wrong storage id": text.replace("sqlite3", "mcap")}
        metadata.write_text(spoilt[damage])
    assert sorted(kept(open_bag(file.parent))) == sorted(content)
    remark = open_bag(file.parent).remark
    assert remark is None if damage == "wrong storage id" else "metadata.yaml" in remark


def test_r03_a_folder_without_a_recording_is_refused_with_the_way_to_reindex(tmp_path):
    (tmp_path / "metadata.yaml").touch()
    with pytest.raises(BagError, match="ros2 bag reindex") as refused:
        open_bag(tmp_path)
    assert exit_code(refused.value) == 4
    (tmp_path / "bag.mcap").touch()
    with pytest.raises(BagError, match="empty"):
        open_bag(tmp_path, salvage=True)


# R04: topic absent or of the wrong type


@pytest.mark.parametrize("topic", ["/gnss/renamed", "/imu/data"])
def test_r04_a_topic_that_cannot_be_the_stream_ends_with_2_and_names_those_that_can(tmp_path, topic):
    path = write(tmp_path / "drive.mcap", messages(0.5))
    with pytest.raises(BagError) as refused:
        read_drive(path, ReaderOptions(topics={StreamKind.FIX: topic}))
    text, code = describe(refused.value)
    assert code == 2 and topic in text and "/gnss/fix (sensor_msgs/msg/NavSatFix)" in text
    assert "/camera/image/compressed" not in text


# R05: unknown message type, other definitions


def test_r05_a_topic_of_an_unknown_type_is_ignored_and_named(tmp_path):
    topics, definition = TOPICS | {"/radar": "acme_msgs/msg/Radar"}, [("acme_msgs/msg/Radar", "no definition { at all")]
    content = encoded(messages(0.5), TOPICS)
    content.insert(3, ("/radar", b"\0\1\0\0nonsense", ns(0)))
    reader = read_drive(write_mcap(tmp_path / "d.mcap", content, topics, 1 << 16, definitions=definition), HEIGHT)
    assert [frame.dropped for frame in reader.frames()] == [None, None]
    assert reader.account()["remarks"] == [
        "ignored, of message types that are not known here: /radar (acme_msgs/msg/Radar)"
    ]


def longer_fix():
    """A NavSatFix with a field in front of the latitude, as a fork of the message package might have it."""
    text, _ = typestore().generate_msgdef(NAV_SAT_FIX, ros_version=2)
    text = text.replace("float64 latitude", "float64 undulation\nfloat64 latitude")
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(text, NAV_SAT_FIX))
    return store, text


def test_r05_messages_are_decoded_by_the_definitions_of_the_bag(tmp_path):
    store, text = longer_fix()
    content = []
    for topic, message, stamp in messages(0.5):
        if TOPICS[topic] == NAV_SAT_FIX:
            values = {name: getattr(message, name) for name in message.__dataclass_fields__}
            cdr = bytes(store.serialize_cdr(store.types[NAV_SAT_FIX](**values, undulation=47.0), NAV_SAT_FIX))
        else:
            cdr = encoded([(topic, message, stamp)], TOPICS)[0][1]
        content.append((topic, cdr, stamp))
    path = write_mcap(tmp_path / "fork.mcap", content, TOPICS, 1 << 16, definitions=[(NAV_SAT_FIX, text)])
    plain = write(tmp_path / "plain.mcap", messages(0.5))
    for a, b in zip(read_drive(path, HEIGHT).frames(), read_drive(plain, HEIGHT).frames(), strict=True):
        assert (a.frame_prior, a.truth) == (b.frame_prior, b.truth) and a.dropped is None


@pytest.mark.parametrize(
    "text",
    [
        "std_msgs/Header header\nuint8 status",
        "x",
        "uint8 a\n" * 60_000,
        "std_msgs/Header header\n================\nMSG: a/b:\n    import os; os.abort()\nuint8 x",
    ],
)
def test_r05_a_definition_that_does_not_serve_is_refused_by_name_and_never_run(tmp_path, text):
    content = encoded(messages(0.5), TOPICS)
    path = write_mcap(tmp_path / "drive.mcap", content, TOPICS, 1 << 16, definitions=[(NAV_SAT_FIX, text)])
    with pytest.raises(BagError, match="NavSatFix"):
        list(read_drive(path, HEIGHT).frames())


# R06: stamps unsorted, repeated, halting, of 1970


def test_r06_odd_stamps_are_sorted_counted_and_never_run_backwards(tmp_path):
    entries = [entry for entry in messages(40.0) if not ns(6.0) < entry[2] < ns(36.0)]
    images = [entry for entry in entries if entry[0] == "/camera/image/compressed"]
    fixes = [entry for entry in entries if entry[0] == "/gnss/fix"]
    first, second = entries.index(images[1]), entries.index(images[2])
    entries[first], entries[second] = entries[second], entries[first]
    entries.insert(entries.index(images[4]), images[4])
    images[6][1].header.stamp.sec = 12
    fixes[3][1].header.stamp.sec = 2_100_000_000
    recorded = [(topic, message, stamp, ns(k * 0.01)) for k, (topic, message, stamp) in enumerate(entries)]
    reader = read_drive(write(tmp_path / "d.mcap", recorded), HEIGHT)
    frames = list(reader.frames())
    stamps = [frame.stamp_ns for frame in frames if frame.dropped is None]
    assert stamps == sorted(set(stamps)) and len(frames) == len(images) + 1
    reasons = [frame.dropped for frame in frames if frame.dropped]
    assert sorted(reasons) == ["stamp_repeated", "stamp_wild"]
    assert reader.dropped_readings == {"gnss.stamp_wild": 1}
    assert all(frame.frame_prior.fix_age_s >= 0.0 for frame in frames if frame.frame_prior)
    told = reader.account()["streams"]["image"]
    assert (told["late"], told["repeated"], told["wild"]) == (1, 1, 1)
    assert told["halts"] == [[pytest.approx(ns(6.0) * 1e-9), pytest.approx(ns(36.0) * 1e-9)]]
    assert any("/gnss/fix halts for 30.0 s" in line for line in reader.remarks())


# R07: header and recording clocks differ


def test_r07_header_stamps_count_and_the_offset_is_told(tmp_path):
    entries = messages(1.0)
    late = [(topic, message, stamp, stamp + 7_200_000_000_000) for topic, message, stamp in entries]
    reader = read_drive(write(tmp_path / "late.mcap", late), HEIGHT)
    plain = read_drive(write(tmp_path / "plain.mcap", entries), HEIGHT)
    for a, b in zip(reader.frames(), plain.frames(), strict=True):
        assert (a.stamp_ns, a.frame_prior, a.truth) == (b.stamp_ns, b.frame_prior, b.truth)
    assert plain.remarks() == []
    assert reader.remarks() == [
        "header stamps of /camera/image/compressed are 7200.0 s behind the recording's clock and are used"
    ]
    assert reader.account()["streams"]["image"]["stamp_minus_recording_s"] == -7200.0


def test_r07_a_sensor_with_a_clock_of_its_own_is_named(tmp_path):
    entries = messages(1.0)
    for topic, message, _ in entries:
        if topic == "/gnss/fix":
            message.header.stamp.sec -= 3600
    reader = read_drive(write(tmp_path / "d.mcap", entries), HEIGHT)
    assert {frame.dropped for frame in reader.frames()} == {"fix_stale"}
    clock = "the clock of /gnss/fix is 3600.0 s behind that of /camera/image/compressed; they may not meet"
    assert clock in reader.remarks()


# R10: no image falls into the truth


def test_r10_truth_of_another_hour_is_refused_with_tolerance_and_offset(tmp_path):
    entries = messages(1.0)
    for topic, message, _ in entries:
        if topic == "/ground_truth/pose":
            message.header.stamp.sec += 3600
    path = write(tmp_path / "drive.mcap", entries)
    reader = read_drive(path, HEIGHT)
    with pytest.raises(BagError) as refused:
        reader.check_truth()
    text, code = describe(refused.value)
    assert code == 4
    for words in ("max. gap of 0.5 s", "offset of 0 s", "3 images", "11 truths", "--truth-offset-s -3600.000"):
        assert words in text
    assert {frame.truth for frame in reader.frames()} == {None}
    mended = read_drive(path, replace(HEIGHT, truth=TruthOptions(offset_s=-3600.0)))
    mended.check_truth()
    assert all(frame.truth is not None for frame in mended.frames())


def test_r10_the_replay_stops_before_it_starts(replayable, tmp_path, capsys):
    drive, checkpoint = replayable
    late = tmp_path / "late.tum"
    late.write_text("".join(f"{1_700_003_600 + k} 0 0 0 0 0 0 1\n" for k in range(5)))
    assert replayed(drive, checkpoint, tmp_path / "out", "--truth", late) == (4, None)
    assert "late.tum" in capsys.readouterr().err and not (tmp_path / "out").exists()
