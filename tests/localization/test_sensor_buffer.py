# SPDX-License-Identifier: Apache-2.0
"""Streams to priors. The oracle for positions is the WGS-84 geodesic, not the code's own tangent plane."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyproj import Geod

from geodistill_core.errors import ConfigError
from geodistill_core.localization.gnss import FixReject
from geodistill_core.localization.sensor_buffer import (
    AttitudeReading,
    FixReading,
    MotionReading,
    SensorBuffer,
    SensorBufferConfig,
    SensorGap,
)

GEOD = Geod(ellps="WGS84")
T0 = 1_700_000_000_000_000_000
PLACE = (48.7, 9.1)


def ns(seconds):
    return T0 + round(seconds * 1e9)


def fix(seconds, place=PLACE, sigma_m=8.0):
    return FixReading(ns(seconds), place[0], place[1], sigma_m)


def attitude(seconds, yaw=0.0, roll=0.0, pitch=0.0, sigma=0.17):
    return AttitudeReading(ns(seconds), roll, pitch, yaw, sigma)


def moved(place, east_m, north_m):
    bearing = math.degrees(math.atan2(east_m, north_m))
    longitude, latitude, _ = GEOD.fwd(place[1], place[0], bearing, math.hypot(east_m, north_m))
    return latitude, longitude


def apart_m(prior, place):
    return GEOD.inv(prior.longitude, prior.latitude, place[1], place[0])[2]


def reason_at(buffer, seconds):
    with pytest.raises(SensorGap) as caught:
        buffer.at(ns(seconds))
    return caught.value.reason


def driving(yaw_rate=0.0, speed=10.0, place=PLACE, yaw_0=0.0, until=3.0):
    """A fix at 0 s; attitude and motion at 50 Hz."""
    buffer = SensorBuffer()
    buffer.add_fix(fix(0.0, place))
    for step in range(int(until * 50) + 1):
        t = step / 50
        yaw = (yaw_0 + yaw_rate * t + math.pi) % (2 * math.pi) - math.pi
        buffer.add_attitude(attitude(t, yaw))
        buffer.add_motion(MotionReading(ns(t), speed, yaw_rate))
    return buffer


@pytest.mark.parametrize("place", [PLACE, (-33.9, 151.2), (0.0, 180.0), (12.0, -179.9999), (69.6, 18.9)])
@pytest.mark.parametrize("yaw_deg", [0, 90, 179, -120])
def test_straight_driving_carries_the_fix_along_the_heading(place, yaw_deg):
    yaw = math.radians(yaw_deg)
    prior = driving(place=place, yaw_0=yaw).at(ns(2.5)).prior
    assert apart_m(prior, moved(place, 25 * math.cos(yaw), 25 * math.sin(yaw))) < 0.002
    assert prior.yaw_enu_rad == pytest.approx(yaw, abs=1e-9)


def test_turning_driving_ends_on_the_circle():
    rate, speed, t = 0.6, 9.0, 2.51
    prior = driving(yaw_rate=rate, speed=speed).at(ns(t)).prior
    radius = speed / rate
    expected = moved(PLACE, radius * math.sin(rate * t), radius * (1 - math.cos(rate * t)))
    assert apart_m(prior, expected) < 0.01
    assert prior.yaw_enu_rad == pytest.approx(rate * t, abs=1e-6)


def test_the_newest_fix_at_or_before_the_image_is_the_one_used():
    buffer = driving(speed=0.0)
    buffer.add_fix(fix(1.0, moved(PLACE, 3.0, 0.0)))
    buffer.add_fix(fix(1.2, moved(PLACE, 6.0, 0.0)))
    frame = buffer.at(ns(1.1))
    assert apart_m(frame.prior, moved(PLACE, 3.0, 0.0)) < 0.001
    assert frame.fix_age_s == pytest.approx(0.1)
    assert buffer.at(ns(1.2)).fix_age_s == 0.0


def test_sigma_grows_with_the_way_travelled_and_faster_without_motion_readings():
    buffer = driving()
    sigmas = [buffer.at(ns(t)).prior.sigma_m for t in (0.0, 1.0, 2.0, 3.0)]
    assert sigmas[0] == pytest.approx(8.0)
    assert sigmas == sorted(sigmas) and sigmas[3] < 12.0
    blind = SensorBuffer(SensorBufferConfig(max_speed_mps=20.0))
    blind.add_fix(fix(0.0))
    blind.add_attitude(attitude(2.0))
    frame = blind.at(ns(2.0))
    assert frame.prior.sigma_m == pytest.approx(math.hypot(8.0, 40.0))
    assert apart_m(frame.prior, PLACE) < 1e-6


def test_motion_readings_that_stop_leave_the_rest_of_the_time_uncovered():
    buffer = SensorBuffer(SensorBufferConfig(max_speed_mps=20.0, max_motion_gap_s=0.5))
    buffer.add_fix(fix(0.0))
    for step in range(11):
        buffer.add_motion(MotionReading(ns(step / 10), 4.0, 0.0))
    buffer.add_attitude(attitude(2.0, sigma=0.1))
    prior = buffer.at(ns(2.0)).prior  # covered: 1 s of readings and 0.5 s held
    assert apart_m(prior, moved(PLACE, 6.0, 0.0)) < 0.001
    assert prior.sigma_m == pytest.approx(math.sqrt(64 + 10.0**2 + (6 * math.hypot(0.05, 0.1)) ** 2))


def test_heading_interpolates_over_the_cut_at_pi():
    buffer = SensorBuffer()
    buffer.add_fix(fix(0.0))
    buffer.add_attitude(attitude(0.9, math.radians(179), 0.00, -0.04))
    buffer.add_attitude(attitude(1.1, math.radians(-177), 0.02, 0.00))
    frame = buffer.at(ns(1.0))
    assert abs(abs(frame.prior.yaw_enu_rad) - math.pi) < 1e-9 or frame.prior.yaw_enu_rad < 0
    assert math.degrees(frame.prior.yaw_enu_rad) == pytest.approx(-179.0)
    assert (frame.roll_rad, frame.pitch_rad) == pytest.approx((0.01, -0.02))


def test_heading_beyond_the_last_attitude_turns_on_with_the_yaw_rate():
    buffer = SensorBuffer()
    buffer.add_fix(fix(0.0))
    buffer.add_attitude(attitude(1.0, 0.5))
    buffer.add_motion(MotionReading(ns(1.0), 5.0, 0.4))
    assert buffer.at(ns(1.1)).prior.yaw_enu_rad == pytest.approx(0.54)


def test_every_gap_has_its_reason():
    buffer = SensorBuffer()
    assert reason_at(buffer, 1.0) == "no_fix"
    buffer.add_fix(fix(1.0))
    assert reason_at(buffer, 0.5) == "no_fix"
    assert reason_at(buffer, 1.0) == "no_attitude"
    buffer.add_attitude(attitude(1.0))
    buffer.at(ns(1.1))
    assert reason_at(buffer, 1.5) == "attitude_stale"
    buffer.add_attitude(attitude(4.2))
    assert reason_at(buffer, 4.2) == "fix_stale"
    assert reason_at(SensorBuffer(SensorBufferConfig(max_fix_age_s=1.0)), 1.0) == "no_fix"


def test_stamps_that_do_not_increase_and_values_that_are_not_numbers_are_counted():
    buffer = SensorBuffer()
    assert buffer.add_fix(fix(1.0))
    assert not buffer.add_fix(fix(1.0))
    assert not buffer.add_fix(fix(0.5))
    assert not buffer.add_fix(FixReject.NULL_ISLAND)
    assert not buffer.add_fix(fix(1.1, (math.nan, 0.0)))
    assert buffer.add_attitude(attitude(1.0))
    assert not buffer.add_attitude(AttitudeReading(0, 0.0, 0.0, 0.0, 0.1))
    assert not buffer.add_attitude(attitude(1.1, roll=1.2))
    assert not buffer.add_attitude(attitude(1.1, sigma=0.0))
    assert not buffer.add_motion(MotionReading(ns(1), math.inf, 0.0))
    assert buffer.dropped() == {
        "attitude.sigma": 1,
        "attitude.stamp_zero": 1,
        "attitude.tilt": 1,
        "gnss.nan": 1,
        "gnss.null_island": 1,
        "gnss.stamp_backwards": 1,
        "gnss.stamp_repeated": 1,
        "motion.nan": 1,
    }


def test_one_fix_half_a_kilometre_away_is_refused_and_a_lasting_move_is_believed_after_the_age_limit():
    buffer = SensorBuffer()
    for step in range(5):
        assert buffer.add_fix(fix(step * 0.2))
    assert not buffer.add_fix(fix(1.0, moved(PLACE, 500.0, 0.0)))
    assert buffer.add_fix(fix(1.2))
    elsewhere = moved(PLACE, 0.0, 5_000.0)
    accepted = [buffer.add_fix(fix(1.2 + step * 0.5, elsewhere)) for step in range(1, 9)]
    assert accepted == [False] * 6 + [True] * 2
    buffer.add_attitude(attitude(5.2))
    assert apart_m(buffer.at(ns(5.2)).prior, elsewhere) < 1e-3


def test_noise_of_the_stated_size_never_counts_as_a_jump():
    buffer = SensorBuffer()
    for step in range(20):
        assert buffer.add_fix(fix(step * 0.2, moved(PLACE, 0.0, 20.0 * (-1) ** step)))


def course_buffer(speed_sign=1.0, **config):
    buffer = SensorBuffer(SensorBufferConfig(heading_source="course", **config))
    for step in range(21):
        t = step * 0.2
        buffer.add_fix(fix(t, moved(PLACE, 0.0, 6.0 * t)))
        buffer.add_motion(MotionReading(ns(t), 6.0 * speed_sign, 0.0))
    return buffer


def test_course_over_ground_is_a_heading_by_configuration():
    frame = course_buffer().at(ns(4.0))
    assert frame.prior.yaw_enu_rad == pytest.approx(math.pi / 2, abs=1e-4)
    assert 0.05 < frame.prior.sigma_yaw_rad < 0.2
    assert (frame.roll_rad, frame.pitch_rad) == (0.0, 0.0)


def test_course_in_reverse_points_against_the_motion():
    assert course_buffer(speed_sign=-1.0).at(ns(4.0)).prior.yaw_enu_rad == pytest.approx(-math.pi / 2, abs=1e-4)


def test_course_in_a_turn_is_the_chord_turned_on_by_the_yaw_rate():
    buffer = SensorBuffer(SensorBufferConfig(heading_source="course"))
    rate, radius = 0.3, 25.0
    for step in range(21):
        t = step * 0.2
        place = moved(PLACE, radius * math.sin(rate * t), radius * (1 - math.cos(rate * t)))
        buffer.add_fix(fix(t, place))
        buffer.add_motion(MotionReading(ns(t), radius * rate, rate))
    assert buffer.at(ns(4.0)).prior.yaw_enu_rad == pytest.approx(rate * 4.0, abs=2e-3)


def test_standing_still_has_no_course():
    buffer = SensorBuffer(SensorBufferConfig(heading_source="course"))
    for step in range(10):
        buffer.add_fix(fix(step * 0.2))
    assert reason_at(buffer, 1.8) == "no_heading"


def test_reset_forgets_readings_and_accepts_an_earlier_clock():
    buffer = driving()
    buffer.add_fix(fix(-1.0))
    buffer.reset()
    assert reason_at(buffer, 3.0) == "no_fix"
    assert buffer.add_fix(fix(-50.0))
    assert buffer.dropped() == {"gnss.stamp_backwards": 1}


def test_memory_stays_bounded():
    buffer = SensorBuffer()
    for step in range(5_000):
        buffer.add_attitude(attitude(step * 0.01))
    buffer.add_fix(fix(49.99))
    assert buffer.at(ns(49.99)).prior.sigma_m == 8.0
    assert sum(len(s.readings) for s in (buffer._fixes, buffer._attitudes, buffer._motions)) <= 1025


def test_writers_and_readers_in_threads_do_not_disturb_each_other():
    buffer = driving()

    def write(_):
        return [buffer.add_motion(MotionReading(ns(3.0 + k * 1e-3), 1.0, 0.0)) for k in range(300)]

    def read(_):
        return [buffer.at(ns(2.0)).prior.latitude for _ in range(300)]

    with ThreadPoolExecutor(4) as pool:
        writes, reads = pool.map(write, range(2)), pool.map(read, range(2))
        assert len({value for chunk in reads for value in chunk}) == 1
        assert sum(sum(chunk) for chunk in writes) == 299  # stamp 3.0 exists already, each other once


def test_limits_must_be_positive_numbers():
    with pytest.raises(ConfigError, match="max_fix_age_s"):
        SensorBufferConfig(max_fix_age_s=0.0)


def test_an_unknown_heading_source_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="attitude, course"):
        SensorBufferConfig(heading_source="compas")


@pytest.mark.parametrize(
    ("antenna", "yaw", "base_east_north"),
    [
        ((2.0, 0.0), 0.0, (-2.0, 0.0)),
        ((2.0, 0.0), math.pi / 2, (0.0, -2.0)),
        ((0.0, 0.5), 0.0, (0.0, -0.5)),
        ((0.0, 0.5), math.pi / 2, (0.5, 0.0)),
        ((1.0, 1.0), math.pi, (1.0, 1.0)),
    ],
)
def test_fix_of_an_antenna_beside_the_base_places_the_base(antenna, yaw, base_east_north):
    buffer = SensorBuffer()
    buffer.add_attitude(attitude(0.0, yaw=yaw))
    buffer.add_fix(FixReading(ns(0.0), *PLACE, 8.0, antenna_x_m=antenna[0], antenna_y_m=antenna[1]))
    found = buffer.at(ns(0.0)).prior
    expected = moved(PLACE, *base_east_north)
    assert (found.latitude, found.longitude) == pytest.approx(expected, abs=1e-8)
    assert found.sigma_m == pytest.approx(math.hypot(8.0, 0.17 * math.hypot(*antenna)))


def test_antenna_is_moved_with_the_heading_at_the_fix_and_not_at_the_image():
    buffer = SensorBuffer()
    turned = math.radians(40.0)
    for i in range(6):  # turns on the spot after the fix
        buffer.add_motion(MotionReading(ns(0.1 * i), 0.0, turned / 0.5))
    buffer.add_attitude(attitude(0.5, yaw=turned))
    buffer.add_fix(FixReading(ns(0.0), *PLACE, 8.0, antenna_x_m=3.0))
    found = buffer.at(ns(0.5)).prior
    assert (found.latitude, found.longitude) == pytest.approx(moved(PLACE, -3.0, 0.0), abs=1e-8)
