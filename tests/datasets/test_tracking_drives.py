# SPDX-License-Identifier: Apache-2.0
"""What the tracking benchmark says of its drives: GNSS that wanders, jumps and falls silent; confusing streets."""

import math

import numpy as np
import pytest

from geodistill_core.datasets.synthcity import (
    SEEDS,
    STYLES,
    TRAIN_STYLES,
    UNSEEN_STYLES,
    VALIDATION_STYLES,
    CameraRig,
    build_city,
    render_overhead,
)
from geodistill_core.datasets.synthcity.conditions import Conditions
from geodistill_core.datasets.synthcity.streams import no_chance, stream
from geodistill_core.datasets.synthcity.tracking_drives import (
    WanderingGnss,
    bench_drives,
    calibration_drives,
)
from geodistill_core.datasets.synthcity.variations import PERIOD_M, TWIN_M, VARIATIONS
from geodistill_core.errors import ConfigError

TINY_RIG = CameraRig("panorama", 128, 64)
SECONDS = np.arange(0.0, 181.0, 0.2)
GNSS = WanderingGnss()


def rng(number=1):
    return stream("campus", number, "test")


@pytest.fixture(scope="module")
def drive():
    return bench_drives()[3].simulate(rig=TINY_RIG)


def fix_errors(drive):
    """Metres east and north [N, 2] of every fix, the silent ones too."""
    seconds = (drive.gnss.stamps_ns - drive.gnss.stamps_ns[0]) * 1e-9
    path = drive.trajectory
    east, north = path.at(seconds, path.east_m), path.at(seconds, path.north_m)
    return np.stack([drive.gnss.east_m - east, drive.gnss.north_m - north], axis=1)


@pytest.mark.parametrize("number", range(8))
def test_the_wander_reaches_fifteen_metres_and_never_exceeds_them(number):
    size = np.hypot(*GNSS.wander(rng(number), SECONDS).T)
    assert size.max() == pytest.approx(15.0, abs=1e-9)
    steps = np.hypot(*np.diff(GNSS.wander(rng(number), SECONDS), axis=0).T)
    assert steps.max() < 4.0 and size.mean() < 12.0


@pytest.mark.parametrize("number", range(8))
def test_jumps_are_six_to_ten_metres_and_last_seconds_and_spare_the_start(number):
    size = np.hypot(*GNSS.jump(rng(number), SECONDS).T)
    jumping = size > 0
    assert size[jumping].min() >= 6.0 and size.max() <= 10.0
    assert not jumping[SECONDS < 18.0].any()
    assert 2.0 <= jumping.sum() * 0.2 <= 5 * 5.2


def test_the_receiver_is_silent_once_for_thirty_seconds(drive):
    silent = np.flatnonzero(~drive.gnss.available)
    assert (np.diff(silent) == 1).all()
    assert len(silent) * 0.2 == pytest.approx(30.0, abs=0.3)
    assert drive.gnss.available[:200].all() and drive.gnss.available[-50:].all()


def test_a_short_drive_is_silent_for_a_sixth_of_it():
    short = np.arange(0.0, 12.0, 0.2)
    assert (~GNSS.available(rng(), short)).sum() * 0.2 == pytest.approx(2.0, abs=0.3)


def test_fixes_are_wander_jumps_and_little_noise(drive):
    error = np.hypot(*fix_errors(drive).T)
    assert 10.0 < error.max() < 15.0 + 10.0 + 5 * GNSS.white_sigma_m
    assert 3.0 < math.sqrt((error**2).mean()) < 12.0
    assert drive.gnss.sigma_m == GNSS.stated_sigma_m


def test_a_drive_lasts_three_minutes_at_four_frames_a_second_and_is_the_same_every_time(drive):
    again = bench_drives()[3].simulate(rig=TINY_RIG)
    assert len(drive.frame_seconds) == 720
    assert np.diff(drive.frame_seconds) == pytest.approx(0.25)
    for one, other in zip((drive.gnss, drive.odometry), (again.gnss, again.odometry), strict=True):
        for name in one.__slots__:
            assert np.array_equal(getattr(one, name), getattr(other, name))
    assert np.array_equal(drive.image(7).rgb, again.image(7).rgb)


def test_benchmark_and_calibration_drives_share_no_city_and_keep_to_their_styles_and_seeds():
    bench = [d for k in range(3) for d in bench_drives(k)]
    fitted_on = [d for k in range(3) for d in calibration_drives(k)]
    assert len(bench_drives()) == 5 and len(calibration_drives()) == 8
    assert {d.style.partition("_")[0] for d in bench} == set(UNSEEN_STYLES)
    assert {d.style.partition("_")[0] for d in fitted_on} == set(VALIDATION_STYLES)
    assert all(d.seed in SEEDS["test"] for d in bench) and all(d.seed in SEEDS["validation"] for d in fitted_on)
    assert len({d.seed for d in bench}) == 15 and len({d.seed for d in fitted_on}) == 24


def test_confusing_cities_are_not_among_the_styles_that_others_choose_from():
    assert not set(VARIATIONS) & set(STYLES)
    assert all(not STYLES[name].alike and STYLES[name].twin_m == 0.0 for name in STYLES)
    assert set(TRAIN_STYLES) < set(STYLES)


def _along(style):
    """Strips of the map, 60 m along a straight road from its middle and 30 m across, and what they show shifted."""
    city = build_city(style, 24_002)
    roads = [r for r in city.network.roads if np.abs(r.points).max() < 100 and r.length_m > 70]
    road = roads[0]
    middle, along = road.points.mean(axis=0), road.points[-1] - road.points[0]
    along = along / np.hypot(*along)
    rgb, _ = render_overhead(city, 0.0, 0.0, city.size_m, 0.5, Conditions(cars=False))
    reach = np.arange(-16.0, 16.0, 0.5)
    across = np.array([-along[1], along[0]])

    def strip(shift_m):
        points = middle + (reach[:, None, None] + shift_m) * along + reach[None, :, None] * across
        column = np.round(points[..., 0] / 0.5 + rgb.shape[1] / 2 - 0.5).astype(int)
        row = np.round(rgb.shape[0] / 2 - points[..., 1] / 0.5 - 0.5).astype(int)
        return rgb[row, column].astype(float)

    return strip


def likeness(one, other):
    return float(np.corrcoef((one - one.mean((0, 1))).ravel(), (other - other.mean((0, 1))).ravel())[0, 1])


def test_a_row_of_houses_looks_the_same_one_house_on_and_not_half_a_house_on():
    strip = _along("midtown_rows")
    assert likeness(strip(0.0), strip(PERIOD_M)) > 0.75
    assert likeness(strip(0.0), strip(PERIOD_M)) > likeness(strip(0.0), strip(PERIOD_M / 2)) + 0.2


def test_the_street_of_a_common_style_does_not_repeat():
    strip = _along("midtown")
    assert likeness(strip(0.0), strip(PERIOD_M)) < 0.6


def test_a_parallel_carriageway_runs_beside_most_of_the_drive(drive):
    lanes, path = drive.city.lanes, drive.trajectory
    middle = (lanes[:, :2] + lanes[:, 2:]) / 2
    heading = np.arctan2(lanes[:, 3] - lanes[:, 1], lanes[:, 2] - lanes[:, 0])
    beside = 0
    indices = range(0, len(path.seconds), 200)
    for k in indices:
        c, s = math.cos(path.yaw_enu_rad[k]), math.sin(path.yaw_enu_rad[k])
        off = middle - (path.east_m[k], path.north_m[k])
        same = np.cos(heading - path.yaw_enu_rad[k]) > 0.95
        left = np.abs(-s * off[:, 0] + c * off[:, 1])
        beside += bool((same & (np.abs(c * off[:, 0] + s * off[:, 1]) < 2.0) & (np.abs(left - TWIN_M) < 2.0)).any())
    assert beside / len(indices) > 0.5


def test_draws_without_chance_are_the_middle():
    middle = no_chance()
    assert middle.random() == 0.5 and middle.uniform(2.0, 4.0) == 3.0 and middle.normal(7.0, 2.0) == 7.0
    assert middle.random(2).tolist() == [0.5, 0.5] and middle.normal(0.0, 1.0, 3).tolist() == [0.0] * 3
    assert middle.choice([5.0, 6.0]) == 5.0 and middle.integers(3) == 1


@pytest.mark.parametrize("seconds", [1.0, 4000.0])
def test_a_drive_of_no_useful_length_is_refused(seconds):
    with pytest.raises(ConfigError, match="outside 2"):
        bench_drives()[0].simulate(seconds)


def test_a_round_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="round 100"):
        bench_drives(100)
