# SPDX-License-Identifier: Apache-2.0
"""`geodistill locate`: one image, one answer, one overlay; clear errors for everything else."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest

from geodistill_core.bags.reader import read_drive
from geodistill_core.cli.picture import read_camera
from geodistill_core.errors import GeodistillError, MapError
from geodistill_core.localization import Localizer
from geodistill_core.types import GroundImage, Prior


@pytest.fixture(scope="module")
def frame(drive):
    return next(iter(read_drive(drive.bag).frames()))


@pytest.fixture
def command(drive, checkpoint, frame, tmp_path):
    """Arguments of a good call."""
    picture = tmp_path / "panorama.png"
    cv2.imwrite(str(picture), frame.image.rgb[..., ::-1])
    prior = frame.frame_prior.prior
    bearing = 90.0 - math.degrees(prior.yaw_enu_rad)
    return {
        "--image": picture,
        "--lat": prior.latitude,
        "--lon": prior.longitude,
        "--map": drive.map,
        "--model": checkpoint,
        "--bearing-deg": bearing,
        "--height-m": frame.image.height_m,
        "--overlay": tmp_path / "out" / "overlay.png",
        "--json": "-",
    }


def flat(options):
    return [part for pair in options.items() for part in pair]


def test_the_answer_is_the_localizers(geodistill, command, checkpoint, drive, frame):
    ran = geodistill("locate", *flat(command))
    assert ran.code == 0, ran.err
    answer = json.loads(ran.out)
    start = frame.frame_prior.prior
    prior = Prior(start.latitude, start.longitude, 8.0, start.yaw_enu_rad, math.radians(10))
    image = GroundImage.panorama(frame.image.rgb, height_m=frame.image.height_m)
    expected = Localizer.load(checkpoint, drive.map).locate(image, prior)
    assert answer["latitude"] == pytest.approx(expected.latitude, abs=1e-8)
    assert answer["longitude"] == pytest.approx(expected.longitude, abs=1e-8)
    assert answer["bearing_deg"] == pytest.approx((90 - math.degrees(expected.yaw_enu_rad)) % 360, abs=1e-6)
    assert answer["sigma_east_m"] == pytest.approx(math.sqrt(expected.covariance[0, 0]), abs=1e-8)
    assert answer["status"] == expected.status.value
    assert len(answer["modes"]) == len(expected.modes)


def test_the_overlay_is_a_picture_where_the_answer_says(geodistill, command):
    answer = json.loads(geodistill("locate", *flat(command)).out)
    picture = cv2.imread(answer["overlay"])
    assert answer["overlay"] == str(command["--overlay"])
    assert picture is not None and min(picture.shape[:2]) >= 256 and picture.std() > 10


def test_the_overlay_lands_in_the_current_folder_by_default(geodistill, command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    del command["--overlay"]
    assert json.loads(geodistill("locate", *flat(command)).out)["overlay"] == "locate-overlay.png"
    assert (tmp_path / "locate-overlay.png").stat().st_size > 1000


def test_the_table_names_latitude_and_longitude(geodistill, command):
    del command["--json"]
    out = geodistill("locate", *flat(command)).out
    assert "latitude" in out and "longitude" in out and "overlay:" in out


@pytest.mark.parametrize(
    ("option", "value", "code", "words"),
    [
        ("--image", "missing.png", 4, "missing.png"),
        ("--image", "{tmp}", 4, "{tmp}"),
        ("--image", "{tmp}/truncated.png", 4, "truncated.png"),
        ("--image", "{tmp}/text.png", 4, "text.png"),
        ("--image", "{tmp}/black.png", 4, "black.png"),
        ("--image", "{tmp}/square.png", 4, "2:1"),
        ("--map", "missing.mbtiles", 4, "missing.mbtiles"),
        ("--map", "{tmp}/text.png", 4, "text.png"),
        ("--model", "colossal", 4, "colossal"),
        ("--lat", "91", 2, "91"),
        ("--lat", "nan", 2, "nan"),
        ("--lon", "1e9", 2, "1000000000"),
        ("--lat", "12", 4, "no imagery"),
        ("--sigma-m", "0", 2, "sigma_m"),
        ("--sigma-m", "-3", 2, "sigma_m"),
        ("--sigma-m", "inf", 2, "sigma_m"),
        ("--sigma-yaw-deg", "0", 2, "sigma_yaw"),
        ("--bearing-deg", "nan", 2, "yaw"),
        ("--height-m", "200", 2, "200"),
        ("--sigma-height-m", "-0.1", 2, "sigma_height_m"),
        ("--sigma-height-m", "2.5", 2, "0..2 m"),
        ("--roll-deg", "90", 2, "roll"),
        ("--prior", "none", 2, "none"),
        ("--camera", "missing.yaml", 4, "missing.yaml"),
        ("--camera", "{tmp}/text.png", 4, "text.png"),
        ("--lat", "north", 2, "--lat"),
    ],
)
def test_nonsense_gives_one_clear_sentence(geodistill, command, tmp_path, option, value, code, words):
    whole = command["--image"].read_bytes()
    (tmp_path / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("this is no picture")
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((64, 128, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "square.png"), np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8))
    command[option] = value.format(tmp=tmp_path)
    ran = geodistill("locate", *flat(command))
    assert ran.code == code, ran.err
    # usage errors come in a box of fixed width, which may break words
    assert words.format(tmp=tmp_path) in ran.err
    assert "Traceback" not in ran.err and ran.out == ""


def test_a_missing_option_is_a_usage_error(geodistill):
    ran = geodistill("locate", "--image", "a.png")
    assert ran.code == 2 and "--lat" in ran.err


CALIBRATION = """
image_width: 320
image_height: 240
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [200.0, 0, 160.0, 0, 210.0, 120.0, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0.001, 0.002, 0.0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
"""


def test_a_calibration_of_ros_gives_the_pinhole_camera(tmp_path):
    (tmp_path / "front.yaml").write_text(CALIBRATION)
    camera = read_camera(tmp_path / "front.yaml")
    assert (camera.width, camera.height) == (320, 240)
    assert camera.K[0].tolist() == [200.0, 0.0, 160.0] and camera.K[1, 1] == 210.0
    assert camera.distortion == (0.1, -0.2, 0.001, 0.002, 0.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("plumb_bob", "equidistant"),
        ("image_width: 320", "image_width: 0"),
        ("data: [200.0, 0, 160.0,", "data: ["),
        ("200.0", ".nan"),
        ("camera_matrix", "kamera_matrix"),
        (": ", ""),
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused(tmp_path, old, new):
    (tmp_path / "bad.yaml").write_text(CALIBRATION.replace(old, new))
    with pytest.raises(GeodistillError):
        read_camera(tmp_path / "bad.yaml")


def test_a_perspective_picture_needs_the_size_of_its_calibration(geodistill, command, tmp_path):
    (tmp_path / "front.yaml").write_text(CALIBRATION)
    ran = geodistill("locate", *flat(command | {"--camera": tmp_path / "front.yaml"}))
    assert ran.code == 4 and "320 x 240" in ran.err
    picture = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "front.png"), picture)
    ran = geodistill(
        "locate", *flat(command | {"--camera": tmp_path / "front.yaml", "--image": tmp_path / "front.png"})
    )
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("options", "height_m", "sigma_m"),
    [
        ({"--height-m": 1.7}, 1.7, 0.0),
        ({"--height-m": 1.7, "--sigma-height-m": 0.2}, 1.7, 0.2),
        ({}, 2.0, 0.3),
        ({"--sigma-height-m": 0.1}, 2.0, 0.1),
    ],
)
@pytest.mark.parametrize("perspective", [False, True])
def test_a_height_is_certain_where_it_is_stated_and_else_a_guess(
    geodistill, command, tmp_path, monkeypatch, options, height_m, sigma_m, perspective
):
    seen = []

    def locate(self, image, prior):
        seen.append(image)
        raise MapError("that will do")

    monkeypatch.setattr(Localizer, "locate", locate)
    del command["--height-m"]
    if perspective:
        (tmp_path / "front.yaml").write_text(CALIBRATION)
        cv2.imwrite(str(tmp_path / "front.png"), np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8))
        command |= {"--camera": tmp_path / "front.yaml", "--image": tmp_path / "front.png"}
    assert geodistill("locate", *flat(command | options)).code == 4
    assert (seen[0].height_m, seen[0].sigma_height_m) == (height_m, sigma_m)
