# SPDX-License-Identifier: Apache-2.0
"""`geodistill replay`: complete, reproducible byte by byte, and clear about what is wrong."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from geodistill_core.bags.reader import read_drive
from geodistill_core.evaluation.replay import locate_frame, map_beside, replay, run_info
from geodistill_core.localization import Localizer


@pytest.fixture(scope="module")
def outputs(drive, checkpoint, tmp_path_factory):
    """The same replay twice, through the library."""
    folders = []
    for name in ("first", "second"):
        reader = read_drive(drive.bag)
        localizer = Localizer.load(checkpoint, drive.map)
        outcome = replay(reader, localizer, run_info(reader, localizer, drive.map, "offline"))
        folders.append(tmp_path_factory.mktemp(name))
        outcome.save(folders[-1], localizer.source)
    return folders


@pytest.mark.parametrize("name", ["metrics.json", "report.html", "estimate.tum", "truth.tum"])
def test_two_offline_replays_leave_the_same_bytes(outputs, name):
    first, second = (folder / name for folder in outputs)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 100


def test_every_recorded_image_is_accounted_for(outputs, drive):
    metrics = json.loads((outputs[0] / "metrics.json").read_text())
    assert metrics["frames"] == read_drive(drive.bag).image_count == 8
    assert metrics["frames"] == metrics["frames_localized"] + sum(metrics["dropped"].values())
    assert metrics["seed"] == 20_000 and metrics["map"] == "drive.mbtiles" and metrics["model"] == "untrained"


def test_the_replay_gives_what_the_localizer_gives_frame_by_frame(drive, checkpoint):
    localizer = Localizer.load(checkpoint, drive.map)
    reader = read_drive(drive.bag)
    outcome = replay(reader, localizer, run_info(reader, localizer, drive.map, "offline"))
    for frame, result in zip(reader.frames(), outcome.results, strict=True):
        alone = Localizer.load(checkpoint, drive.map).locate(frame.image, frame.frame_prior.prior)
        assert (result.stamp_ns, result.answer.latitude) == (frame.stamp_ns, alone.latitude)
        np.testing.assert_array_equal(result.answer.covariance, alone.covariance)


def test_a_frame_the_reader_dropped_keeps_the_readers_reason(drive, checkpoint):
    from geodistill_core.bags.reader import DriveFrame

    frame = DriveFrame(5, None, None, None, "truncated")
    assert locate_frame(frame, Localizer.load(checkpoint, drive.map)) == "truncated"


def test_a_place_without_imagery_is_counted_and_ends_with_3(geodistill, drive, checkpoint, tmp_path):
    from geodistill_core.maps import RasterSource, write_mbtiles
    from geodistill_core.types import GeoPoint

    source = RasterSource(np.full((400, 400, 3), 90, np.uint8), GeoPoint(10.0, 10.0), 0.5, "nobody")
    write_mbtiles(tmp_path / "elsewhere.mbtiles", source, source.bounds(), 17, attribution="nobody")
    ran = geodistill(
        "replay", drive.bag, "--model", checkpoint, "--map", tmp_path / "elsewhere.mbtiles", "-o", tmp_path / "out"
    )
    assert ran.code == 3
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["dropped"] == {"no_map": 8}
    assert metrics["position_error_m"]["median"] is None
    assert "no_map 8" in ran.out


def test_json_on_standard_output_is_the_file(geodistill, drive, checkpoint, tmp_path):
    ran = geodistill("replay", drive.bag, "--model", checkpoint, "-o", tmp_path, "--json", "-")
    assert ran.code == 0
    assert ran.out == (tmp_path / "metrics.json").read_text()


def test_latency_is_measured_only_on_request(geodistill, drive, checkpoint, tmp_path):
    ran = geodistill("replay", drive.bag, "--model", checkpoint, "-o", tmp_path, "--timing", "--json", "-")
    timed = json.loads(ran.out)
    assert timed["latency_ms"]["p50"] > 0 and timed["throughput_hz"] > 0


def test_the_map_of_the_sidecar_is_the_default_and_its_absence_is_named(geodistill, drive, checkpoint, tmp_path):
    assert map_beside(read_drive(drive.bag)) == drive.map
    for file in (drive.bag, drive.sidecar):
        shutil.copy(file, tmp_path / file.name)
    ran = geodistill("replay", tmp_path / "drive.mcap", "--model", checkpoint)
    assert ran.code == 4
    assert ran.err.count("\n") == 1 and "drive.mbtiles" in ran.err and "--map" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere.mcap",), 4, "nowhere.mcap"),
        (("{drive}", "--model", "huge"), 4, "huge"),
        (("{drive}", "--map", "nowhere.mbtiles"), 4, "nowhere.mbtiles"),
        (("{drive}", "--prior", "uniform"), 2, "uniform"),
        (("{drive}", "--rate", "0"), 2, "0.05"),
        (("{drive}", "--sigma-height-m", "2.1"), 2, "--sigma-height-m"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(geodistill, drive, arguments, code, words):
    ran = geodistill("replay", *(str(a).format(drive=drive.bag) for a in arguments))
    assert ran.code == code
    assert words in ran.err and "Traceback" not in ran.err


def test_a_truncated_recording_is_refused_by_name(geodistill, drive, checkpoint, tmp_path):
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(drive.bag.read_bytes()[:5000])
    ran = geodistill("replay", cut, "--model", checkpoint, "--map", drive.map)
    assert ran.code == 4
    assert ran.err.count("\n") == 1 and "cut.mcap" in ran.err


def test_an_uncertain_height_reaches_every_frame_and_the_report(geodistill, drive, checkpoint, tmp_path, monkeypatch):
    from geodistill_core.evaluation import replay as offline

    seen = []
    monkeypatch.setattr(offline, "attempt", lambda localizer, image, prior: seen.append(image) or "no_map")
    ran = geodistill("replay", drive.bag, "--model", checkpoint, "-o", tmp_path, "--sigma-height-m", "0.25")
    assert ran.code == 3
    assert [image.sigma_height_m for image in seen] == [0.25] * 8
    assert "uncertain by 0.25 m" in (tmp_path / "report.html").read_text()
