# SPDX-License-Identifier: Apache-2.0
"""A recorded drive as a localizer sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from geodistill_core.bags.events import DriveEvent, by_stamp, recorded_events
from geodistill_core.bags.frames import DriveFrame, FrameAssembler, ReaderOptions
from geodistill_core.bags.manifest import DriveManifest, load_manifest
from geodistill_core.bags.source import BagSource, open_bag
from geodistill_core.bags.topics import StreamKind, resolve_topics
from geodistill_core.errors import BagError
from geodistill_core.types import Array, forward_optical_mount, level_mount

__all__ = ["DriveEvent", "DriveFrame", "DriveReader", "ReaderOptions", "read_drive"]


class DriveReader:
    """A drive on disk; `frames()` and `events()` read it anew each time they are called."""

    def __init__(self, source: BagSource, manifest: DriveManifest | None, options: ReaderOptions) -> None:
        self.source, self.manifest, self.options = source, manifest, options
        self.topics = resolve_topics(
            {topic: info.msgtype for topic, info in source.topics.items() if info.messages}, options.topics
        )
        if StreamKind.TRUTH_POSE in self.topics and StreamKind.TRUTH_DATUM not in self.topics:
            raise BagError(f"{self.topics[StreamKind.TRUTH_POSE]} lacks its datum, a NavSatFix on /ground_truth/datum")
        self.dropped_readings: dict[str, int] = {}

    @property
    def path(self) -> Path:
        """Where the drive lies."""
        return self.source.path

    @property
    def image_count(self) -> int:
        """Recorded images."""
        return self.source.topics[self.topics[StreamKind.IMAGE]].messages

    @property
    def pinhole(self) -> bool:
        """Whether the camera is a pinhole camera (it has a CameraInfo) and not a panorama."""
        return StreamKind.CAMERA_INFO in self.topics

    def mount(self) -> Array:
        """`T_base_camera`; raises BagError where neither options nor sidecar state it."""
        if self.options.T_base_camera is not None:
            return self.options.T_base_camera
        if self.options.mount is not None:
            return self.options.mount.matrix(optical=self.pinhole)
        if self.options.camera_height_m is not None:
            build = forward_optical_mount if self.pinhole else level_mount
            return build(self.options.camera_height_m)
        if self.manifest is not None:
            return self.manifest.mount
        raise BagError(
            f"{self.path} does not say where the camera sits; give the camera height, or write T_base_camera "
            f"to {self.path.with_suffix('.json').name} beside it"
        )

    def events(self) -> Iterator[DriveEvent]:
        """All messages of the drive's streams by header stamp."""
        return by_stamp(recorded_events(self.source, self.topics))

    def frames(self) -> Iterator[DriveFrame]:
        """Every recorded image, in stamp order, with its prior or with the reason why it has none.

        Sensor readings up to an image's stamp have been seen when its prior is formed, later ones have not: a
        live node in step with its sensors gives the same priors. `dropped_readings` counts refused readings
        afterwards.
        """
        assembler = FrameAssembler(self.options, self.mount(), self.pinhole)
        for event in by_stamp(assembler.note_truth(recorded_events(self.source, self.topics))):
            if event.kind is StreamKind.IMAGE:
                yield assembler.frame(event)
            else:
                assembler.ingest(event)
        self.dropped_readings = assembler.dropped()


def read_drive(path: Path | str, options: ReaderOptions | None = None) -> DriveReader:
    """Open a drive (.mcap, rosbag2 folder); raises BagError for what is missing, naming what is there."""
    source = open_bag(path)
    return DriveReader(source, load_manifest(source.path), options or ReaderOptions())
