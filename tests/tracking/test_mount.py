# SPDX-License-Identifier: Apache-2.0
"""The camera's mounting from many frames, with images whose likelihood is a formula."""

import math

import numpy as np
import pytest
import yaml

from geodistill_core.camera import BodyMount
from geodistill_core.errors import ConfigError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import GeoPose
from geodistill_core.tracking.mount import MountCalibrator, MountConfig, mount_file
from geodistill_core.types import CameraModel, Estimate, GeoPoint, GroundImage, HeatMap, MapTile, Status

RGB = np.full((32, 64, 3), 90, np.uint8)
CAMERA = CameraModel(64, 32, np.array([[40.0, 0, 31.5], [0, 40.0, 15.5], [0, 0, 1]]))
START = GeoPoint(47.0, 8.0)
TILE = MapTile(np.zeros((16, 16, 3), np.uint8), np.ones((16, 16), bool), START, 1.0, "")
CELL_M, CELLS, METRES_PER_FRAME = 0.5, 25, 5.0
TRUE = BodyMount(0.5, 0.0, 2.0, pitch_rad=math.radians(1.0))
SCALES = np.array([0.03, math.radians(0.5), math.radians(0.5)])
ANGLES = ("pitch_rad", "roll_rad")


class Formula:
    """Likelihoods that peak at the true pose and at a mount a little off the true one, differently in each frame."""

    def __init__(self, true=TRUE, sees_height=True, sees_tilt=True, noise=1.0, seed=3):
        self.true, self.sees_height, self.sees_tilt, self.noise = true, sees_height, sees_tilt, noise
        self.rng, self.calls, self.pose, self.spoilt = np.random.default_rng(seed), 0, None, 0.0

    def frame(self, point, yaw):
        self.pose, self.spread = (point, yaw), self.rng.normal(0, self.noise, 3)

    def log_likelihoods(self, image, point, yaw_enu_rad, height_offsets_m):
        self.calls += 1
        point_true, yaw_true = self.pose
        frame = LocalFrame(point)
        grid = HeatMap(np.zeros((len(yaw_enu_rad), CELLS, CELLS)), point, CELL_M, yaw_enu_rad)
        east, north = grid.axes_m()
        at_east, at_north = frame.to_enu(point_true.latitude, point_true.longitude)
        log_p = -0.5 * ((east[None, None, :] - at_east) ** 2 + (north[None, :, None] - at_north) ** 2) / 0.4**2
        log_p = log_p - 0.5 * ((yaw_enu_rad - yaw_true) / 0.02)[:, None, None] ** 2
        mount = BodyMount.of(image.T_base_camera, optical=image.camera is not None)
        answers = []
        for offset_m in height_offsets_m if self.sees_height else [0.0]:
            ratio = math.log((mount.z_m + offset_m) / (0.98 * self.true.z_m)) if self.sees_height else 0.0
            tilt = [getattr(mount, a) - getattr(self.true, a) for a in ANGLES] if self.sees_tilt else [0.0, 0.0]
            z = np.array([ratio, *tilt]) / SCALES - self.spread * [self.sees_height, self.sees_tilt, self.sees_tilt]
            z = z - self.spoilt
            answers.append(HeatMap(log_p - 0.5 * float(z @ z), point, CELL_M, yaw_enu_rad))
        return answers


def drive(calibrator, source, stated, frames, *, optical=False, yaw_error_rad=0.0, moved_m=METRES_PER_FRAME,
          status=Status.OK, apart_m=0.0, sigma_m=0.3, turn_rad=0.0, spoil=lambda index: 0.0):  # fmt: skip
    """Drive on at yaw 0.7; images say the yaw `yaw_error_rad` more than true for the mount as it is stated."""
    frame, at, rng = LocalFrame(START), np.zeros(2), np.random.default_rng(8)
    for index in range(frames):
        yaw = 0.7 + turn_rad * index
        at = at + moved_m * np.array([math.cos(yaw), math.sin(yaw)])
        T = calibrator.corrected(stated)
        turned = BodyMount.of(T, optical=optical).yaw_rad - BodyMount.of(stated, optical=optical).yaw_rad
        point, seen_yaw = frame.point(*at), yaw + yaw_error_rad - turned
        source.frame(point, seen_yaw)
        source.spoilt = spoil(index)
        image = GroundImage.pinhole(RGB, CAMERA, T) if optical else GroundImage.panorama(RGB, T_base_camera=T)
        found = frame.point(*(at + rng.normal(0, 0.2, 2) + [apart_m, 0]))
        P = np.diag([sigma_m**2, sigma_m**2, 0.02**2])
        heat = HeatMap(np.ones((1, 1, 1)), point, 1.0, np.zeros(1))
        estimate = Estimate(
            0, found.latitude, found.longitude, seen_yaw + rng.normal(0, 0.01), P, status, (), heat, TILE
        )
        calibrator.observe(image, estimate, GeoPose(point.latitude, point.longitude, seen_yaw, P), moved_m)
    return calibrator


def wrong_mount(height=1.2, pitch_deg=2.0, optical=False):
    pitch = TRUE.pitch_rad + math.radians(pitch_deg)
    return BodyMount(TRUE.x_m, TRUE.y_m, TRUE.z_m * height, pitch_rad=pitch).matrix(optical=optical)


@pytest.mark.parametrize("optical", [False, True])
@pytest.mark.parametrize(("height", "pitch_deg"), [(1.2, 2.0), (0.8, -2.0)])
def test_a_height_20_percent_wrong_and_a_pitch_2_degrees_wrong_are_found_in_150_frames(height, pitch_deg, optical):
    source, stated = Formula(), wrong_mount(height, pitch_deg, optical)
    found = drive(MountCalibrator(source, stated, optical=optical), source, stated, 150, optical=optical).estimate()
    assert found.height_m == pytest.approx(TRUE.z_m, rel=0.03)
    assert math.degrees(found.pitch_rad) == pytest.approx(1.0, abs=0.3)
    assert math.degrees(found.roll_rad) == pytest.approx(0.0, abs=0.3)
    assert abs(found.height_m - TRUE.z_m) < 3 * found.sigma_height_m < 0.3


def test_the_corrected_mount_is_the_true_one_and_keeps_the_lever_arm():
    source, stated = Formula(), wrong_mount()
    calibrator = drive(MountCalibrator(source, stated, optical=False), source, stated, 150)
    mount = BodyMount.of(calibrator.corrected(stated), optical=False)
    assert (mount.x_m, mount.y_m) == (TRUE.x_m, TRUE.y_m)
    assert mount.z_m == pytest.approx(TRUE.z_m, rel=0.03)
    assert mount.pitch_rad == pytest.approx(TRUE.pitch_rad, abs=math.radians(0.3))


def test_nothing_is_corrected_before_it_is_known():
    source, stated = Formula(), wrong_mount()
    calibrator = MountCalibrator(source, stated, optical=False)
    np.testing.assert_array_equal(drive(calibrator, source, stated, 2).corrected(stated), stated)
    assert calibrator.findings() == []
    assert set(calibrator.estimate().texts().values()) == {"not known yet"}
    assert calibrator.estimate().height_m == pytest.approx(2.4) and math.isinf(calibrator.estimate().sigma_height_m)


def test_a_wrong_mount_is_a_sentence_with_its_remedy():
    source, stated = Formula(noise=0.0), wrong_mount()
    findings = drive(MountCalibrator(source, stated, optical=False), source, stated, 150).findings()
    assert len(findings) == 2
    assert findings[0].startswith("camera height 2.40 m does not fit what the images show: 2.0")
    assert "; set mount_z_m to 2.0" in findings[0] and " frames" in findings[0]
    assert findings[1].startswith("camera pitch 3.0 deg") and "attitude sensor's bias" in findings[1]


def test_a_right_mount_is_no_finding():
    source, stated = Formula(), TRUE.matrix(optical=False)
    calibrator = drive(MountCalibrator(source, stated, optical=False), source, stated, 150)
    assert calibrator.findings() == []


def test_the_sigmas_are_those_of_the_errors():
    errors = []
    for seed in range(12):
        source, stated = Formula(seed=seed), wrong_mount(1.1, 1.0)
        found = drive(MountCalibrator(source, stated, optical=False), source, stated, 120).estimate()
        errors.append(math.log(found.height_m / TRUE.z_m) / (found.sigma_height_m / found.height_m))
        errors.append((found.pitch_rad - TRUE.pitch_rad) / found.sigma_pitch_rad)
    assert 0.3 < np.sqrt(np.mean(np.square(errors))) < 1.5


def test_standing_still_teaches_nothing():
    source, stated = Formula(), wrong_mount()
    calibrator = drive(MountCalibrator(source, stated, optical=False), source, stated, 60, moved_m=0.0)
    assert source.calls == 0 and calibrator.estimate().frames == 0


def test_an_uncertain_track_teaches_nothing():
    source, stated = Formula(), wrong_mount()
    drive(MountCalibrator(source, stated, optical=False), source, stated, 60, sigma_m=2.5)
    assert source.calls == 0


@pytest.mark.parametrize("options", [{"status": Status.AMBIGUOUS}, {"apart_m": 6.0}])
def test_once_settled_an_image_that_disagrees_with_the_track_teaches_nothing(options):
    source, stated = Formula(), wrong_mount()
    calibrator = drive(MountCalibrator(source, stated, optical=False), source, stated, 200)
    known = calibrator.estimate()
    drive(calibrator, source, stated, 60, **options)
    assert calibrator.estimate() == known


def test_frames_are_compared_three_images_each_and_less_often_once_settled():
    source, stated = Formula(noise=0.3), wrong_mount()
    calibrator = drive(MountCalibrator(source, stated, optical=False), source, stated, 30)
    assert source.calls == 3 * calibrator.estimate().frames == 30
    drive(calibrator, source, stated, 150)
    before = source.calls
    drive(calibrator, source, stated, 120)
    assert source.calls - before == 30


def test_a_network_that_does_not_see_the_height_says_so():
    source, stated = Formula(sees_height=False), wrong_mount()
    calibrator = drive(MountCalibrator(source, stated, optical=False), source, stated, 150)
    found = calibrator.estimate()
    assert found.blind == ("height",) and math.isinf(found.sigma_height_m)
    assert found.texts()["mount_z_m"] == "not observable"
    assert math.degrees(found.pitch_rad) == pytest.approx(1.0, abs=0.3)
    assert calibrator.corrected(stated)[2, 3] == stated[2, 3]
    assert not any("height" in sentence for sentence in calibrator.findings())


def test_a_network_that_sees_neither_height_nor_tilt_leaves_the_mount_alone():
    source, stated = Formula(sees_height=False, sees_tilt=False), wrong_mount()
    calibrator = drive(MountCalibrator(source, stated, optical=False), source, stated, 60)
    assert calibrator.estimate().blind == ("height", "pitch", "roll")
    assert BodyMount.of(calibrator.corrected(stated), optical=False).pitch_rad == pytest.approx(math.radians(3.0))


def test_one_frame_in_fifteen_that_lies_grossly_does_not_matter():
    source, stated = Formula(), wrong_mount()
    calibrator = MountCalibrator(source, stated, MountConfig(every_frames=1, every_frames_settled=1), optical=False)
    found = drive(calibrator, source, stated, 150, spoil=lambda index: 12.0 * (index % 15 == 0)).estimate()
    assert found.height_m == pytest.approx(TRUE.z_m, rel=0.03)
    assert math.degrees(found.pitch_rad) == pytest.approx(1.0, abs=0.3)


def test_a_frame_without_evidence_is_passed_over():
    source, stated = Formula(), wrong_mount()
    calibrator = drive(MountCalibrator(source, stated, optical=False), source, stated, 30, spoil=lambda _: math.inf)
    assert calibrator.estimate().frames == 0


def test_the_mount_in_use_is_steady_and_is_given_up_only_with_hysteresis():
    source, stated = Formula(), wrong_mount()
    calibrator = MountCalibrator(source, stated, optical=False)
    used = {calibrator.corrected(stated).tobytes() for _ in range(400) if drive(calibrator, source, stated, 1) is None}
    used |= {drive(calibrator, source, stated, 1).corrected(stated).tobytes() for _ in range(200)}
    assert len(used) < 25


@pytest.mark.parametrize("error_deg", [2.0, -1.5])
def test_the_yaw_is_what_images_say_beyond_the_course(error_deg):
    source, stated = Formula(), TRUE.matrix(optical=False)
    calibrator = MountCalibrator(source, stated, optical=False)
    found = drive(calibrator, source, stated, 150, yaw_error_rad=math.radians(error_deg)).estimate()
    assert math.degrees(found.yaw_rad) == pytest.approx(error_deg, abs=0.5)
    assert found.sigma_yaw_rad < math.radians(0.6)
    assert BodyMount.of(calibrator.corrected(stated), optical=False).yaw_rad == pytest.approx(found.yaw_rad, abs=0.005)


def test_driving_in_reverse_turns_no_camera_round():
    source, stated = Formula(), TRUE.matrix(optical=False)
    calibrator = MountCalibrator(source, stated, optical=False)
    found = drive(calibrator, source, stated, 100, yaw_error_rad=math.pi + math.radians(1.0)).estimate()
    assert math.degrees(found.yaw_rad) == pytest.approx(1.0, abs=0.5)


def test_bends_say_nothing_about_the_yaw():
    source, stated = Formula(), TRUE.matrix(optical=False)
    calibrator = MountCalibrator(source, stated, optical=False)
    found = drive(calibrator, source, stated, 100, yaw_error_rad=0.05, turn_rad=math.radians(5.0)).estimate()
    assert math.isinf(found.sigma_yaw_rad)


def test_the_file_holds_the_nodes_parameters(tmp_path):
    parameters = pytest.importorskip("geodistill_ros.parameters")
    source, stated = Formula(), wrong_mount()
    calibrator = drive(MountCalibrator(source, stated, optical=False), source, stated, 150, yaw_error_rad=0.02)
    path = mount_file(tmp_path / "mount.yaml", calibrator.estimate())
    values = yaml.safe_load(path.read_text())["/**"]["ros__parameters"]
    settings = parameters.NodeParameters(**values)
    assert settings.mount_z_m == pytest.approx(calibrator.estimate().height_m, abs=1e-3)
    assert settings.mount_pitch_deg == pytest.approx(math.degrees(calibrator.estimate().pitch_rad), abs=0.01)
    assert set(values) == {"mount_z_m", "mount_pitch_deg", "mount_roll_deg", "mount_yaw_deg"}
    assert "# +- 0.0" in path.read_text()


def test_the_file_holds_no_number_that_is_not_known(tmp_path):
    source, stated = Formula(sees_height=False), wrong_mount()
    calibrator = drive(MountCalibrator(source, stated, optical=False), source, stated, 150)
    text = mount_file(tmp_path / "mount.yaml", calibrator.estimate()).read_text()
    assert "# mount_z_m: not observable\n" in text
    assert "mount_z_m" not in yaml.safe_load(text)["/**"]["ros__parameters"]


def test_there_is_no_file_of_nothing(tmp_path):
    calibrator = MountCalibrator(Formula(), wrong_mount(), optical=False)
    with pytest.raises(ConfigError, match="nothing is known"):
        mount_file(tmp_path / "mount.yaml", calibrator.estimate())
    source = Formula()
    drive(calibrator, source, wrong_mount(), 0)
    calibrator = drive(MountCalibrator(source, wrong_mount(), optical=False), source, wrong_mount(), 60)
    with pytest.raises(ConfigError, match="cannot write"):
        mount_file(tmp_path / "nowhere" / "mount.yaml", calibrator.estimate())


def test_a_step_that_is_settled_more_often_than_it_begins_is_refused():
    with pytest.raises(ConfigError, match="every_frames"):
        MountConfig(every_frames=5, every_frames_settled=2)
