# SPDX-License-Identifier: Apache-2.0
"""The camera's mounting from the rendered images of a drive, by the shipped network."""

import math

import numpy as np
import pytest

from geodistill_core import GroundImage, Localizer, LocalizerConfig, Prior
from geodistill_core.camera import BodyMount
from geodistill_core.datasets.synthcity import render_overhead
from geodistill_core.datasets.synthcity.bake import RESOLUTION_M
from geodistill_core.datasets.synthcity.drive import simulate_drive
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import GeoPose
from geodistill_core.maps import RasterSource
from geodistill_core.tracking.mount import MountCalibrator, MountConfig
from geodistill_core.types import GeoPoint

FRAMES = 40
"""As many as are compared of 120: the images between are not rendered."""


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("height", "pitch_deg"), [(0.8, 2.0)])
def test_a_drive_with_a_wrong_mount_finds_the_right_one_and_the_place_with_it(height, pitch_deg):
    drive = simulate_drive("terraces", 10_000, "standard", FRAMES, 0.83)
    rgb, valid = render_overhead(
        drive.city, 0.0, 0.0, drive.city.size_m, RESOLUTION_M, drive.map_conditions, drive.level.change
    )
    source = RasterSource(rgb, drive.city.datum, RESOLUTION_M, "", valid=valid)
    localizer = Localizer.load("tiny", source, LocalizerConfig(prior="flat"))
    stated = BodyMount(0, 0, drive.camera_height_m * height, pitch_rad=math.radians(pitch_deg)).matrix(optical=False)
    calibrator = MountCalibrator(localizer, stated, MountConfig(every_frames=1, every_frames_settled=1), optical=False)
    rng, seconds, path = np.random.default_rng(0), drive.frame_seconds, drive.trajectory
    way = np.concatenate([[0.0], np.diff(path.at(seconds, np.cumsum(path.speed_mps) * np.diff(path.seconds).mean()))])
    uncorrected, corrected = [], []
    for taken, moved_m in zip(drive.frames(), way, strict=True):
        truth, frame = taken.truth, LocalFrame(GeoPoint(taken.truth.latitude, taken.truth.longitude))
        near = frame.point(*rng.normal(0, 0.2, 2))
        yaw = truth.yaw_enu_rad + math.radians(rng.normal())
        track = GeoPose(near.latitude, near.longitude, yaw, np.diag([0.04, 0.04, math.radians(1.0) ** 2]))
        prior = Prior(near.latitude, near.longitude, 4.0, yaw, math.radians(6.0))

        def located(T, taken=taken, prior=prior):
            image = GroundImage.panorama(
                taken.rgb, taken.stamp_ns, T_base_camera=T, roll_rad=taken.pose.roll_rad, pitch_rad=taken.pose.pitch_rad
            )
            return image, localizer.locate(image, prior)

        def error_m(estimate, frame=frame):
            return math.hypot(*frame.to_enu(estimate.latitude, estimate.longitude))

        image, estimate = located(calibrator.corrected(stated))
        if taken.index >= FRAMES - 15:
            uncorrected.append(error_m(located(stated)[1]))
            corrected.append(error_m(estimate))
        calibrator.observe(image, estimate, track, moved_m)
    found = calibrator.estimate()
    assert found.height_m == pytest.approx(drive.camera_height_m, rel=0.03)
    assert math.degrees(found.pitch_rad) == pytest.approx(0.0, abs=0.3)
    assert math.degrees(found.roll_rad) == pytest.approx(0.0, abs=0.4)
    assert np.median(corrected) < 0.4 and np.median(uncorrected) > 2 * np.median(corrected)
    assert [sentence.split()[1] for sentence in calibrator.findings()] == ["height", "pitch"]
