# SPDX-License-Identifier: Apache-2.0
"""One real minute of driving (comma2k19): two receivers, wheel speed, gyroscope, and the reference pose.

Images are not part of it: heat maps are simulated around the reference, 3 m wide and 3 m off at random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
import pytest

from geodistill_core.errors import GeodistillError
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.estimate import EstimateConfig, estimate
from geodistill_core.localization.gnss import FixReading
from geodistill_core.localization.readings import HeadingSource, MotionReading, SensorBufferConfig, SensorGap
from geodistill_core.localization.sensor_buffer import SensorBuffer
from geodistill_core.models.manifest import TrackCalibration
from geodistill_core.tracking import TrackedLocalizer, TrackedPose, Tracker
from geodistill_core.types import Estimate, GeoPoint, GroundImage, HeatMap, MapTile, Prior

MINUTE = Path(__file__).resolve().parents[2] / "../shared/data/comma2k19"
NEEDS_MINUTE = pytest.mark.skipif(not MINUTE.is_dir(), reason="shared/data/comma2k19 is not beside the checkout")

SIGMA_M, SIGMA_YAW_RAD, HEAT_MAP_HZ = 3.0, math.radians(3.0), 2.0
RECEIVERS = {"ublox": 2.0, "qcom": 4.0}
_START_NS = 1_533_226_488_000_000_000
_GPS_EPOCH_S, _LEAP_S, _WEEK_S = 315_964_800, 18, 604_800
_CELL_M, _CELLS = 0.5, 96
_YAW_STEP_RAD = math.radians(3.0)


def _read(name: str) -> np.ndarray:
    return np.load(MINUTE / name, allow_pickle=False)


@dataclass(frozen=True)
class Receiver:
    """What a receiver said, by its own clock: stamps, degrees, and how far it was off (metres east and north)."""

    stamps_ns: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray
    error_m: np.ndarray

    @property
    def rms_m(self) -> float:
        return float(math.sqrt(np.square(self.error_m).sum(axis=1).mean()))


class RealMinute:
    """The recording on one clock, that of the satellites: stamps in nanoseconds; the plane's origin is the start."""

    def __init__(self) -> None:
        boot_s, gps = _read("global_pose/frame_times"), _read("global_pose/frame_gps_times")
        to_geodetic = pyproj.Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)
        longitude, latitude, _ = to_geodetic.transform(*_read("global_pose/frame_positions").T)
        self.datum = GeoPoint(float(latitude[0]), float(longitude[0]))
        self.frame = LocalFrame(self.datum)
        self._zero_s, self._week_s = float(gps[0, 1]), float(gps[0, 0]) * _WEEK_S
        self._boot_s = float(boot_s[0])
        self.seconds = gps[:, 1] - self._zero_s
        self.east_m, self.north_m = self.frame.to_enu(latitude, longitude)
        yaw_rad = np.unwrap(_headings(_read("global_pose/frame_orientations"), latitude[0], longitude[0]))
        course_rad = np.arctan2(np.gradient(self.north_m), np.gradient(self.east_m))
        # the phone that the poses belong to looks a degree past the vehicle's nose
        self.yaw_rad = yaw_rad + float(np.median(wrap(course_rad - yaw_rad)))
        self.receivers = {name: self._receiver(name) for name in RECEIVERS}

    def stamp_ns(self, seconds: float) -> int:
        return _START_NS + round(seconds * 1e9)

    def truth(self, seconds: float) -> np.ndarray:
        """East m, north m, yaw rad."""
        return np.array([np.interp(seconds, self.seconds, c) for c in (self.east_m, self.north_m, self.yaw_rad)])

    def _receiver(self, name: str) -> Receiver:
        values = _read(f"processed_log/GNSS/live_gnss_{name}/value")
        seconds = values[:, 3] / 1e3 - _GPS_EPOCH_S + _LEAP_S - self._week_s - self._zero_s
        inside = (seconds >= self.seconds[0]) & (seconds <= self.seconds[-1])
        values, seconds = values[inside], seconds[inside]
        east, north = self.frame.to_enu(values[:, 0], values[:, 1])
        truth = np.stack([self.truth(s)[:2] for s in seconds])
        stamps = np.array([self.stamp_ns(s) for s in seconds])
        return Receiver(stamps, values[:, 0], values[:, 1], np.stack([east, north], axis=1) - truth)

    def fixes(self, name: str) -> list[FixReading]:
        receiver = self.receivers[name]
        rows = zip(receiver.stamps_ns.tolist(), receiver.latitude.tolist(), receiver.longitude.tolist(), strict=True)
        return [FixReading(*row, RECEIVERS[name]) for row in rows]

    def motions(self) -> list[MotionReading]:
        """20 Hz: wheel speed, and the gyroscope about the vertical (its third axis points down)."""
        speed, rate = _read("processed_log/CAN/speed/value")[:, 0], -_read("processed_log/IMU/gyro/value")[:, 2]
        speed_s = _read("processed_log/CAN/speed/t") - self._boot_s
        rate_s = _read("processed_log/IMU/gyro/t") - self._boot_s
        at = np.arange(0.1, self.seconds[-1] - 0.1, 0.05)
        smooth = np.convolve(rate, np.ones(5) / 5, mode="same")
        columns = (np.interp(at, speed_s, speed), np.interp(at, rate_s, smooth))
        return [MotionReading(self.stamp_ns(s), float(v), float(w)) for s, v, w in zip(at, *columns, strict=True)]


def _headings(quaternions: np.ndarray, latitude: float, longitude: float) -> np.ndarray:
    """Yaw in ENU [N] of poses (w, x, y, z) from a forward, right, down frame to the earth's."""
    w, x, y, z = quaternions.T
    forward = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)])
    lat, lon = math.radians(latitude), math.radians(longitude)
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = np.array([-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)])
    return np.arctan2(north @ forward, east @ forward)


class NoImageError(GeodistillError):
    """The heat maps are off."""


class SimulatedLocalizer:
    """Heat maps about the reference pose, off by their own sigma at random, in a window around where one looks."""

    def __init__(self, minute: RealMinute, seed: int, off_s: tuple[float, float] | None = None) -> None:
        self._minute, self._off_s = minute, off_s
        self._rng = np.random.default_rng(seed)
        grey = np.full((16, 16, 3), 128, np.uint8)
        self._tile = MapTile(grey, np.ones((16, 16), bool), minute.datum, 3.0, "grey")

    def locate(self, image: GroundImage, prior: Prior) -> Estimate:
        seconds = (image.stamp_ns - _START_NS) * 1e-9
        east, north, yaw = self._minute.truth(seconds) + self._rng.normal(0, [SIGMA_M, SIGMA_M, SIGMA_YAW_RAD])
        if self._off_s is not None and self._off_s[0] <= seconds < self._off_s[1]:
            raise NoImageError("the heat maps are off")
        reach = math.ceil(2.3 * prior.sigma_yaw_rad / _YAW_STEP_RAD)
        yaws = prior.yaw_enu_rad + _YAW_STEP_RAD * np.arange(-reach, reach + 1)
        center = GeoPoint(prior.latitude, prior.longitude)
        at_east, at_north = self._minute.frame.to_enu(prior.latitude, prior.longitude)
        axis = (np.arange(_CELLS) + 0.5 - _CELLS / 2) * _CELL_M
        d_east, d_north = axis + float(at_east) - east, -axis + float(at_north) - north
        d_yaw = np.asarray(wrap(yaws - yaw))
        log_p = -0.5 * (
            (d_east**2)[None, None, :] / SIGMA_M**2
            + (d_north**2)[None, :, None] / SIGMA_M**2
            + (d_yaw**2)[:, None, None] / SIGMA_YAW_RAD**2
        )
        probability = np.exp(log_p - log_p.max()).astype(np.float32)
        probability /= probability.sum()
        heatmap = HeatMap(probability, center, _CELL_M, yaws)
        return estimate(heatmap, self._tile, image.stamp_ns, EstimateConfig())


@dataclass(frozen=True)
class Step:
    """The track beside the reference at one heat map's time."""

    seconds: float
    pose: TrackedPose
    error: np.ndarray  # east m, north m, yaw rad

    @property
    def error_m(self) -> float:
        return float(math.hypot(self.error[0], self.error[1]))

    @property
    def nees(self) -> float:
        return float(self.error @ np.linalg.solve(self.pose.covariance, self.error))

    @property
    def position_sq(self) -> float:
        return float(self.error[:2] @ np.linalg.solve(self.pose.covariance[:2, :2], self.error[:2]))


def drive(minute: RealMinute, tracker: Tracker, receiver: str, seed: int = 1, off_s=None) -> list[Step]:
    """The track at 2 Hz over the minute; while the heat maps are off, dead reckoning from the last."""
    tracked = TrackedLocalizer(SimulatedLocalizer(minute, seed, off_s), tracker)
    buffer = SensorBuffer(SensorBufferConfig(heading_source=HeadingSource.COURSE, max_speed_mps=40.0))
    left = sorted([*minute.fixes(receiver), *minute.motions()], key=lambda reading: reading.stamp_ns)
    blank = np.zeros((16, 32, 3), np.uint8)
    steps = []
    for seconds in np.arange(2.0, minute.seconds[-1] - 0.2, 1.0 / HEAT_MAP_HZ):
        stamp_ns = minute.stamp_ns(seconds)
        while left and left[0].stamp_ns <= stamp_ns:
            reading = left.pop(0)
            buffer.add_fix(reading) if isinstance(reading, FixReading) else buffer.add_motion(reading)
        pose = None
        try:
            prior = buffer.at(stamp_ns, tracked.expected(stamp_ns, buffer))
            image = GroundImage.panorama(blank, stamp_ns, height_m=1.5)
            _, pose = tracked.locate(image, prior, buffer)
        except SensorGap:
            pass
        except NoImageError:
            tracked.missed(stamp_ns, buffer, "the heat maps are off")
            pose = tracked.pose_at(stamp_ns, buffer)
        if pose is not None:
            truth = minute.truth(seconds)
            east, north = minute.frame.to_enu(pose.latitude, pose.longitude)
            yaw = float(wrap(pose.yaw_enu_rad - truth[2]))
            steps.append(Step(float(seconds), pose, np.array([float(east) - truth[0], float(north) - truth[1], yaw])))
    return steps


def rms_m(steps: list[Step]) -> float:
    return math.sqrt(np.mean([step.error_m**2 for step in steps]))


def own_calibration() -> TrackCalibration:
    """The particles' spread as it is: these heat maps say exactly how wrong they are."""
    ones = dict.fromkeys(("scale_along", "scale_across", "scale_yaw"), 1.0)
    nothing = dict.fromkeys(("innovation_along", "innovation_across", "innovation_yaw"), 0.0)
    factors = dict.fromkeys(("protection_lateral", "protection_longitudinal"), 2.576)
    return TrackCalibration(
        **ones, **nothing, **factors, drives=1, samples=1, distance_m=1.0, fitted_on="nothing", date="2018-08-02"
    )


def tracker() -> Tracker:
    """The tracker as it is by default."""
    return Tracker(calibration=own_calibration())
