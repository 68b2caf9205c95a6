# SPDX-License-Identifier: Apache-2.0
"""`~/save_debug`: what is written, how much of it, and that a full disk costs nothing but the saving."""

import json
import subprocess

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from geodistill_ros.counters import Counters
from geodistill_ros.debug_frames import FRAMES, DebugFrames
from geodistill_ros.tracking import Answer
from ros_world import LATITUDE, LONGITUDE, FakeLocalizer, compressed_image, picture
from std_srvs.srv import Trigger

from geodistill_core.localization.gnss import FixReading
from geodistill_core.localization.readings import FramePrior
from geodistill_core.types import GroundImage, Prior


def save(world):
    return world.call(Trigger, "geodistill/save_debug", Trigger.Request())


def saved(folder):
    return sorted(path.name for path in folder.glob("frames-*"))


def test_last_frames_are_saved_with_image_heat_map_answer_and_readings(drives, tmp_path):
    drive = drives(debug_dir=str(tmp_path))
    drive.acquire()
    answer = save(drive)
    assert answer.success and str(tmp_path) in answer.message
    (name,) = saved(tmp_path)
    folder = tmp_path / name
    stamps = sorted({int(path.name.split(".")[0]) for path in folder.glob("*.npz")})
    assert len(stamps) == FRAMES and name == f"frames-{stamps[-1]}"
    image = cv2.imdecode(np.frombuffer((folder / f"{stamps[-1]}.image").read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == picture().shape
    with np.load(folder / f"{stamps[-1]}.npz") as packed:
        assert packed["probability"].sum() == pytest.approx(1.0, abs=1e-3) and packed["tile"].dtype == np.uint8
    told = json.loads((folder / f"{stamps[-1]}.json").read_text())
    assert told["prior"]["fix"]["sigma_m"] == 2.0 and told["tracked"]["state"] in ("tracking", "acquiring")
    assert json.loads((folder / "diagnostics.json").read_text())["track.state"] == "tracking"
    assert not list(tmp_path.glob(".*"))


def test_without_a_folder_the_service_says_which_parameter_is_empty(world):
    world.start()
    world.good_frame_gets_a_pose()
    answer = save(world)
    assert not answer.success and "debug_dir" in answer.message


def test_before_the_first_answer_there_is_nothing_to_save(worlds, tmp_path):
    world = worlds(debug_dir=str(tmp_path))
    world.start()
    answer = save(world)
    assert not answer.success and "no image" in answer.message and saved(tmp_path) == []


def test_n44_full_disk_switches_the_saving_off_and_poses_continue(worlds, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here")
    try:
        world = worlds(debug_dir=str(folder))
        world.start()
        world.good_frame_gets_a_pose()
        answer = save(world)
        assert not answer.success and "switched off" in answer.message and "No space" in answer.message
        assert list(folder.iterdir()) == []  # nothing half written is left
        world.good_frame_gets_a_pose()
        level, values = world.status()[1]["level"], world.status()[1]["values"]
        assert level == 1 and values["debug.failed"] == "1"
        assert not save(world).success  # and it is not tried again
        assert world.count("debug.failed") == 1
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def frame():
    """An answered frame of a stamp."""

    def make(stamp_ns):
        prior = Prior(LATITUDE, LONGITUDE, 5.0, 0.3, 0.1)
        estimate = FakeLocalizer().locate(GroundImage.panorama(picture(), stamp_ns), prior)
        readings = FramePrior(prior, 0.0, 0.0, FixReading(stamp_ns, LATITUDE, LONGITUDE, 5.0), 0.0)
        return compressed_image(stamp_ns), readings, Answer(estimate, prior)

    return make


def test_older_folders_make_room_and_what_others_put_there_stays(frame, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for stamp_ns in (9, 10, 11):  # in order of time, not of letters
        debug = DebugFrames(str(tmp_path), Counters())
        debug.keep(*frame(stamp_ns))
        one = sum(file.stat().st_size for file in (tmp_path / "frames-9").glob("*")) or 1e9
        assert debug.save(2.5 * one, {})[0]
    assert saved(tmp_path) == ["frames-10", "frames-11"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_newest_folder_stays_even_where_it_alone_is_too_large(frame, tmp_path):
    debug = DebugFrames(str(tmp_path), Counters())
    debug.keep(*frame(5))
    assert debug.save(1.0, {})[0] and saved(tmp_path) == ["frames-5"]


def test_only_the_last_frames_are_kept(frame, tmp_path):
    debug = DebugFrames(str(tmp_path), Counters())
    for stamp_ns in range(1, FRAMES + 4):
        debug.keep(*frame(stamp_ns))
    assert debug.save(1e9, {})[0]
    assert len(list((tmp_path / f"frames-{FRAMES + 3}").glob("*.npz"))) == FRAMES


def test_folder_that_cannot_be_made_is_a_sentence(frame, tmp_path):
    (tmp_path / "file").write_text("")
    debug = DebugFrames(str(tmp_path / "file" / "below"), Counters())
    debug.keep(*frame(5))
    done, sentence = debug.save(1e9, {})
    assert not done and "switched off" in sentence
    assert debug.failure == sentence


def test_frame_names_from_the_network_are_made_printable(frame, tmp_path):
    message, readings, answer = frame(5)
    message.header.frame_id = "camera\x1b[31m"
    debug = DebugFrames(str(tmp_path), Counters())
    debug.keep(message, readings, answer)
    assert debug.save(1e9, {})[0]
    assert json.loads((tmp_path / "frames-5" / "5.json").read_text())["image"]["frame_id"] == "camera?[31m"
