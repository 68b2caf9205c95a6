# SPDX-License-Identifier: Apache-2.0
"""Messages and the small machines of the node, against independent oracles and without spinning."""

import math
import re
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from pyproj import Geod

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from geodistill_ros import mailbox
from geodistill_ros.conditions import ERROR, OK, WARN, Health, judge
from geodistill_ros.conversions import rgb_of
from geodistill_ros.counters import Counters
from geodistill_ros.mailbox import Mailbox
from geodistill_ros.map_ahead import map_trouble
from geodistill_ros.messages import (
    CovarianceError,
    convergence_rad,
    covariance_36,
    heatmap_message,
    planar_pose,
)
from geodistill_ros.mount import MountUnavailableError, ParameterMount, TfMount, open_mount
from geodistill_ros.parameters import NodeParameters
from geodistill_ros.stamps import StampGate
from geodistill_ros.transport import FAST_DDS_2, FAST_DDS_3, PROFILE, with_image_transport
from ros_world import FakeLocalizer, picture, raw_image

from geodistill_core.bags.images import ImageError
from geodistill_core.errors import ConfigError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps.fetch import Health as MapHealth
from geodistill_core.maps.live import MapCondition
from geodistill_core.maps.prefetch import Progress
from geodistill_core.types import GeoPoint, GroundImage, Prior, forward_optical_mount

SETTINGS = NodeParameters()


def fake_estimate(latitude, longitude, yaw=0.3):
    image = GroundImage.panorama(picture(), 1)
    return FakeLocalizer().locate(image, Prior(latitude, longitude, 5.0, yaw, 0.1))


@pytest.mark.parametrize("latitude", [-60.0, -0.0, 35.0, 70.0])
@pytest.mark.parametrize("longitude", [-179.99, 11.5])
def test_yaw_in_the_map_frame_points_where_the_geodesic_points(latitude, longitude):
    datum = LocalFrame(GeoPoint(latitude, longitude))
    away_longitude, away_latitude, _ = Geod(ellps="WGS84").fwd(longitude, latitude, 70.0, 20_000.0)
    estimate = fake_estimate(away_latitude, away_longitude, yaw=0.3)
    # Ten metres ahead along the vehicle's own heading, placed in the datum's frame by another library.
    bearing_deg = 90.0 - math.degrees(0.3)
    ahead_lon, ahead_lat, _ = Geod(ellps="WGS84").fwd(away_longitude, away_latitude, bearing_deg, 10.0)
    east_0, north_0 = datum.to_enu(away_latitude, away_longitude)
    east_1, north_1 = datum.to_enu(ahead_lat, ahead_lon)
    pose = planar_pose(estimate, datum)
    expected = math.atan2(north_1 - north_0, east_1 - east_0)
    assert math.remainder(pose.yaw_rad - expected, 2 * math.pi) == pytest.approx(0.0, abs=5e-6)
    assert np.linalg.eigvalsh(pose.covariance) == pytest.approx(np.linalg.eigvalsh(estimate.covariance))


def test_convergence_is_longitude_difference_times_sine_of_latitude():
    datum = LocalFrame(GeoPoint(48.0, 11.0))
    expected = math.radians(0.2) * math.sin(math.radians(48.0))
    assert abs(convergence_rad(datum, GeoPoint(48.0, 11.2))) == pytest.approx(expected, rel=1e-3)
    assert convergence_rad(datum, GeoPoint(48.0, 11.2)) > 0  # east of the datum, north leans to the west


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e4])
def test_covariance_has_unmeasured_axes_uncorrelated_and_is_positive_definite(scale):
    rng = np.random.default_rng(3)
    A = rng.normal(size=(3, 3)) * scale
    P = np.array(covariance_36(A @ A.T + np.eye(3) * scale**2, SETTINGS)).reshape(6, 6)
    assert np.linalg.eigvalsh(P).min() > 0
    assert (P == P.T).all()
    unmeasured = P[2:5].copy()
    assert np.diag(unmeasured[:, 2:5]) == pytest.approx([1e4, math.radians(30) ** 2, math.radians(30) ** 2])
    unmeasured[:, 2:5] -= np.diag(np.diag(unmeasured[:, 2:5]))
    assert not unmeasured.any()


@pytest.mark.parametrize(
    "bad", [np.full((3, 3), np.nan), np.diag([1.0, np.inf, 1.0]), -np.eye(3), np.ones((3, 3)) * 2 - np.eye(3)]
)
def test_covariance_that_is_none_raises(bad):
    with pytest.raises(CovarianceError):
        covariance_36(bad, SETTINGS)


def test_heatmap_peak_lies_where_its_cell_is_in_the_world():
    estimate = fake_estimate(48.0, 11.0)
    datum = LocalFrame(GeoPoint(47.99, 10.99))
    grid = heatmap_message(estimate, datum, SETTINGS)
    data = np.array(grid.data).reshape(grid.info.height, grid.info.width)
    row, column = np.unravel_index(data.argmax(), data.shape)
    yaw = 2 * math.atan2(grid.info.origin.orientation.z, grid.info.origin.orientation.w)
    x, y = (column + 0.5) * grid.info.resolution, (row + 0.5) * grid.info.resolution
    at = (
        grid.info.origin.position.x + math.cos(yaw) * x - math.sin(yaw) * y,
        grid.info.origin.position.y + math.sin(yaw) * x + math.cos(yaw) * y,
    )
    # Cell (2, 5) of an 8 x 8 grid of 0.5 m: 0.75 m east and 0.75 m north of the heat map's centre.
    latitude, longitude = LocalFrame(estimate.heatmap.center).to_geodetic(0.75, 0.75)
    assert at == pytest.approx(datum.to_enu(latitude, longitude), abs=1e-3)


def test_parameter_mount_agrees_with_the_forward_optical_mount():
    settings = NodeParameters(camera_kind="pinhole", mount_z_m=1.5, mount_pitch_deg=10.0)
    expected = forward_optical_mount(1.5, math.radians(10.0))
    assert ParameterMount(settings).lookup("any") == pytest.approx(expected, abs=1e-12)


def test_camera_that_looks_back_sees_backwards():
    settings = NodeParameters(camera_kind="pinhole", mount_yaw_deg=180.0, mount_x_m=-1.0)
    T = ParameterMount(settings).lookup("any")
    assert pytest.approx([-6.0, 0.0, 2.0, 1.0]) == T @ [0.0, 0.0, 5.0, 1.0]


def test_tf_mount_without_tf2_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    with pytest.raises(ConfigError, match="mount_source"):
        open_mount(NodeParameters(mount_source="tf"), None, Counters())


def test_tf_mount_follows_the_transform_and_never_falls_back_to_identity(monkeypatch):
    class TransformError(Exception):
        pass

    class Buffer:
        def lookup_transform(self, target, source, time):
            if source != "camera":
                raise TransformError("unknown frame")
            half = math.sqrt(0.5)  # a quarter turn to the left
            rotation = SimpleNamespace(x=0.0, y=0.0, z=half, w=half)
            return SimpleNamespace(
                transform=SimpleNamespace(rotation=rotation, translation=SimpleNamespace(x=1.0, y=0.0, z=2.0))
            )

    fake = ModuleType("tf2_ros")
    fake.Buffer, fake.TransformException = Buffer, TransformError
    fake.TransformListener = lambda buffer, node: SimpleNamespace(unregister=lambda: None)
    monkeypatch.setitem(sys.modules, "tf2_ros", fake)
    mount = TfMount(None, "base_link", Counters())
    assert mount.lookup("camera") @ [1.0, 0.0, 0.0, 1.0] == pytest.approx([1.0, 1.0, 2.0, 1.0])
    assert mount.antenna("camera") == pytest.approx((1.0, 0.0))
    with pytest.raises(MountUnavailableError, match=r"base_link.*lidar"):
        mount.lookup("lidar")


def test_cv_bridge_converts_what_the_core_does_not_and_is_validated_first(monkeypatch):
    class CvBridge:
        def imgmsg_to_cv2(self, message, desired_encoding):
            assert desired_encoding == "rgb8"
            return picture()

    fake = ModuleType("cv_bridge")
    fake.CvBridge = CvBridge
    message = raw_image(1, encoding="yuv422_yuy2", step=256, data=bytes(256 * 64))
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    with pytest.raises(ImageError, match="yuv422_yuy2"):
        rgb_of(message)
    monkeypatch.setitem(sys.modules, "cv_bridge", fake)
    assert (rgb_of(message) == picture()).all()
    with pytest.raises(ImageError, match="step"):
        rgb_of(raw_image(1, encoding="yuv422_yuy2", step=256, data=bytes(256)))


def test_mailbox_keeps_the_newest_and_wakes_on_close():
    box = Mailbox()
    assert [box.put(i) for i in range(3)] == [False, True, True]
    assert box.take() == 2
    box.put(5)
    assert box.clear() and not box.clear()
    taken = []
    thread = threading.Thread(target=lambda: taken.append(box.take()))
    thread.start()
    box.close()
    thread.join(5)
    assert taken == [None]


def test_mailbox_hands_over_at_once_to_a_worker_that_waits_and_waits_for_no_other(monkeypatch):
    monkeypatch.setattr(mailbox, "_HANDOVER_S", 5.0)
    box, taken = Mailbox(), []
    began_s = time.monotonic()
    box.put("nobody waits")
    assert time.monotonic() - began_s < 2.0 and box.take() == "nobody waits"
    worker = threading.Thread(target=lambda: taken.append(box.take()))
    worker.start()
    while not box._awaited:
        time.sleep(0.001)
    box.put("at once")
    assert not box.occupied()
    worker.join(5)
    assert taken == ["at once"]


@pytest.mark.parametrize(
    ("stamp_s", "now_s", "reason"),
    [
        (0.0, 10.0, "stamp_zero"),
        (10.0, 0.0, "no_clock"),
        (8.9, 10.0, "stale"),
        (9.1, 10.0, None),
        (10.04, 10.0, None),
        (10.06, 10.0, "future"),
    ],
)
def test_stamp_gate_judges_by_age(stamp_s, now_s, reason):
    assert StampGate().check(int(stamp_s * 1e9), int(now_s * 1e9), 1.0, 0.05) == reason


def test_stamp_gate_wants_increasing_stamps_but_a_future_one_leaves_no_trace():
    gate = StampGate()
    results = [gate.check(int(s * 1e9), 10**10, 1.0, 0.05) for s in (9.5, 9.5, 9.4, 12.0, 9.6)]
    assert results == [None, "stamp_backwards", "stamp_backwards", "future", None]


def test_clock_that_was_set_back_is_seen_by_the_stamps_before():
    gate = StampGate()
    assert gate.check(10**10, 10**10, 1.0, 0.05) is None
    assert not gate.is_ahead_of(10**10, 0.05)
    assert gate.is_ahead_of(5 * 10**9, 0.05)
    gate.reset()
    assert gate.check(5 * 10**9, 5 * 10**9, 1.0, 0.05) is None


ACTIVE = {"state": "active", "active_for_s": 60.0, "image_age_s": 0.1, "fix_age_s": 0.1, "answer_age_s": 0.1}


@pytest.mark.parametrize(
    ("level", "word", "changes"),
    [
        (OK, "localizing", {}),
        (ERROR, "no checkpoint", {"refusal": "configure refused: no checkpoint"}),
        (WARN, "inactive", {"state": "inactive"}),
        (WARN, "no image", {"image_age_s": 1.5}),
        (ERROR, "no image", {"image_age_s": 3.5}),
        (ERROR, "no image", {"image_age_s": None}),
        (
            OK,
            "localizing",
            {"active_for_s": 0.5, "image_age_s": None, "fix_age_s": None, "answer_age_s": None},
        ),
        (WARN, "no GNSS fix", {"fix_age_s": 2.5}),
        (WARN, "last drop: no_map", {"answer_age_s": 4.0, "newest_drop": "no_map: off the map"}),
        (ERROR, "inference runs", {"inference_running_s": 6.0}),
        (ERROR, "5 times", {"failures_in_a_row": 5}),
        (WARN, "map service offline", {"map_trouble": "map service offline", "calibrated": False}),
        (WARN, "last drop: no_map", {"map_trouble": "x", "answer_age_s": 4.0, "newest_drop": "no_map: offline"}),
        (WARN, "calibration", {"calibrated": False}),
        (ERROR, "track is lost", {"track_trouble": "track is lost: images", "track_lost": True}),
        (WARN, "track is degraded", {"track_trouble": "track is degraded: no fix"}),
        (WARN, "SUSPECT: GNSS", {"suspect": "GNSS and image disagree", "track_trouble": "track is degraded"}),
        (ERROR, "places 'odom'", {"other_authority": "another node places 'odom'", "suspect": "x"}),
        (WARN, "switched off", {"debug_trouble": "saving frames is switched off"}),
    ],
)
def test_condition_gives_its_level_and_sentence(level, word, changes):
    judged, sentence = judge(Health(**(ACTIVE | changes)))
    assert (judged, word in sentence) == (level, True), sentence


@pytest.mark.parametrize(
    ("state", "newest", "words"),
    [
        ("online", "full", ""),
        ("online", None, ""),
        ("online", "stale", "stale"),
        ("online", "partial", "incomplete"),
        ("online", "none", "missing"),
        ("degraded", "full", r"degraded \(rate_limited\) for 61 s.*3 of 7 places"),
        ("offline", "none", r"offline \(rate_limited\) for 61 s.*3 of 7 places"),
    ],
)
def test_trouble_with_the_map_is_one_sentence(state, newest, words):
    health = MapHealth(state, None if state == "online" else "rate_limited", 61.0, {})
    sentence = map_trouble(MapCondition(health, newest, {}), Progress(7, 3, 0, 0, 0))
    assert re.search(words, sentence) and bool(sentence) == bool(words)


def test_users_own_dds_profile_is_kept():
    for name in (FAST_DDS_2, FAST_DDS_3):
        assert with_image_transport({name: "mine.xml"}) == {name: "mine.xml"}
    assert str(PROFILE) in with_image_transport({}).values()


def test_documentation_lists_every_reason_to_drop_an_image():
    from geodistill_core.bags.images import ImageReason
    from geodistill_core.localization.readings import GapReason

    repository = Path(__file__).parents[2]
    package = repository / "ros2_ws/src/geodistill_ros"
    page = (repository / "docs/diagnostics.md").read_text()
    table = page[page.index("| `dropped.` |") :].partition("\n\n")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    code = "\n".join(path.read_text() for path in (package / "geodistill_ros").glob("*.py"))
    written = set(re.findall(r'"dropped\.(\w+)"', code)) | set(re.findall(r'FrameError\("(\w+)"', code))
    assert {str(reason) for reason in (*ImageReason, *GapReason)} | written <= listed
    assert all(f'"{reason}"' in code or reason in {str(r) for r in (*ImageReason, *GapReason)} | written
               for reason in listed)  # fmt: skip
