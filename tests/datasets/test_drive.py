# SPDX-License-Identifier: Apache-2.0
"""A simulated drive moves as a vehicle moves, on lanes, and says so in all its streams."""

import math

import numpy as np
import pytest

from geodistill_core.datasets.synthcity import LEVELS, SMALL_PANORAMA_RIG, CameraRig, build_city
from geodistill_core.datasets.synthcity.drive import simulate_drive
from geodistill_core.datasets.synthcity.measurements import START_NS
from geodistill_core.datasets.synthcity.trajectory import drive_along
from geodistill_core.errors import ConfigError
from geodistill_core.geometry.geodesy import LocalFrame

TINY_RIG = CameraRig("panorama", 128, 64)
STYLE, SEED = "suburb", 20_001


def drive(level="standard", frames=60, **options):
    return simulate_drive(STYLE, SEED, level, frames, **{"rig": TINY_RIG, **options})


@pytest.fixture(scope="module")
def standard():
    return drive(frames=100)


@pytest.mark.parametrize("style", ["suburb", "old_town"])
@pytest.mark.parametrize("route", [0, 1])
def test_speed_and_accelerations_stay_within_a_drivers_limits(style, route):
    path = simulate_drive(style, SEED, "standard", 80, route=route).trajectory
    assert path.speed_mps.min() > 2.5 and path.speed_mps.max() <= 10.0
    along = np.gradient(path.speed_mps, path.seconds)
    assert along.min() > -2.3 and along.max() < 1.8
    assert np.abs(path.speed_mps * path.yaw_rate_radps).max() < 2.6


def test_the_vehicle_slows_down_in_bends(standard):
    path = standard.trajectory
    curvature = np.abs(path.yaw_rate_radps / path.speed_mps)
    assert (curvature > 0.05).any()
    assert path.speed_mps[curvature > 0.05].mean() < 0.8 * path.speed_mps[curvature < 0.01].mean()


def test_heading_is_the_direction_of_motion_and_speed_its_length(standard):
    path = standard.trajectory
    stride = 50
    east, north = (np.diff(column[::stride]) for column in (path.east_m, path.north_m))
    middle = path.yaw_enu_rad[stride // 2 :: stride][: len(east)]
    assert np.abs(np.sin(np.arctan2(north, east) - middle)).max() < 0.05
    assert np.hypot(east, north).sum() == pytest.approx(np.trapezoid(path.speed_mps, path.seconds), rel=0.01)
    turned = np.trapezoid(path.yaw_rate_radps, path.seconds)
    assert turned == pytest.approx(path.yaw_enu_rad[-1] - path.yaw_enu_rad[0], abs=0.01)


def test_the_vehicle_stays_in_a_lane_with_the_traffic_between_crossings(standard):
    lanes, path = standard.city.lanes, standard.trajectory
    start, step = lanes[:, :2], lanes[:, 2:] - lanes[:, :2]
    direction = np.arctan2(step[:, 1], step[:, 0])
    offsets = []
    for k in range(0, len(path.seconds), 50):
        here = np.array([path.east_m[k], path.north_m[k]])
        share = np.clip(((here - start) * step).sum(1) / np.maximum((step**2).sum(1), 1e-9), 0, 1)
        distance = np.hypot(*(start + share[:, None] * step - here).T)
        offsets.append(np.where(np.cos(direction - path.yaw_enu_rad[k]) > 0.95, distance, 99.0).min())
    assert np.mean(np.array(offsets) < 0.6) > 0.7


def test_bends_lean_the_body_outwards_and_braking_dips_the_nose():
    """A straight and a left bend of 12 m radius: averaged over drives, only the lean remains."""
    angle = np.arange(0.0, 3.0, 0.5 / 12.0)
    bend = np.stack([60.0 + 12.0 * np.sin(angle), 12.0 - 12.0 * np.cos(angle)], axis=1)
    route = np.concatenate([np.stack([np.arange(0.0, 60.0, 0.5), np.zeros(120)], axis=1), bend])
    paths = [drive_along(route, 9.0, LEVELS["standard"], np.random.default_rng(k)) for k in range(600)]
    lateral = np.mean([path.speed_mps * path.yaw_rate_radps for path in paths], axis=0)
    along = np.mean([np.gradient(path.speed_mps, path.seconds) for path in paths], axis=0)
    roll = np.degrees(np.mean([path.roll_rad for path in paths], axis=0))
    pitch = np.degrees(np.mean([path.pitch_rad for path in paths], axis=0))
    bending, braking = lateral > 1.2, along < -0.7
    assert bending.any() and braking.any()
    assert roll[bending].mean() == pytest.approx(0.4 * lateral[bending].mean(), abs=0.15)
    assert pitch[braking].mean() == pytest.approx(-0.4 * along[braking].mean(), abs=0.15)
    assert roll[bending].mean() > 0.4 and pitch[braking].mean() > 0.2


def test_tilt_follows_the_level():
    assert not drive("easy", 20).trajectory.roll_rad.any()
    spread = {level: drive(level, 100).trajectory.roll_rad.std() for level in ("standard", "hard")}
    assert 0.5 < math.degrees(spread["standard"]) < 1.8
    assert 1.5 < math.degrees(spread["hard"]) < 5.0


def test_streams_have_their_rates_and_span_the_drive(standard):
    last = int(standard.frame_stamps_ns[-1])
    for stamps, rate_hz in (
        (standard.gnss.stamps_ns, 5),
        (standard.attitude.stamps_ns, 50),
        (standard.odometry.stamps_ns, 20),
    ):
        assert np.diff(stamps) == pytest.approx(1e9 / rate_hz, abs=2)
        assert stamps[0] == START_NS and stamps[-1] > last
    assert np.diff(standard.frame_stamps_ns) == pytest.approx(0.25e9, abs=2)
    truth = standard.truth_seconds()
    assert np.isin(standard.frame_seconds, truth).all() and np.diff(truth).max() < 0.0501


def test_sensor_errors_are_those_of_the_level(standard):
    seconds = (standard.gnss.stamps_ns - START_NS) * 1e-9
    path = standard.trajectory
    error = np.hypot(
        standard.gnss.east_m - path.at(seconds, path.east_m),
        standard.gnss.north_m - path.at(seconds, path.north_m),
    )
    assert np.median(error) > 4.0 and error.max() <= 20.0 + 1e-6
    assert standard.gnss.sigma_m == 8.0
    seconds = (standard.attitude.stamps_ns - START_NS) * 1e-9
    heading = np.degrees(standard.attitude.yaw_enu_rad - path.at(seconds, path.yaw_enu_rad))
    assert np.abs(heading).max() <= 20.0 + 1e-6 and heading.std() > 0.5
    assert math.degrees(standard.attitude.sigma_yaw_rad) == pytest.approx(10.0)


def test_a_fix_exists_before_the_first_image():
    hard = drive("hard", 10)
    assert hard.gnss.available[hard.gnss.stamps_ns <= hard.frame_stamps_ns[0]].all()


def test_truth_is_the_pose_in_degrees(standard):
    truth = standard.truth(5.0)
    east, north = LocalFrame(standard.city.datum).to_enu(truth.latitude, truth.longitude)
    pose = standard.trajectory.pose(5.0, 2.0)
    assert (east, north) == pytest.approx((pose.east_m, pose.north_m), abs=1e-6)
    assert math.cos(truth.yaw_enu_rad - pose.yaw_enu_rad) == pytest.approx(1.0)


def test_the_same_arguments_give_the_same_drive_and_pictures():
    first, second = drive(frames=3), drive(frames=3)
    for a, b in zip(first.frames(), second.frames(), strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)
        assert (a.stamp_ns, a.truth) == (b.stamp_ns, b.truth)
    np.testing.assert_array_equal(first.gnss.east_m, second.gnss.east_m)


def test_route_and_level_make_another_drive(standard):
    other = drive(frames=100, route=1)
    assert np.hypot(other.trajectory.east_m[0] - standard.trajectory.east_m[0], 0.0) > 0.1
    assert drive("hard", 10).conditions != drive("standard", 10).conditions


def test_a_longer_drive_begins_like_a_shorter_one():
    short, long = drive(frames=4), drive(frames=6)
    np.testing.assert_array_equal(next(short.frames()).rgb, next(long.frames()).rgb)


def test_light_is_constant_and_the_sky_does_not_change_between_frames():
    hard = drive(frames=4, rig=SMALL_PANORAMA_RIG)
    skies = [image.rgb[:20].astype(float).mean() for image in hard.frames()]
    assert np.ptp(skies) < 8.0
    seeds = {image.index for image in hard.frames()}
    assert seeds == {0, 1, 2, 3}


def test_frames_are_rendered_only_when_asked_for(monkeypatch):
    module = "geodistill_core.datasets.synthcity.drive.render_ground"
    monkeypatch.setattr(module, lambda *_: pytest.fail("rendered too early"))
    long = drive(frames=1000, frame_rate_hz=30.0)
    assert len(long.frame_seconds) == 1000
    long.frames()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", 1, "standard", 5), "nowhere"),
        ((STYLE, 1, "brutal", 5), "brutal"),
        ((STYLE, 1, "standard", 0), "frames"),
        ((STYLE, 1, "standard", 5, 0.01), "Hz"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(arguments, words):
    with pytest.raises(ConfigError, match=words):
        simulate_drive(*arguments)


def test_a_city_of_a_given_size_is_not_enlarged():
    """Campus blocks leave no closed way in the smallest city."""
    with pytest.raises(ConfigError, match="route"):
        simulate_drive("campus", 20_000, "standard", 200, size_m=240.0)
    assert drive(frames=5, size_m=320.0).city is build_city(STYLE, SEED, 320.0)
