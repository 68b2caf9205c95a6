# SPDX-License-Identifier: Apache-2.0
"""The mounting that a tracked drive shows, through the node: reported, saved, applied. The estimator is a stand-in."""

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from geodistill_ros import mounting
from geodistill_ros.parameters import checked_value
from std_srvs.srv import Trigger

from geodistill_core.tracking.mount import MountEstimate

FOUND = MountEstimate(2.5, 0.02, 0.05, 0.002, 0.0, 0.002, 0.0, 0.003, 40)


class Knowing:
    """Knows the mounting from the first image on."""

    def __init__(self, source, T_base_camera, *, optical):
        self.T, self.optical, self.moved_m = T_base_camera, optical, []

    def observe(self, image, estimate, pose, moved_m):
        self.moved_m.append(moved_m)
        return True

    def estimate(self):
        return FOUND

    def corrected(self, T):
        raised = np.array(T)
        raised[2, 3] = FOUND.height_m
        return raised

    def findings(self):
        return ["camera height 2.00 m does not fit what the images show"]


@pytest.fixture
def knowing(drives, monkeypatch):
    """Make a drive whose mounting is known once it is tracked."""
    monkeypatch.setattr(mounting, "MountCalibrator", Knowing)

    def make(**parameters):
        drive = drives(**parameters)
        drive.localizer.log_likelihoods = lambda *_: []
        drive.acquire()
        drive.drive_until(lambda: drive.known("mount.compared") > 1, "two compared images", 200)
        return drive

    return make


def heights(drive):
    return [image.height_m for image, _ in drive.localizer.seen]


def test_wrong_height_is_a_diagnostic_and_changes_no_image(knowing):
    drive = knowing()
    drive.wait(lambda: "does not fit" in drive.diagnostics[-1].status[0].message, "the WARN")
    assert drive.diagnostics[-1].status[0].level == b"\x01"
    assert drive.values()["mount.z_m"].startswith("2.50 +- 0.02")
    drive.step()
    assert set(heights(drive)) == {2.0}


def test_applied_mounting_is_used_for_the_next_images(knowing):
    drive = knowing(mount_calibration="apply")
    drive.step()
    assert heights(drive)[0] == 2.0 and heights(drive)[-1] == 2.5
    assert "does not fit" not in drive.status()[1]["message"]


def test_way_between_images_is_that_of_the_track(knowing):
    drive = knowing()
    drive.step()
    moved_m = drive.node._session.mounting._calibrator.moved_m
    assert moved_m[0] == 0.0 and moved_m[-1] == pytest.approx(2.5, abs=0.7)  # half a second at 5 m/s


def test_mounting_is_saved_as_parameters_that_the_node_takes(knowing, tmp_path):
    drive = knowing(mount_file=str(tmp_path / "mount.yaml"))
    answer = drive.call(Trigger, "geodistill/save_mount", Trigger.Request())
    assert answer.success, answer.message
    values = yaml.safe_load((tmp_path / "mount.yaml").read_text())["/**"]["ros__parameters"]
    assert values["mount_z_m"] == 2.5
    assert all(checked_value(name, value) == value for name, value in values.items())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({}, "mount_file is empty"), ({"mount_file": "m.yaml", "mount_calibration": "off"}, "nothing is known")],
)
def test_saving_nothing_is_refused_with_a_sentence(drives, parameters, words):
    drive = drives(**parameters)
    drive.localizer.log_likelihoods = lambda *_: []
    drive.acquire()
    answer = drive.call(Trigger, "geodistill/save_mount", Trigger.Request())
    assert not answer.success and words in answer.message
