# SPDX-License-Identifier: Apache-2.0
"""A drive through a city: true motion, what the sensors said, and the camera's images, rendered when asked
for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from geodistill_core.datasets.synthcity.city import City, build_city
from geodistill_core.datasets.synthcity.conditions import Conditions, draw_conditions
from geodistill_core.datasets.synthcity.ground import GroundPose, render_ground
from geodistill_core.datasets.synthcity.levels import Level
from geodistill_core.datasets.synthcity.measurements import (
    AttitudeTrack,
    GnssTrack,
    OdometryTrack,
    measure_attitude,
    measure_motion,
    measure_position,
    stamps_ns,
    ticks,
)
from geodistill_core.datasets.synthcity.pairs import level_of
from geodistill_core.datasets.synthcity.rigs import PANORAMA_RIG, CameraRig
from geodistill_core.datasets.synthcity.sensors import SUITES
from geodistill_core.datasets.synthcity.streams import stream
from geodistill_core.datasets.synthcity.trajectory import MAX_SPEED_MPS, Trajectory, drive_along
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import ConfigError
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import Array

TRUTH_HZ = 20.0
MAX_FRAMES = 20_000
# The receiver has a fix by then. The camera runs on its own clock: it exposes between the others' samples.
FIRST_FRAME_S = 1.037
_AFTER_LAST_FRAME_S = 0.3
_SIZES_M = (480.0, 640.0, 800.0, 1000.0)
# Clouds are placed by the seed modulo 997 and 1021; a step by their product changes cars and noise alone.
_SEED_STEP = 997 * 1021


@dataclass(frozen=True, slots=True)
class DriveImage:
    """One rendered camera frame and where it was taken."""

    index: int
    stamp_ns: int
    rgb: Array
    pose: GroundPose
    truth: Truth


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """A whole drive. `map_conditions` is the light under which the city's map was photographed."""

    city: City
    level: Level
    route: int
    rig: CameraRig
    frame_rate_hz: float
    conditions: Conditions
    map_conditions: Conditions
    camera_height_m: float
    trajectory: Trajectory
    frame_seconds: Array
    gnss: GnssTrack
    attitude: AttitudeTrack
    odometry: OdometryTrack

    @property
    def frame_stamps_ns(self) -> Array:
        """Exposure stamps [frames]."""
        return stamps_ns(self.frame_seconds)

    def truth_seconds(self) -> Array:
        """When the truth is recorded: 20 Hz and every exposure."""
        return np.union1d(ticks(self.trajectory, TRUTH_HZ), self.frame_seconds)

    def truth(self, second: float) -> Truth:
        """Where the base really was."""
        pose = self.trajectory.pose(second, self.camera_height_m)
        point = LocalFrame(self.city.datum).point(pose.east_m, pose.north_m)
        return Truth(point.latitude, point.longitude, wrap(pose.yaw_enu_rad))

    def image(self, index: int) -> DriveImage:
        """Render one image."""
        second = float(self.frame_seconds[index])
        pose = self.trajectory.pose(second, self.camera_height_m)
        seen = replace(self.conditions, seed=self.conditions.seed % _SEED_STEP + _SEED_STEP * (index % 2000))
        rgb = render_ground(self.city, pose, self.rig, seen)
        return DriveImage(index, int(self.frame_stamps_ns[index]), rgb, pose, self.truth(second))

    def frames(self) -> Iterator[DriveImage]:
        """Render the images one after the other."""
        return (self.image(index) for index in range(len(self.frame_seconds)))


def simulate_drive(
    style: str,
    seed: int,
    level: str | Level,
    frames: int,
    frame_rate_hz: float = 4.0,
    *,
    rig: CameraRig = PANORAMA_RIG,
    route: int = 0,
    size_m: float | None = None,
) -> Drive:
    """Drive number `route` through a city, deterministic in all arguments.

    Without `size_m` the city is as large as the route needs. Raises ConfigError for unknown styles and
    levels, for frames or rates out of range, and where no route of that length fits.
    """
    lv = level_of(level)
    if not 1 <= frames <= MAX_FRAMES or not 0.2 <= frame_rate_hz <= 60.0:
        raise ConfigError(
            f"{frames} frames at {frame_rate_hz} Hz; give 1..{MAX_FRAMES} frames and a rate of 0.2..60 Hz"
        )
    seconds = FIRST_FRAME_S + np.arange(frames) / frame_rate_hz
    duration_s = float(seconds[-1]) + _AFTER_LAST_FRAME_S
    city, line = _find_route(style, seed, route, MAX_SPEED_MPS * duration_s + 5.0, size_m)

    def rng(purpose: str) -> np.random.Generator:
        return stream(style, seed, "drive", route, lv.name, purpose)

    trajectory = drive_along(line, duration_s, lv, rng("motion"))
    overhead = draw_conditions(lv, rng("map light"), overhead=True)
    sun = None if lv.independent_sun else (overhead.sun_azimuth_rad, overhead.sun_elevation_rad)
    seen = draw_conditions(lv, rng("light"), overhead=False, sun=sun)
    if rig.camera is not None:
        seen = replace(seen, fov_rad=2 * math.pi)
    height_m = rig.height_m + float(rng("mount").uniform(-lv.height_m, lv.height_m))
    suite = SUITES[lv.name]
    return Drive(
        city, lv, route, rig, frame_rate_hz, seen, overhead, height_m, trajectory, seconds,
        measure_position(suite, rng("gnss"), trajectory, FIRST_FRAME_S),
        measure_attitude(suite, lv, rng("attitude"), trajectory),
        measure_motion(suite, rng("odometry"), trajectory),
    )  # fmt: skip


def _find_route(style: str, seed: int, route: int, length_m: float, size_m: float | None) -> tuple[City, Array]:
    for size in (size_m,) if size_m is not None else _SIZES_M:
        try:
            city = build_city(style, seed, size)
            return city, city.route(route, length_m)
        except ConfigError as error:
            if size in (size_m, _SIZES_M[-1]) or "route" not in str(error):
                raise
    raise AssertionError("unreachable: the last size returns or raises")
