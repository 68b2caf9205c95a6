# SPDX-License-Identifier: Apache-2.0
"""Ground-plane projection against OpenCV, SciPy and hand-computed rays."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from geodistill_core.geometry.ground_plane import (
    attitude_matrix,
    overhead_view,
    pixels_of_directions,
    pixels_of_ground,
)
from geodistill_core.types import CameraModel, GroundImage, forward_optical_mount

ANGLE = st.floats(-0.5, 0.5)
K = np.array([[600.0, 0, 640.5], [0, 590.0, 355.25], [0, 0, 1]])
PLUMB_BOB = (-0.12, 0.03, 0.001, -0.0015, 0.002)
RATIONAL = (0.3, -0.05, 0.0005, 0.0007, 0.002, 0.35, -0.03, 0.004)


def panorama(**kwargs):
    return GroundImage.panorama(np.zeros((512, 1024, 3), np.uint8), 0, **kwargs)


def pinhole(distortion=(), mount=None, **kwargs):
    mount = forward_optical_mount(1.6, 0.1) if mount is None else mount
    return GroundImage.pinhole(
        np.zeros((720, 1280, 3), np.uint8), CameraModel(1280, 720, K, distortion), mount, **kwargs
    )


@given(ANGLE, ANGLE)
def test_attitude_is_intrinsic_pitch_then_roll(roll, pitch):
    expected = Rotation.from_euler("YX", [pitch, roll]).as_matrix()
    np.testing.assert_allclose(attitude_matrix(roll, pitch), expected, atol=1e-12)


def test_positive_pitch_lowers_the_nose_and_positive_roll_lowers_the_right_side():
    assert (attitude_matrix(0, 0.1) @ [1, 0, 0])[2] < 0
    assert (attitude_matrix(0.1, 0) @ [0, -1, 0])[2] < 0


@pytest.mark.parametrize(
    ("forward", "left", "column"), [(5, 0, 512), (0, -5, 768), (0, 5, 256), (5, -5, 640), (5, 5, 384)]
)
def test_panorama_azimuth_grows_clockwise_to_the_right_from_the_heading(forward, left, column):
    got, row, visible = pixels_of_ground(panorama(height_m=2.0), np.array(float(forward)), np.array(float(left)))
    assert visible
    assert got + 0.5 == pytest.approx(column)
    assert row + 0.5 == pytest.approx(512 * (0.5 + math.atan2(2.0, math.hypot(forward, left)) / math.pi))


@pytest.mark.parametrize("distortion", [(), PLUMB_BOB[:4], PLUMB_BOB, RATIONAL])
@given(roll=ANGLE, pitch=ANGLE, height=st.floats(0.5, 4), x=st.floats(3, 30), y=st.floats(-10, 10))
def test_pinhole_projection_agrees_with_opencv(distortion, roll, pitch, height, x, y):
    mount = forward_optical_mount(height, 0.15)
    mount[:2, 3] = 1.2, -0.3
    image = pinhole(distortion, mount, roll_rad=roll, pitch_rad=pitch)
    T_level_camera = np.eye(4)
    T_level_camera[:3, :3] = Rotation.from_euler("YX", [pitch, roll]).as_matrix()
    T_camera_level = np.linalg.inv(T_level_camera @ mount)
    in_camera = T_camera_level @ [x, y, 0, 1]
    column, row, visible = pixels_of_ground(image, np.array(x), np.array(y))
    if visible:
        rvec, tvec = cv2.Rodrigues(T_camera_level[:3, :3])[0], T_camera_level[:3, 3]
        expected, _ = cv2.projectPoints(np.array([[x, y, 0.0]]), rvec, tvec, K, np.array(distortion or (0.0,) * 4))
        np.testing.assert_allclose([column, row], expected.ravel(), atol=1e-6)
    else:
        assert (
            in_camera[2] <= 1e-6
            or not (0 <= column <= 1279 and 0 <= row <= 719)
            or math.hypot(*in_camera[:2]) > in_camera[2]
        )


def test_points_behind_a_pinhole_camera_are_invisible():
    assert not pixels_of_ground(pinhole(), np.array(-8.0), np.array(0.0))[2]


def test_strong_distortion_does_not_fold_far_directions_back_into_the_picture():
    image = pinhole((-0.4, 0.0, 0.0, 0.0))
    far = np.array([math.sin(1.2), 0.0, math.cos(1.2)])
    assert not pixels_of_directions(image, far)[2]


@given(st.floats(-math.pi, math.pi), st.floats(1.2, 3.0), st.floats(-0.1, 0.1), st.floats(-0.1, 0.1))
def test_a_painted_ground_spot_returns_to_its_place_in_the_overhead_view(yaw, height, roll, pitch):
    forward, left = 5.0, -3.0
    rgb = np.zeros((1024, 2048, 3), np.uint8)
    image = GroundImage.panorama(rgb, 0, height_m=height, roll_rad=roll, pitch_rad=pitch)
    column, row, _ = pixels_of_ground(image, np.array(forward), np.array(left))
    rr, cc = np.mgrid[:1024, :2048]
    rgb[((cc - column + 1024) % 2048 - 1024) ** 2 + (rr - row) ** 2 <= 36] = 255
    view, visible = overhead_view(image, 10.0, 0.1, yaw)
    assert visible.all()
    rows, columns = np.nonzero(view[..., 0] > 127)
    east, north = (columns.mean() + 0.5 - 100) * 0.1, (100 - rows.mean() - 0.5) * 0.1
    expected = Rotation.from_euler("z", yaw).apply([forward, left, 0])
    assert math.hypot(east - expected[0], north - expected[1]) < 0.15
