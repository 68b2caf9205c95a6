# SPDX-License-Identifier: Apache-2.0
"""Training and evaluation pairs: a ground image, the map tile round a wrong prior, and the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from geodistill_core.datasets.synthcity.city import City, build_city
from geodistill_core.datasets.synthcity.conditions import Conditions, draw_conditions
from geodistill_core.datasets.synthcity.ground import GroundPose, render_ground
from geodistill_core.datasets.synthcity.levels import LEVELS, WORLD_VERSION, Level
from geodistill_core.datasets.synthcity.overhead import render_overhead
from geodistill_core.datasets.synthcity.rigs import PANORAMA_RIG, CameraRig
from geodistill_core.datasets.synthcity.streams import stream
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import ConfigError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import Array, GroundImage, MapTile, Prior

ATTRIBUTION = "SynthCity (procedural)"


@dataclass(frozen=True, slots=True)
class Pair:
    """One sample. `pose` is the truth on the city's plane; `offset_m` and `yaw_error_rad` are prior minus
    truth."""

    ground: GroundImage
    tile: MapTile
    prior: Prior
    truth: Truth
    level: str
    style: str
    seed: int
    index: int
    pose: GroundPose
    offset_m: tuple[float, float]
    yaw_error_rad: float


def level_of(level: str | Level) -> Level:
    """A level by name; raises ConfigError for unknown ones."""
    if isinstance(level, Level):
        return level
    if level not in LEVELS:
        raise ConfigError(f"level {level!r} is unknown; choose one of {', '.join(LEVELS)}")
    return LEVELS[level]


def draw_position_error(level: Level, rng: np.random.Generator) -> Array:
    """Prior minus truth, metres east and north."""
    if level.uniform_position:
        return np.asarray(rng.uniform(-level.position_m, level.position_m, 2))
    error = rng.normal(0.0, level.position_m, 2)
    if rng.random() < level.canyon_probability:
        angle, size = rng.uniform(0, 2 * math.pi), rng.uniform(4.0, 12.0)
        error += size * np.array([math.cos(angle), math.sin(angle)])
    length = float(np.hypot(*error))
    return np.asarray(error * min(1.0, level.clip_m / max(length, 1e-9)))


def prior_sigma_m(level: Level) -> float:
    """The one-axis standard deviation that the prior of a level states."""
    return level.position_m / math.sqrt(3.0) if level.uniform_position else level.position_m


def draw_yaw_error(level: Level, rng: np.random.Generator) -> float:
    """Prior minus true yaw, radians."""
    if level.uniform_yaw_deg > 0:
        return math.radians(float(rng.uniform(-level.uniform_yaw_deg, level.uniform_yaw_deg)))
    return math.radians(float(rng.normal(0.0, level.sigma_yaw_deg)))


def map_tile(
    city: City, east_m: float, north_m: float, extent_m: float, metres_per_pixel: float,
    conditions: Conditions,
    change: float = 0.0, scale_error: float = 0.0,
) -> MapTile:  # fmt: skip
    """The overhead view as a MapTile; with `scale_error` its pixels are that much larger than it claims."""
    side = round(extent_m / metres_per_pixel)
    true_step = metres_per_pixel * (1.0 + scale_error)
    rgb, valid = render_overhead(city, east_m, north_m, side * true_step, true_step, conditions, change)
    key = (
        f"synthcity-{WORLD_VERSION}/{city.style.name}/{city.seed}/{city.size_m:g}/{east_m:.4f}/{north_m:.4f}/"
        f"{side}/{true_step:.6f}/{change:g}/{conditions.seed}"
    )
    return MapTile(rgb, valid, LocalFrame(city.datum).point(east_m, north_m), metres_per_pixel, key, ATTRIBUTION)


def _draw_pose(city: City, level: Level, rng: np.random.Generator, rig: CameraRig) -> GroundPose:
    east, north, yaw = city.lane_pose(rng)
    side = float(rng.normal(0.0, 0.25))
    tilt = math.radians(level.tilt_deg)
    return GroundPose(
        east - math.sin(yaw) * side, north + math.cos(yaw) * side, yaw + math.radians(float(rng.normal(0.0,
        2.0))),
        float(np.clip(rng.normal(0, tilt), -3 * tilt, 3 * tilt)), float(np.clip(rng.normal(0, tilt),
        -3 * tilt, 3 * tilt)),
        rig.height_m + float(rng.uniform(-level.height_m, level.height_m)),
    )  # fmt: skip


def _ground_image(
    city: City,
    pose: GroundPose,
    level: Level,
    rng: np.random.Generator,
    rig: CameraRig,
    conditions: Conditions,
) -> GroundImage:
    rgb = render_ground(city, pose, rig, conditions)
    error = np.radians(rng.normal(0.0, math.hypot(level.imu_deg, level.slope_deg), 2))
    roll, pitch = pose.roll_rad + float(error[0]), pose.pitch_rad + float(error[1])
    return GroundImage(rgb, 0, rig.mount, rig.camera, roll, pitch)


def sample_pair(
    style: str, seed: int, index: int, level: str | Level, *, tile_extent_m: float = 80.0,
    metres_per_pixel: float = 0.25, rig: CameraRig = PANORAMA_RIG, size_m: float = 320.0,
) -> Pair:  # fmt: skip
    """Pair number `index` of a city: deterministic in all arguments; the tile is centred at the prior's
    position.

    Raises ConfigError for unknown styles or levels and for seeds outside 0..2**31 - 1.
    """
    lv = level_of(level)
    city = build_city(style, seed, size_m)
    rng = stream(style, seed, "pair", index, lv.name)
    pose = _draw_pose(city, lv, rng, rig)
    error, yaw_error = draw_position_error(lv, rng), draw_yaw_error(lv, rng)
    overhead = draw_conditions(lv, rng, overhead=True)
    sun = None if lv.independent_sun else (overhead.sun_azimuth_rad, overhead.sun_elevation_rad)
    seen = draw_conditions(lv, rng, overhead=False, sun=sun)
    if rig.camera is not None:
        seen = replace(seen, fov_rad=2 * math.pi)
    east, north = pose.east_m + float(error[0]), pose.north_m + float(error[1])
    scale = float(rng.uniform(-lv.map_scale, lv.map_scale))
    tile = map_tile(city, east, north, tile_extent_m, metres_per_pixel, overhead, lv.change, scale)
    ground = _ground_image(city, pose, lv, rng, rig, seen)
    frame = LocalFrame(city.datum)
    here, there = frame.point(pose.east_m, pose.north_m), frame.point(east, north)
    prior = Prior(
        there.latitude,
        there.longitude,
        prior_sigma_m(lv),
        pose.yaw_enu_rad + yaw_error,
        math.radians(lv.sigma_yaw_deg),
    )
    truth = Truth(here.latitude, here.longitude, pose.yaw_enu_rad)
    return Pair(
        ground,
        tile,
        prior,
        truth,
        lv.name,
        style,
        seed,
        index,
        pose,
        (float(error[0]), float(error[1])),
        yaw_error,
    )
