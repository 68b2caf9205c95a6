# SPDX-License-Identifier: Apache-2.0
"""A simulated drive on disk: the recording, the map of the streets it leads through, and the sidecar."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geodistill_core.bags import compose
from geodistill_core.bags.manifest import DriveManifest, SynthOrigin, save_manifest, sha256_of
from geodistill_core.bags.topics import (
    CAMERA_INFO,
    DEFAULT_TOPICS,
    IMAGE_COMPRESSED,
    IMAGE_RAW,
    IMU,
    NAV_SAT_FIX,
    ODOMETRY,
    POSE_STAMPED,
    TRUTH_FIX_TOPIC,
    StreamKind,
)
from geodistill_core.bags.writer import BagWriter
from geodistill_core.datasets.synthcity import PANORAMA_RIG, WORLD_VERSION, CameraRig, Level, render_overhead
from geodistill_core.datasets.synthcity.bake import RESOLUTION_M
from geodistill_core.datasets.synthcity.drive import Drive, simulate_drive, stamps_ns
from geodistill_core.datasets.synthcity.pairs import ATTRIBUTION
from geodistill_core.geometry import mercator
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps import RasterSource, write_mbtiles
from geodistill_core.types import Array, GeoPoint

MAP_MARGIN_M = 60.0
FINEST_MAP_M = 0.12
TRUTH_SIGMA_M = 0.02

Message = tuple[int, str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SynthDrive:
    """The files of a simulated drive."""

    bag: Path
    map: Path
    sidecar: Path
    manifest: DriveManifest


def write_synth_drive(
    path: Path | str,
    style: str,
    seed: int,
    level: str | Level,
    frames: int,
    *,
    frame_rate_hz: float = 4.0,
    rig: CameraRig = PANORAMA_RIG,
    route: int = 0,
    size_m: float | None = None,
    raw_images: bool = False,
    progress: Progress | None = None,
) -> SynthDrive:
    """Simulate a drive and write `drive.mcap`, `drive.mbtiles` and `drive.json` into the folder `path`.

    A `path` that ends in .mcap names the recording itself. `progress(done, total)` counts images and, as the
    last step, the map. The same arguments give the same recording, byte by byte.
    """
    path = Path(path)
    bag = path if path.suffix == ".mcap" else path / "drive.mcap"
    drive = simulate_drive(style, seed, level, frames, frame_rate_hz, rig=rig, route=route, size_m=size_m)
    topics = _topics(drive, raw_images)

    def report(done: int) -> None:
        if progress is not None:
            progress(done, frames + 1)

    with BagWriter(bag) as writer:
        for topic, msgtype in topics.items():
            writer.add_topic(topic, msgtype, latched=topic == _default(StreamKind.TRUTH_DATUM))
        for stamp_ns, topic, message in _messages(drive, raw_images, report):
            writer.write(topic, message, stamp_ns)
    map_path = bag.with_suffix(".mbtiles")
    write_drive_map(drive, map_path)
    report(frames + 1)
    origin = SynthOrigin(
        world_version=WORLD_VERSION, style=style, seed=seed, route=route, level=drive.level.name,
        size_m=drive.city.size_m, frames=frames, frame_rate_hz=frame_rate_hz, rig=rig.kind,
    )  # fmt: skip
    manifest = DriveManifest(
        T_base_camera=tuple(tuple(row) for row in rig.mount.tolist()),
        synth=origin,
        topics=topics,
        map=map_path.name,
        sha256={file.name: sha256_of(file) for file in (bag, map_path)},
    )
    return SynthDrive(bag, map_path, save_manifest(bag, manifest), manifest)


def write_drive_map(drive: Drive, path: Path) -> int:
    """The city from above, as it was before some things changed, 60 m round the route; returns the tiles
    written.

    The zoom is the finest that does not show less than 0.12 m per pixel: 0.12 to 0.24 m on the ground.
    """
    city = drive.city
    rgb, valid = render_overhead(
        city, 0.0, 0.0, city.size_m, RESOLUTION_M, drive.map_conditions, drive.level.change
    )
    source = RasterSource(rgb, city.datum, RESOLUTION_M, ATTRIBUTION, valid=valid)
    half = city.size_m / 2

    def span(track_m: Array) -> Array:
        return np.asarray(np.clip([track_m.min() - MAP_MARGIN_M, track_m.max() + MAP_MARGIN_M], -half, half))

    square = np.meshgrid(span(drive.trajectory.east_m), span(drive.trajectory.north_m))
    bounds = GeoBounds.enclosing(*LocalFrame(city.datum).to_geodetic(*square))
    zoom = 20 if mercator.metres_per_pixel(city.datum.latitude, 20) >= FINEST_MAP_M else 19
    return write_mbtiles(path, source, bounds, zoom, attribution=ATTRIBUTION, image_format="jpg")


def _default(kind: StreamKind) -> str:
    return DEFAULT_TOPICS[kind][0]


def _topics(drive: Drive, raw_images: bool) -> dict[str, str]:
    image = (DEFAULT_TOPICS[StreamKind.IMAGE][1], IMAGE_RAW) if raw_images else None
    topics = dict([image or (_default(StreamKind.IMAGE), IMAGE_COMPRESSED)])
    if drive.rig.camera is not None:
        topics[_default(StreamKind.CAMERA_INFO)] = CAMERA_INFO
    return topics | {
        _default(StreamKind.FIX): NAV_SAT_FIX,
        _default(StreamKind.ATTITUDE): IMU,
        _default(StreamKind.MOTION): ODOMETRY,
        _default(StreamKind.TRUTH_POSE): POSE_STAMPED,
        _default(StreamKind.TRUTH_DATUM): NAV_SAT_FIX,
        TRUTH_FIX_TOPIC: NAV_SAT_FIX,
    }


def _messages(drive: Drive, raw_images: bool, report: Callable[[int], None]) -> Iterator[Message]:
    """All messages by stamp; sensors before the image of the same stamp."""
    streams = (_datum(drive), _truth(drive), _fixes(drive), _attitudes(drive), _motions(drive))
    return heapq.merge(*streams, _images(drive, raw_images, report), key=lambda message: message[0])


def _datum(drive: Drive) -> Iterator[Message]:
    stamp = int(drive.gnss.stamps_ns[0])
    message = compose.nav_sat_fix(stamp, drive.city.datum, TRUTH_SIGMA_M, "map")
    yield stamp, _default(StreamKind.TRUTH_DATUM), message


def _truth(drive: Drive) -> Iterator[Message]:
    frame = LocalFrame(drive.city.datum)
    for second in drive.truth_seconds():
        stamp, pose = int(stamps_ns(second)), drive.trajectory.pose(float(second), drive.camera_height_m)
        point = frame.point(pose.east_m, pose.north_m)
        message = compose.pose_stamped(stamp, pose.east_m, pose.north_m, wrap(pose.yaw_enu_rad))
        yield stamp, _default(StreamKind.TRUTH_POSE), message
        yield stamp, TRUTH_FIX_TOPIC, compose.nav_sat_fix(stamp, point, TRUTH_SIGMA_M, "base_link")


def _fixes(drive: Drive) -> Iterator[Message]:
    frame, track = LocalFrame(drive.city.datum), drive.gnss
    for stamp, east, north, available in zip(
        track.stamps_ns.tolist(), track.east_m, track.north_m, track.available, strict=True
    ):
        point: GeoPoint | None = frame.point(float(east), float(north)) if available else None
        yield stamp, _default(StreamKind.FIX), compose.nav_sat_fix(stamp, point, track.sigma_m)


def _attitudes(drive: Drive) -> Iterator[Message]:
    track = drive.attitude
    sigmas = (track.sigma_tilt_rad, track.sigma_tilt_rad, track.sigma_yaw_rad)
    columns = (track.roll_rad.tolist(), track.pitch_rad.tolist(), track.yaw_enu_rad.tolist())
    for stamp, roll, pitch, yaw in zip(track.stamps_ns.tolist(), *columns, strict=True):
        yield stamp, _default(StreamKind.ATTITUDE), compose.imu(stamp, (roll, pitch, yaw), sigmas)


def _motions(drive: Drive) -> Iterator[Message]:
    """Speed and yaw rate, and the pose in the frame odom that they add up to."""
    track = drive.odometry
    x = y = yaw = 0.0
    last_ns = int(track.stamps_ns[0])
    for stamp, speed, rate in zip(
        track.stamps_ns.tolist(), track.speed_mps.tolist(), track.yaw_rate_radps.tolist(), strict=True
    ):
        step_s = (stamp - last_ns) * 1e-9
        middle = yaw + 0.5 * rate * step_s
        x, y = x + speed * step_s * math.cos(middle), y + speed * step_s * math.sin(middle)
        yaw, last_ns = yaw + rate * step_s, stamp
        yield stamp, _default(StreamKind.MOTION), compose.odometry(stamp, (x, y, wrap(yaw)), speed, rate)


def _images(drive: Drive, raw: bool, report: Callable[[int], None]) -> Iterator[Message]:
    jpeg_topic, raw_topic = DEFAULT_TOPICS[StreamKind.IMAGE]
    for image in drive.frames():
        if drive.rig.camera is not None:
            info = compose.camera_info(image.stamp_ns, drive.rig.camera)
            yield image.stamp_ns, _default(StreamKind.CAMERA_INFO), info
        make, topic = (compose.raw_image, raw_topic) if raw else (compose.compressed_image, jpeg_topic)
        yield image.stamp_ns, topic, make(image.stamp_ns, image.rgb)
        report(image.index + 1)
