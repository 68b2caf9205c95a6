# SPDX-License-Identifier: Apache-2.0
"""A recorded drive as a localizer sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from geodistill_core.bags.definitions import is_standard
from geodistill_core.bags.events import DriveEvent, by_stamp, recorded_events
from geodistill_core.bags.frames import DriveFrame, Expecting, FrameAssembler, ReaderOptions
from geodistill_core.bags.manifest import DriveManifest, load_manifest
from geodistill_core.bags.messages import AttitudeReject, attitude_from
from geodistill_core.bags.source import BagSource, open_bag
from geodistill_core.bags.static_frames import static_mount
from geodistill_core.bags.survey import DriveSurvey, survey_drive
from geodistill_core.bags.topics import StreamKind, describe, resolve_topics
from geodistill_core.bags.truth.source import TRUTH_KINDS, TruthMessages, TruthOptions
from geodistill_core.errors import BagError
from geodistill_core.localization.readings import HeadingSource
from geodistill_core.types import Array, forward_optical_mount, level_mount

__all__ = ["DriveEvent", "DriveFrame", "DriveReader", "ReaderOptions", "TruthOptions", "read_drive"]

_ATTITUDES_LOOKED_AT = 50


class DriveReader:
    """A drive on disk; `frames()` and `events()` read it anew each time they are called."""

    def __init__(self, source: BagSource, manifest: DriveManifest | None, options: ReaderOptions) -> None:
        self.source, self.manifest, self.options = source, manifest, options
        self._types = {topic: info.msgtype for topic, info in source.topics.items() if info.messages}
        chosen = {**(options.topics or {}), **options.truth.chosen(self._types)}
        self.topics = resolve_topics(self._types, chosen)
        self._truth_messages()  # a truth that lacks its datum is refused at once
        self.dropped_readings: dict[str, int] = {}

    @property
    def path(self) -> Path:
        """Where the drive lies."""
        return self.source.path

    @property
    def truth_file(self) -> Path | None:
        """The trajectory file that the truth comes from, None where it is a topic or nothing."""
        return self.options.truth.file(self._types)

    @property
    def image_count(self) -> int:
        """Recorded images."""
        return self.source.topics[self.topics[StreamKind.IMAGE]].messages

    @property
    def pinhole(self) -> bool:
        """Whether the camera is a pinhole camera (it has a CameraInfo) and not a panorama."""
        return StreamKind.CAMERA_INFO in self.topics

    @cached_property
    def survey(self) -> DriveSurvey:
        """Clocks, order and halts of the streams, and the truth: one pass over the recording, when first asked for."""
        return survey_drive(self.source, self.topics, self._truth_messages())

    @cached_property
    def heading_source(self) -> HeadingSource:
        """Where the heading comes from: as the options say, but the course where no message holds an attitude."""
        topic = self.topics.get(StreamKind.ATTITUDE)
        if topic is not None:
            for raw in islice(self.source.messages([topic]), _ATTITUDES_LOOKED_AT):
                if not isinstance(attitude_from(self.source.decode(raw)), AttitudeReject):
                    return self.options.buffer.heading_source
        return HeadingSource.COURSE

    @cached_property
    def static_mount(self) -> tuple[Array, str] | None:
        """`T_base_camera` by the drive's /tf_static, and how it was found there."""
        return static_mount(self.source, self.topics[StreamKind.IMAGE], self.pinhole)

    def mount(self) -> Array:
        """`T_base_camera`; raises BagError where neither options nor sidecar nor /tf_static state it."""
        if self.options.T_base_camera is not None:
            return self.options.T_base_camera
        if self.options.mount is not None:
            return self.options.mount.matrix(optical=self.pinhole)
        if self.options.camera_height_m is not None:
            build = forward_optical_mount if self.pinhole else level_mount
            return build(self.options.camera_height_m)
        if self.manifest is not None:
            return self.manifest.mount
        if self.static_mount is not None:
            return self.static_mount[0]
        raise BagError(
            f"{self.path} does not say where the camera sits: it has no /tf_static from base_link to the camera; give "
            f"the camera height, or write T_base_camera to {self.path.with_suffix('.json').name} beside it"
        )

    def events(self) -> Iterator[DriveEvent]:
        """All messages of the drive's streams by header stamp."""
        return by_stamp(recorded_events(self.source, self.topics, self.survey.wild))

    def frames(self, expecting: Expecting = lambda stamp_ns, sensors: None) -> Iterator[DriveFrame]:
        """Every recorded image, in stamp order, with its prior or with the reason why it has none.

        Sensor readings up to an image's stamp have been seen when its prior is formed, later ones have not: a
        live node in step with its sensors gives the same priors. `expecting` stands in where no usable fix is.
        `dropped_readings` counts refused readings afterwards.
        """
        topics = {kind: topic for kind, topic in self.topics.items() if kind not in TRUTH_KINDS}
        assembler = FrameAssembler(
            self.options, self.mount(), self.pinhole, self.heading_source, self.survey.truth, expecting
        )
        for event in by_stamp(recorded_events(self.source, topics, self.survey.wild)):
            if event.kind is StreamKind.IMAGE:
                yield assembler.frame(event)
            else:
                assembler.ingest(event)
        self.dropped_readings = assembler.dropped()

    def check_truth(self) -> None:
        """Raise BagError where the drive has a truth and no image falls into it."""
        truth, images = self.survey.truth, self.survey.image_stamps_ns
        if truth is None or any(map(truth.covers, images)):
            return
        options = self.options.truth
        apart_s = (truth.stamps[0] - images[0]) * 1e-9
        raise BagError(
            f"found no image of {self.path.name} within the truth {truth.name}, with a max. gap of "
            f"{options.max_gap_s:g} s and a time offset of {options.offset_s:g} s: {_span(images)} images, "
            f"{_span(truth.stamps)} truths. If its clock is another, try --truth-offset-s "
            f"{options.offset_s - apart_s:.3f}; if it comes more rarely, raise --truth-gap-s"
        )

    def remarks(self) -> list[str]:
        """What is odd about this recording, a line each: damage, clocks, halts, what was assumed."""
        said = [] if self.source.salvage is None else self.source.salvage.lines()
        said += [self.source.remark] if self.source.remark else []
        foreign = {topic: msgtype for topic, msgtype in self._types.items() if not is_standard(msgtype)}
        if foreign:
            said.append(f"ignored, of message types that are not known here: {describe(foreign)}")
        if self.heading_source is not self.options.buffer.heading_source:
            said.append("no attitude is recorded; the heading is the course over ground of the GNSS fixes")
        stated = (self.options.T_base_camera, self.options.mount, self.options.camera_height_m, self.manifest)
        if all(value is None for value in stated) and self.static_mount is not None:
            said.append(f"camera mount from {self.static_mount[1]}")
        return said + self.survey.remarks()

    def account(self) -> dict[str, Any]:
        """What reports say of the recording: `remarks`, its `streams`, and `salvaged` where that was asked for."""
        said: dict[str, Any] = {
            "remarks": self.remarks(),
            "streams": {str(kind): stream.to_json() for kind, stream in self.survey.streams.items()},
        }
        if self.source.salvage is not None:
            said["salvaged"] = self.source.salvage.to_json()
        return said

    def _truth_messages(self) -> TruthMessages:
        return TruthMessages(self.topics, self._types, self.options.truth)


def _span(stamps: Sequence[int]) -> str:
    return f"from {stamps[0] * 1e-9:.3f} to {stamps[-1] * 1e-9:.3f} {len(stamps)}"


def read_drive(path: Path | str, options: ReaderOptions | None = None) -> DriveReader:
    """Open a drive (.mcap, rosbag2 folder); raises BagError for what is missing, naming what is there."""
    options = options or ReaderOptions()
    source = open_bag(path, salvage=options.salvage)
    return DriveReader(source, load_manifest(source.path), options)
