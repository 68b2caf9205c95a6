# SPDX-License-Identifier: Apache-2.0
"""How a drive is to be read, said on the command line, and handed on to the ROS 2 node."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geodistill_core.bags.reader import ReaderOptions, read_drive
from geodistill_core.bags.topics import StreamKind
from geodistill_core.camera import BodyMount, forward_optical_mount, level_mount
from geodistill_core.cli.replay_options import reader_options
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation import ros
from geodistill_core.evaluation.live import replay as live
from geodistill_core.evaluation.live.node_options import node_options
from geodistill_core.localization.sensor_buffer import HeadingSource, SensorBufferConfig
from geodistill_core.types import GeoPoint


def test_nothing_said_is_the_standard():
    assert reader_options() == ReaderOptions()


def test_every_option_of_the_reader_can_be_said():
    options = reader_options(
        topics=["image=/cam", "fix=/gps", "motion=none"],
        mount="1.5,0,1.6,0,10,180",
        sigma_height_m=0.25,
        sensors=["heading_source=course", "max_fix_age_s=5", "jump_sigmas=3.5"],
        gnss_sigma_m=7.0,
        heading_sigma_deg=20.0,
    )
    assert options.topics == {StreamKind.IMAGE: "/cam", StreamKind.FIX: "/gps", StreamKind.MOTION: "none"}
    assert options.mount == BodyMount(1.5, 0.0, 1.6, 0.0, math.radians(10.0), math.pi)
    assert options.sigma_height_m == 0.25 and options.default_sigma_m == 7.0
    assert options.default_sigma_yaw_rad == math.radians(20.0)
    assert options.buffer == SensorBufferConfig(HeadingSource.COURSE, max_fix_age_s=5.0, jump_sigmas=3.5)


def test_a_mount_is_that_of_the_camera_that_the_drive_holds():
    level = reader_options(mount="0,0,1.6").mount
    np.testing.assert_allclose(level.matrix(optical=True), forward_optical_mount(1.6), atol=1e-12)
    np.testing.assert_allclose(level.matrix(optical=False), level_mount(1.6), atol=1e-12)
    back = reader_options(mount="-1,0,1.6,0,0,180").mount.matrix(optical=True)
    # a camera that looks back: its optical axis (third column) points against the base's x
    np.testing.assert_allclose(back[:3, 2], [-1.0, 0.0, 0.0], atol=1e-12)
    down = reader_options(mount="0,0,1.6,0,10,0").mount.matrix(optical=True)
    assert down[2, 2] == pytest.approx(-math.sin(math.radians(10.0)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--topic", "picture=/cam"), ("picture", "camera_info")),
        (("--topic", "image"), ("NAME=VALUE", "--topic")),
        (("--topic", "image=/a", "--topic", "image=/b"), ("twice", "image")),
        (("--mount", "1,2"), ("--mount", "ROLL")),
        (("--mount", "a,b,c"), ("--mount",)),
        (("--mount", "0,0,nan"), ("--mount",)),
        (("--sensor", "max_age=3"), ("max_age", "max_fix_age_s")),
        (("--sensor", "max_fix_age_s=soon"), ("soon",)),
        (("--sensor", "max_fix_age_s=-1"), ("-1", "positive")),
        (("--sensor", "heading_source=compass"), ("compass", "course")),
        (("--rate", "2"), ("--live",)),
        (("--threads", "0"), ("--threads",)),
        (("--gnss-sigma-m", "0"), ("--gnss-sigma-m",)),
    ],
)
def test_what_is_said_wrongly_is_refused_with_what_is_right(geodistill, drive, arguments, words):
    ran = geodistill("replay", drive.bag, *arguments)
    assert ran.code == 2 and "Traceback" not in ran.err
    assert all(word in ran.err for word in words), ran.err


def test_a_chosen_topic_and_mount_are_read_and_told(geodistill, drive, checkpoint, tmp_path, monkeypatch):
    from geodistill_core.evaluation import replay as offline

    seen = []
    monkeypatch.setattr(offline, "attempt", lambda localizer, image, prior: seen.append((image, prior)) or "no_map")
    chosen = ("--topic", "fix=/ground_truth/fix", "--mount", "0.5,0,2.25", "--sensor", "max_fix_age_s=4")
    ran = geodistill("replay", drive.bag, "--model", checkpoint, "-o", tmp_path, *chosen)
    assert ran.code == 3
    truth = [frame.truth for frame in read_drive(drive.bag).frames()]
    for (image, prior), true in zip(seen, truth, strict=True):
        assert image.T_base_camera[:3, 3].tolist() == [0.5, 0.0, 2.25]
        assert prior.latitude == pytest.approx(true.latitude, abs=2e-5)
    report = (tmp_path / "report.html").read_text()
    assert "/ground_truth/fix" in report and "0.5, 0, 2.25 m" in report and "max_fix_age_s" in report


def test_the_node_is_told_the_same_in_its_own_words():
    options = reader_options(
        topics=["image=/cam", "truth_pose=/rtk"],
        mount="1.5,0,1.6,0,10,180",
        sensors=["heading_source=course", "max_speed_mps=30"],
        gnss_sigma_m=7.0,
        heading_sigma_deg=20.0,
    )
    words = node_options(options, GeoPoint(47.5, -8.25))
    said = reader_options(
        topics=[words[i + 1] for i, word in enumerate(words) if word == "--topic"],
        mount=next(word.removeprefix("--mount=") for word in words if word.startswith("--mount=")),
    )
    assert said.mount == options.mount
    # the truth is not for the node
    unused = {StreamKind.TRUTH_POSE: "none", StreamKind.TRUTH_DATUM: "none"}
    assert said.topics == {StreamKind.IMAGE: "/cam", **unused}
    parameters = dict(word.split(":=") for i, word in enumerate(words) if i and words[i - 1] == "-p")
    assert parameters["heading_source"] == "course" and float(parameters["max_speed_mps"]) == 30.0
    assert float(parameters["gnss_default_sigma_m"]) == 7.0 and float(parameters["heading_sigma_deg"]) == 20.0
    assert (float(parameters["datum_latitude"]), float(parameters["datum_longitude"])) == (47.5, -8.25)


def test_what_the_node_cannot_be_told_is_refused(geodistill, drive, checkpoint, monkeypatch):
    with pytest.raises(ConfigError, match="jump_sigmas"):
        node_options(reader_options(sensors=["jump_sigmas=3"]))
    with pytest.raises(ConfigError, match="matrix"):
        node_options(ReaderOptions(T_base_camera=level_mount(1.5)))
    monkeypatch.setattr(ros, "find_spec", lambda name: object())
    monkeypatch.setattr(live, "_run", lambda command: pytest.fail("it was started"))
    ran = geodistill("replay", drive.bag, "--model", checkpoint, "--live", "--sensor", "jump_sigmas=3")
    assert ran.code == 2 and "--live" in ran.err
