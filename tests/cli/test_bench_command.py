# SPDX-License-Identifier: Apache-2.0
"""`geodistill bench` measures every stage it names and refuses what it cannot measure."""

import json

import pytest


def test_each_stage_and_frame_of_a_network_is_measured(geodistill):
    done = geodistill("bench", "tiny", "--runs", "2", "--threads", "1", "--json", "-")
    assert done.code == 0
    result = json.loads(done.out)
    (network,) = result["networks"]
    stages = network["stages"]
    assert set(stages) == {"map", "ground", "match"}
    for stage in (*stages.values(), network["seen_tile"], network["new_tile"]):
        assert 0 < stage["min_ms"] <= stage["median_ms"] <= stage["p90_ms"]
    least_ms = stages["ground"]["min_ms"] + stages["match"]["min_ms"]
    assert network["seen_tile"]["min_ms"] >= least_ms - 1e-6
    assert network["new_tile"]["median_ms"] > network["seen_tile"]["median_ms"]
    assert network["parameters"] > 1_000_000
    assert stages["map"]["gmacs"] > stages["match"]["gmacs"]
    assert result["machine"]["threads"] == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("no_such_network",), "no_such_network"),
        (("tiny", "--runs", "0"), "runs 0"),
        (("tiny", "--geometry", "spherical"), "spherical"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_exit_code_2(geodistill, arguments, named):
    done = geodistill("bench", *arguments)
    assert done.code == 2
    assert named in done.err


def test_a_cache_and_a_drive_of_the_map_bench_are_measured(geodistill):
    done = geodistill("bench", "map", "--tiles", "1000", "--reads", "10", "--seconds", "1", "--json", "-")
    assert done.code == 0
    result = json.loads(done.out)
    limits = result["cache"].pop("limits")
    assert set(result["cache"]) == {"cold_start_s", "from_memory_ms", "from_decoded_ms", "from_files_ms", "one_file_ms"}
    assert min(result["cache"].values()) > 0 and set(limits) <= set(result["cache"])
    assert result["tiles"] == 1000
    assert result["drive"]["frames"] == 10


@pytest.mark.parametrize(("option", "value"), [("--tiles", "10"), ("--reads", "0"), ("--seconds", "0")])
def test_a_map_bench_too_small_to_mean_anything_is_refused(geodistill, option, value):
    done = geodistill("bench", "map", option, value)
    assert done.code == 2
    assert value in done.err


def test_a_replays_parts_are_measured_and_held_against_their_limits(geodistill, checkpoint):
    done = geodistill("bench", "replay", "--model", checkpoint, "--frames", "6", "--json", "-")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    spent, limits = result["milliseconds_a_frame"], result["limits"]
    assert 0 < spent["decode"] < spent["intake"] and spent["overhead"] > 0
    assert result["intake_hz"] == pytest.approx(1e3 / spent["intake"])
    assert (limits["overhead_ms"], limits["intake_hz"]) == (5.0, 30.0)
    within = spent["overhead"] <= limits["overhead_ms"] and result["intake_hz"] >= limits["intake_hz"]
    assert result["within_limits"] is within
    shown = geodistill("bench", "replay", "--model", checkpoint, "--frames", "6")
    assert shown.code == 0 and "decode and projection" in shown.out


def test_a_drive_too_short_to_measure_is_refused(geodistill):
    done = geodistill("bench", "replay", "--frames", "4")
    assert done.code == 2 and "frames 4" in done.err


SHORT = ("--seconds", "2", "--drives", "1", "--rounds", "1", "--jobs", "1")


def test_a_drive_is_tracked_and_its_frames_are_written(geodistill, checkpoint, tmp_path):
    arguments = ("--model", checkpoint, *SHORT, "--no-mount", "--out", str(tmp_path))
    done = geodistill("bench", "tracking", *arguments, "--json", "-")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    (drive,) = result["drives"]
    assert drive["name"] == "campus" and drive["frames"] == 8 and result["mount"] is None
    assert set(result["within_limits"]) >= {"median_m", "nees", "coverage_95", "hpd_deviation", "protection", "mount"}
    assert result["all"]["tracker_ms"]["p50"] > 0.0
    (table,) = tmp_path.glob("*.csv")
    assert len(table.read_text().splitlines()) == 9
    pictures = sorted((tmp_path / "pictures").glob("*/*.jpg"))
    assert len(pictures) == 8
    written = pictures[0].stat().st_mtime_ns
    again = geodistill("bench", "tracking", *arguments, "--json", "-")
    assert json.loads(again.out)["drives"][0]["states"] == drive["states"]
    assert pictures[0].stat().st_mtime_ns == written
    pictures[0].write_bytes(b"\xff\xd8")
    broken = geodistill("bench", "tracking", *arguments)
    assert broken.code != 0 and pictures[0].name in broken.err


def test_too_short_a_calibration_drive_is_refused_with_a_sentence(geodistill, checkpoint, tmp_path):
    path = tmp_path / "calibration.json"
    done = geodistill("bench", "tracking", "--model", checkpoint, *SHORT, "--calibrate", str(path))
    assert done.code != 0 and "too few" in done.err
    assert not path.exists()


@pytest.mark.parametrize(("option", "value"), [("--rounds", "0"), ("--seconds", "1"), ("--jobs", "0")])
def test_a_tracking_bench_of_no_meaning_is_refused(geodistill, option, value):
    done = geodistill("bench", "tracking", option, value)
    assert done.code == 2
    assert value in done.err
