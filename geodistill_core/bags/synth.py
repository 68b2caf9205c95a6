# SPDX-License-Identifier: Apache-2.0
"""A simulated drive on disk: the recording, the map of the streets it leads through, and the sidecar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geodistill_core.bags.drive_topics import LATCHED
from geodistill_core.bags.manifest import DriveManifest, SynthOrigin, save_manifest, sha256_of
from geodistill_core.bags.storage.containers import CHUNK_BYTES, SUFFIXES, Storage
from geodistill_core.bags.synth_messages import drive_messages, drive_topics
from geodistill_core.bags.synth_pictures import DrivePictures
from geodistill_core.bags.writer import BagWriter
from geodistill_core.datasets.synthcity import PANORAMA_RIG, WORLD_VERSION, CameraRig, Level, render_overhead
from geodistill_core.datasets.synthcity.bake import RESOLUTION_M
from geodistill_core.datasets.synthcity.drive import Drive, simulate_drive
from geodistill_core.datasets.synthcity.pairs import ATTRIBUTION
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps import RasterSource, write_mbtiles
from geodistill_core.types import Array

MAP_MARGIN_M = 60.0
FINEST_MAP_M = 0.12

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
    storage: Storage = "mcap",
    chunk_bytes: int = CHUNK_BYTES,
    jobs: int = 1,
    progress: Progress | None = None,
) -> SynthDrive:
    """Simulate a drive and write `drive.mcap`, `drive.mbtiles` and `drive.json` into the folder `path`.

    A `path` that ends in .mcap or .db3 names the recording itself; `storage` "sqlite3" writes `drive.db3`.
    `jobs` pictures are rendered at a time; what was rendered when a run was stopped is not rendered again.
    `progress(done, total)` counts images and, as the last step, the map. The same arguments give the same recording,
    byte by byte, whatever `jobs`.
    """
    path = Path(path)
    bag = path if path.suffix in SUFFIXES.values() else path / f"drive{SUFFIXES[storage]}"
    drive = simulate_drive(style, seed, level, frames, frame_rate_hz, rig=rig, route=route, size_m=size_m)
    origin = SynthOrigin(
        world_version=WORLD_VERSION, style=style, seed=seed, route=route, level=drive.level.name,
        size_m=drive.city.size_m, frames=frames, frame_rate_hz=frame_rate_hz, rig=rig.kind,
    )  # fmt: skip
    topics, pictures = drive_topics(drive, raw_images), DrivePictures(drive, bag, origin, raw_images, jobs)

    def report(done: int) -> None:
        if progress is not None:
            progress(done, frames + 1)

    with BagWriter(bag, chunk_bytes=chunk_bytes) as writer:
        for topic, msgtype in topics.items():
            writer.add_topic(topic, msgtype, latched=topic in LATCHED)
        for stamp_ns, topic, message in drive_messages(drive, pictures, raw_images, report):
            writer.write(topic, message, stamp_ns)
    map_path = bag.with_suffix(".mbtiles")
    write_drive_map(drive, map_path)
    report(frames + 1)
    manifest = DriveManifest(
        T_base_camera=tuple(tuple(row) for row in rig.mount.tolist()),
        synth=origin,
        topics=topics,
        map=map_path.name,
        sha256={file.name: sha256_of(file) for file in (bag, map_path)},
    )
    sidecar = save_manifest(bag, manifest)
    pictures.remove()
    return SynthDrive(bag, map_path, sidecar, manifest)


def write_drive_map(drive: Drive, path: Path) -> int:
    """The city from above, as it was before some things changed, 60 m round the route; returns the tiles
    written.

    The zoom is the finest that does not show less than 0.12 m per pixel: 0.12 to 0.24 m on the ground.
    """
    city = drive.city
    rgb, valid = render_overhead(city, 0.0, 0.0, city.size_m, RESOLUTION_M, drive.map_conditions, drive.level.change)
    source = RasterSource(rgb, city.datum, RESOLUTION_M, ATTRIBUTION, valid=valid)
    half = city.size_m / 2

    def span(track_m: Array) -> Array:
        return np.asarray(np.clip([track_m.min() - MAP_MARGIN_M, track_m.max() + MAP_MARGIN_M], -half, half))

    square = np.meshgrid(span(drive.trajectory.east_m), span(drive.trajectory.north_m))
    bounds = GeoBounds.enclosing(*LocalFrame(city.datum).to_geodetic(*square))
    zoom = 20 if mercator.metres_per_pixel(city.datum.latitude, 20) >= FINEST_MAP_M else 19
    return write_mbtiles(path, source, bounds, zoom, attribution=ATTRIBUTION, image_format="jpg")
