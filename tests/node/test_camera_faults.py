# SPDX-License-Identifier: Apache-2.0
"""N06 to N09, N11, N12: what cameras and their drivers do wrong, and what the diagnostics say of it."""

import math
import struct
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from fault_world import ManualClock, survives
from ros_world import camera_info, compressed_image, noise, raw_image
from sensor_msgs.msg import CameraInfo

WARN, ERROR = 1, 2
MEGABYTE = 1 << 20
LARGE, SMALL = (1920, 1080), (640, 360)


@pytest.fixture(scope="module")
def raw(module_worlds):
    world = module_worlds(image_transport="raw")
    world.start()
    return world


@pytest.fixture(scope="module")
def compressed(module_worlds):
    world = module_worlds()
    world.start()
    return world


def answered(world, message):
    """The message gets a pose."""
    poses = len(world.poses)
    world.send(message)
    world.wait(lambda: len(world.poses) > poses, "a pose")


@pytest.mark.parametrize("encoding", ["bayer_xyz", ""])
def test_n06_unsupported_encoding_is_an_error_that_names_those_supported_once(raw, encoding, capfd):
    raw.prepare()
    before, poses = raw.count("dropped.encoding"), len(raw.poses)
    for i in range(3):
        raw.send(raw_image(raw.now_ns(), encoding=encoding))
        raw.wait_count("dropped.encoding", before + 1 + i)
    assert len(raw.poses) == poses
    healthy, status = raw.status()
    assert not healthy and status["level"] == ERROR
    assert repr(encoding) in status["message"] and "rgb8, bgr8" in status["message"]
    assert status["values"]["image.encoding"] == encoding
    assert capfd.readouterr().err.count(f"image encoding {encoding!r}") == 1
    raw.good_frame_gets_a_pose("raw")
    healthy, status = raw.status()
    assert healthy and status["values"]["image.encoding"] == "rgb8"


@pytest.mark.parametrize(
    ("counter", "fields"),
    [
        ("dropped.truncated", {"data": bytes(100)}),
        ("dropped.truncated", {"data": b""}),
        ("dropped.step", {"step": 10}),
        ("dropped.step", {"data": bytes(128 * 64 * 3 + 1)}),
    ],
)
def test_n07_data_that_are_not_step_times_height_cost_one_frame(raw, counter, fields):
    survives(raw, counter, lambda: raw.send(raw_image(raw.now_ns(), **fields)), "raw")


class PeakMemory:
    """How far this process's resident memory rises above what it was."""

    def __enter__(self):
        with open("/proc/self/clear_refs", "w") as reset:
            reset.write("5")
        self.before = self._field("VmRSS")
        return self

    def __exit__(self, *_):
        self.growth = self._field("VmHWM") - self.before

    @staticmethod
    def _field(name):
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(name)) << 10


def png_that_claims(width, height):
    """A PNG of a few bytes whose header asks for as many pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(64)))]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in [*chunks, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 2**31, "height": 2**31},
        {"width": 2**32 - 1, "height": 1, "step": 2**32 - 1},
        {"width": 30_000, "height": 30_000, "step": 90_000},
        {"width": 0, "height": 0, "step": 0, "data": b""},
    ],
)
def test_n08_absurd_size_of_a_raw_image_is_refused_before_anything_is_allocated(raw, fields):
    raw.good_frame_gets_a_pose("raw")
    with PeakMemory() as memory:
        survives(raw, "dropped.size", lambda: raw.send(raw_image(raw.now_ns(), **fields)), "raw")
    assert memory.growth < 20 * MEGABYTE


@pytest.mark.parametrize("size", [(30_000, 30_000), (2**31 - 1, 64), (4, 4)])
def test_n08_absurd_size_of_a_compressed_image_is_refused_before_anything_is_allocated(compressed, size):
    compressed.good_frame_gets_a_pose()
    with PeakMemory() as memory:
        survives(
            compressed,
            "dropped.size",
            lambda: compressed.send(compressed_image(compressed.now_ns(), data=png_that_claims(*size))),
        )
    assert memory.growth < 20 * MEGABYTE


@pytest.mark.parametrize("brightness", [0, 255, 90])
def test_n09_picture_that_shows_nothing_gets_no_pose_and_has_no_entropy(compressed, brightness):
    entropies, before = [], compressed.count("dropped.blank")

    def send():
        compressed.send(compressed_image(compressed.now_ns(), np.full((64, 128, 3), brightness, np.uint8)))
        compressed.wait_count("dropped.blank", before + 1)
        entropies.append(float(compressed.values()["image.entropy"]))

    survives(compressed, "dropped.blank", send)
    assert entropies[0] < 0.1
    assert float(compressed.status()[1]["values"]["image.entropy"]) > 5.0


def test_n09_camera_that_repeats_its_picture_is_a_warning_after_a_second_until_it_moves(worlds):
    world = worlds(image_transport="raw", use_sim_time=True)
    world.start()
    clock = ManualClock(world)
    clock.set(100.0)
    world.good_frame_gets_a_pose("raw")

    def frame(now_s, rgb):
        clock.set(now_s)
        world.prepare()
        answered(world, raw_image(world.now_ns(), rgb))
        return world.status()[1]

    for i in range(30):
        status = frame(101.0 + i / 15, noise(1))
        assert ("same picture" in status["message"]) == (i > 15), (i, status)
        assert float(status["values"]["image.frozen_s"]) == pytest.approx(i / 15, abs=1e-3)
    assert status["level"] == WARN
    status = frame(103.0, noise(2))
    assert "same picture" not in status["message"] and status["values"]["image.frozen_s"] == "0.000"


def pinhole_image(world, size):
    return compressed_image(world.now_ns(), noise(world.now_ns() % 1000, *size))


def test_n11_camera_info_that_is_missing_late_or_of_another_size_costs_frames_and_both_sizes_are_named(worlds):
    world = worlds(camera_kind="pinhole")
    world.start()
    infos = world.publisher(CameraInfo, "camera_info")

    def inform(size):
        publish = lambda: infos.publish(camera_info(world.now_ns(), *size))  # noqa: E731
        world.insist(publish, lambda: world.values().get("camera_info.size") == "{} x {}".format(*size), "its size")

    world.prepare()
    world.send(pinhole_image(world, LARGE))
    world.wait_count("dropped.no_camera_info")
    assert "camera_info" in world.values()["image.newest_drop"]
    inform(LARGE)
    world.prepare()
    answered(world, pinhole_image(world, LARGE))
    assert world.localizer.seen[-1][0].camera.width == LARGE[0]
    inform(SMALL)
    world.prepare()
    world.send(pinhole_image(world, LARGE))
    world.wait_count("dropped.camera_size")
    assert "1920 x 1080" in world.values()["image.newest_drop"] and "640 x 360" in world.values()["image.newest_drop"]
    world.prepare()
    answered(world, pinhole_image(world, SMALL))
    image = world.localizer.seen[-1][0]
    assert (image.camera.width, image.camera.height) == SMALL == image.rgb.shape[1::-1]


def fisheye(stamp_ns):
    info = camera_info(stamp_ns)
    info.distortion_model = "equidistant"
    return info


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda stamp_ns: camera_info(stamp_ns, focal_px=0.0), "focal"),
        (lambda stamp_ns: camera_info(stamp_ns, focal_px=math.nan), "focal"),
        (lambda stamp_ns: camera_info(stamp_ns, width=0, height=0), "0"),
        (fisheye, "equidistant"),
    ],
)
def test_n12_camera_info_that_cannot_be_used_is_an_error_and_gives_no_pose(worlds, make, word):
    world = worlds(camera_kind="pinhole")
    world.start()
    infos = world.publisher(CameraInfo, "camera_info")
    world.insist(
        lambda: infos.publish(make(world.now_ns())), lambda: world.known("camera_info.rejected") > 0, "the refusal"
    )
    world.prepare()
    world.send(pinhole_image(world, (128, 64)))
    world.wait_count("dropped.camera_info")
    assert world.poses == []
    _, status = world.status()
    assert status["level"] == ERROR and "CameraInfo cannot be used" in status["message"]
    assert word in status["values"]["camera_info.problem"]
    world.insist(
        lambda: infos.publish(camera_info(world.now_ns())), lambda: "camera_info.size" in world.values(), "its size"
    )
    world.prepare()
    answered(world, pinhole_image(world, (128, 64)))
    assert "camera_info.problem" not in world.status()[1]["values"]


def test_n09_entropy_is_that_of_the_brightness():
    from geodistill_core.bags.images import entropy_bits

    stripes = np.repeat(np.array([10, 20, 30, 40], np.uint8), 16)[None, :, None] * np.ones((64, 1, 3), np.uint8)
    assert entropy_bits(stripes) == pytest.approx(2.0)
    assert entropy_bits(cv2.merge([np.full((64, 64), 7, np.uint8)] * 3)) == 0.0
