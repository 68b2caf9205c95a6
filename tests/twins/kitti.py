# SPDX-License-Identifier: Apache-2.0
"""A KITTI cross-view tree of a simulated world: one drive of known poses, recorded as KITTI records."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from geodistill_core.datasets.synthcity import (
    CameraRig,
    Conditions,
    GroundPose,
    build_city,
    map_tile,
    render_ground,
)
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import CameraModel, GeoPoint

TOWN = ("midtown", 600, 320.0)
DAY = "2011_09_26"
DRIVES = {"train": f"{DAY}_drive_0001_sync", "test1": f"{DAY}_drive_0001_sync", "test2": f"{DAY}_drive_0005_sync"}
K = np.array([[721.5377, 0.0, 609.5593], [0.0, 721.5377, 172.854], [0.0, 0.0, 1.0]])
RIG = CameraRig("pinhole", 1242, 375, 1.65, CameraModel(1242, 375, K))
CLEAR = Conditions(cars=False)
SATELLITE_M_PER_PX, SATELLITE_PX = 156543.03392 * math.cos(math.radians(49.015)) / 2**19, 1280
# From the inertial unit to the camera: metres forward and to the left.
LEVER_M = (1.08, -0.26)
SHARES = ((0.35, -0.62, 0.4), (-0.5, 0.45, -0.7))
DATUMS = {"train": GeoPoint(49.0, 8.4), "test1": GeoPoint(49.0, 8.4), "test2": GeoPoint(49.03, 8.4)}


@dataclass(frozen=True)
class Driven:
    """What was rendered: the camera on its city's plane."""

    part: str
    name: str
    east_m: float
    north_m: float
    yaw_enu_rad: float


def write_kitti_twin(root: Path, per_part: int = 2) -> list[Driven]:
    """`per_part` frames in each list; test2 lies 3 km from the others."""
    (root / "raw_data" / DAY).mkdir(parents=True)
    matrix = " ".join(f"{value:.6e}" for value in np.column_stack([K, np.zeros(3)]).ravel())
    (root / "raw_data" / DAY / "calib_cam_to_cam.txt").write_text(f"calib_time: 2012\nP_rect_02: {matrix}\n")
    driven = []
    for offset, part in enumerate(DRIVES):
        found = [_frame(root, part, offset * per_part + index) for index in range(per_part)]
        shares = [SHARES[index % len(SHARES)] for index in range(per_part)]
        tails = ["" if part == "train" else " {} {} {}".format(*share) for share in shares]
        lines = [f"{one.name}{tail}\n" for one, tail in zip(found, tails, strict=True)]
        (root / f"{part}_files.txt").write_text("".join(lines))
        driven += found
    return driven


def _frame(root: Path, part: str, number: int) -> Driven:
    city = build_city(*TOWN)
    rng = np.random.default_rng([600, number])
    east, north, yaw = city.lane_pose(rng)
    c, s = math.cos(yaw), math.sin(yaw)
    imu = east - (c * LEVER_M[0] - s * LEVER_M[1]), north - (s * LEVER_M[0] + c * LEVER_M[1])
    name = f"{DAY}/{DRIVES[part]}/{number:010d}.png"
    drive = root / "raw_data" / DAY / DRIVES[part]
    satellite = map_tile(city, *imu, SATELLITE_PX * SATELLITE_M_PER_PX, SATELLITE_M_PER_PX, CLEAR)
    _write(root / "satmap" / name, satellite.rgb)
    pose = GroundPose(east, north, yaw, height_m=RIG.height_m)
    _write(drive / "image_02" / "data" / f"{number:010d}.png", render_ground(city, pose, RIG, CLEAR))
    point = LocalFrame(DATUMS[part]).point(*imu)
    record = drive / "oxts" / "data" / f"{number:010d}.txt"
    record.parent.mkdir(parents=True, exist_ok=True)
    values = [f"{point.latitude:.12f}", f"{point.longitude:.12f}", "112.8", "0.0", "0.0", f"{yaw:.9f}", *["0.0"] * 24]
    record.write_text(" ".join(values) + "\n")
    return Driven(part, name, east, north, yaw)


def _write(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, compress_level=1)
