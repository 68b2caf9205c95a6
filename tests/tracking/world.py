# SPDX-License-Identifier: Apache-2.0
"""A vehicle on a known path, with heat maps made by formula instead of by a network."""

import math

import numpy as np

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.estimate import EstimateConfig, estimate
from geodistill_core.localization.planar_pose import PlanarPose, geo_pose, planar_pose
from geodistill_core.localization.readings import AttitudeReading, FramePrior, MotionReading
from geodistill_core.localization.sensor_buffer import FixReading, SensorBuffer, SensorBufferConfig
from geodistill_core.models.manifest import TrackCalibration
from geodistill_core.types import GeoPoint, HeatMap, MapTile, Prior

ORIGIN = GeoPoint(48.137, 11.575)
FRAME = LocalFrame(ORIGIN)
START_NS = 1_700_000_000_000_000_000
CALIBRATION = TrackCalibration(
    scale_along=1.0, scale_across=1.0, scale_yaw=1.0, innovation_along=0.2, innovation_across=0.2, innovation_yaw=0.2,
    protection_lateral=3.0, protection_longitudinal=3.0, drives=1, samples=1, distance_m=1.0, fitted_on="none",
    date="2026-01-01",
)  # fmt: skip


def heatmap_of(modes, center, yaw_rad, *, cells=96, cell_m=0.5, yaws=5, step_deg=3.0):
    """A heat map around `center` (east, north of ORIGIN) with Gaussian modes (east, north, yaw, sigma_m, mass)."""
    point = FRAME.point(*map(float, center))
    yaw = yaw_rad + np.radians(step_deg) * (np.arange(yaws) - yaws // 2)
    empty = HeatMap(np.zeros((yaws, cells, cells), np.float32), point, cell_m, yaw)
    east, north = empty.axes_m()
    total = np.zeros((yaws, cells, cells))
    for mode_east, mode_north, mode_yaw, sigma_m, mass in modes:
        at = LocalFrame(point).to_enu(*FRAME.to_geodetic(mode_east, mode_north))
        square = ((east - at[0])[None, :] ** 2 + (north - at[1])[:, None] ** 2) / sigma_m**2
        turn = ((yaw - mode_yaw + math.pi) % (2 * math.pi) - math.pi) / math.radians(3.0)
        total += mass * np.exp(-0.5 * (square[None] + turn[:, None, None] ** 2)) / sigma_m**2
    total += 1e-6 if not modes else 1e-4 * total.max()
    probability = (total / total.sum()).astype(np.float32)
    return HeatMap(probability, point, cell_m, yaw)


class Driving:
    """Feeds a tracker with a drive along `path(t) -> (east, north, yaw)`; `see` makes each frame's modes."""

    def __init__(
        self,
        localizer,
        path,
        *,
        rate_hz=4.0,
        fix_hz=1.0,
        sigma_m=5.0,
        odometry=True,
        offset=(0.0, 0.0),
        max_speed_mps=40.0,
    ):
        self.tracked, self.path = localizer, path
        self.rate_hz, self.fix_hz, self.sigma_m, self.odometry = rate_hz, fix_hz, sigma_m, odometry
        self.offset = lambda second: offset
        self.has_fix = lambda second: True
        self.buffer = SensorBuffer(SensorBufferConfig(max_speed_mps=max_speed_mps))
        self.second = 0.0
        self._fed = 0.0
        self.poses, self.states, self.told = [], [], []

    def pose(self, second):
        return np.array(self.path(second), float)

    def drive(self, seconds):
        """Go on for so long; collects the poses, states and transitions of each frame."""
        end = self.second + seconds
        while self.second < end - 1e-9:
            self.second += 1.0 / self.rate_hz
            self._feed(self.second)
            self._frame(self.second)
        return self

    def stamp(self, second):
        return START_NS + round(second * 1e9)

    def _feed(self, until):
        step = 0.05
        while self._fed <= until - step / 2:
            here, there = self.pose(self._fed), self.pose(self._fed + step)
            stamp = self.stamp(self._fed)
            self.buffer.add_attitude(AttitudeReading(stamp, 0.0, 0.0, float(here[2]), math.radians(5.0)))
            if self.odometry:
                speed = float((there - here)[:2] @ (math.cos(here[2]), math.sin(here[2]))) / step
                self.buffer.add_motion(MotionReading(stamp, speed, float(there[2] - here[2]) / step))
            if abs(self._fed * self.fix_hz - round(self._fed * self.fix_hz)) < 1e-6 and self.has_fix(self._fed):
                error = self.offset(self._fed)
                latitude, longitude = FRAME.to_geodetic(here[0] + error[0], here[1] + error[1])
                self.buffer.add_fix(FixReading(stamp, float(latitude), float(longitude), self.sigma_m))
            self._fed += step

    def _frame(self, second):
        stamp = self.stamp(second)
        try:
            prior = self.buffer.at(stamp, self.tracked.expected(stamp, self.buffer))
        except Exception:
            self.tracked.missed(stamp, self.buffer, "no prior")
            return self._note(second, None)
        self.tracked.localizer.truth = self.pose(second)
        image = Image(stamp)
        _, tracked = self.tracked.locate(image, prior, self.buffer)
        return self._note(second, tracked)

    def _note(self, second, tracked):
        self.poses.append((second, tracked))
        self.states.append(self.tracked.tracker.state)
        self.told += self.tracked.tracker.transitions()

    def errors(self, since=0.0):
        """Position errors in metres of the poses after a time."""
        return np.array(
            [error_of(pose, self.pose(second))[0] for second, pose in self.poses if pose and second > since]
        )

    def nees(self, since=0.0):
        """Normalised squared errors of the poses after a time."""
        return np.array(
            [error_of(pose, self.pose(second))[1] for second, pose in self.poses if pose and second > since]
        )


class Image:
    """All that the tracked localizer reads of an image."""

    def __init__(self, stamp_ns):
        self.stamp_ns = stamp_ns


class Painter:
    """A localizer that paints its heat map: `modes(truth)` lists (east, north, yaw, sigma_m, mass)."""

    def __init__(self, modes=None, *, noise_m=0.1, seed=0):
        self.rng = np.random.default_rng(seed)
        self.noise_m = noise_m
        self.modes = modes or self.one
        self.truth = np.zeros(3)
        self.priors = []

    def one(self, truth):
        off = self.rng.normal(0.0, self.noise_m, 2)
        return [(truth[0] + off[0], truth[1] + off[1], truth[2], 0.6, 1.0)]

    def locate(self, image, prior: Prior):
        self.priors.append(prior)
        center = np.array(FRAME.to_enu(prior.latitude, prior.longitude))
        heatmap = heatmap_of(self.modes(self.truth), np.round(center / 8.0) * 8.0, prior.yaw_enu_rad)
        tile = MapTile(np.full((64, 64, 3), 90, np.uint8), np.ones((64, 64), bool), heatmap.center, 0.5, "painted")
        return estimate(heatmap, tile, image.stamp_ns, EstimateConfig())


def error_of(tracked, truth):
    """Position error in metres and the normalised squared error of a tracked pose."""
    pose = planar_pose(tracked, FRAME)
    off = np.array([pose.east_m, pose.north_m, pose.yaw_rad]) - truth
    off[2] = (off[2] + math.pi) % (2 * math.pi) - math.pi
    return float(np.hypot(*off[:2])), float(off @ np.linalg.solve(pose.covariance, off))


def straight(speed_mps=8.0, yaw_rad=0.4):
    """A path along a line through the origin."""
    return lambda t: (speed_mps * t * math.cos(yaw_rad), speed_mps * t * math.sin(yaw_rad), yaw_rad)


def circle(radius_m=60.0, speed_mps=8.0):
    """A path around a circle, counter-clockwise."""
    return lambda t: (
        radius_m * math.cos(speed_mps * t / radius_m),
        radius_m * math.sin(speed_mps * t / radius_m),
        speed_mps * t / radius_m + math.pi / 2,
    )


def geo(pose, covariance=None):
    """A pose (east, north, yaw) of ORIGIN's plane on earth."""
    P = np.eye(3) if covariance is None else covariance
    return geo_pose(PlanarPose(float(pose[0]), float(pose[1]), float(pose[2]), P), FRAME)


def prior_at(pose, sigma_m=5.0, sigma_yaw_deg=5.0, fix_ns=None):
    """What a sensor buffer would say at a pose, with a fix of that stamp or none."""
    at = geo(pose)
    prior = Prior(at.latitude, at.longitude, sigma_m, at.yaw_enu_rad, math.radians(sigma_yaw_deg))
    fix = None if fix_ns is None else FixReading(fix_ns, at.latitude, at.longitude, sigma_m)
    return FramePrior(prior, 0.0, 0.0, fix, 0.0 if fix else math.inf, None)
