# SPDX-License-Identifier: Apache-2.0
"""The files of one recording: each is written whole, once, and what went into it is noted beside it until all are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from pydantic import BaseModel, ConfigDict, ValidationError

from geodistill_core.bags.datasets.drive import BagOptions, DatasetDrive, DatasetFrame, DatasetSample
from geodistill_core.bags.drive_topics import LATCHED, DriveTopics
from geodistill_core.bags.manifest import sha256_of
from geodistill_core.bags.storage.containers import SUFFIXES
from geodistill_core.bags.storage.rosbag2_metadata import FileFacts
from geodistill_core.bags.writer import BagWriter, topic_facts
from geodistill_core.errors import DatasetError
from geodistill_core.localization.readings import AttitudeReading

PART_SAMPLES = 256
NOTES_FOLDER = ".conversion"


class PartNote(BaseModel):
    """What one file of a recording holds; `sha256` is empty where no sample could be read and there is no file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    start_ns: int
    end_ns: int
    types: dict[str, str]
    counts: dict[str, int]
    frames: int
    skipped: dict[str, str]
    sha256: str

    def file_facts(self) -> FileFacts:
        """For metadata.yaml."""
        topics = tuple(topic_facts(topic, name, latched=topic in LATCHED) for topic, name in self.types.items())
        return FileFacts(self.name, self.start_ns, self.end_ns, topics, self.counts)


class Stopped(Exception):  # noqa: N818 - control flow, not an error
    """Another part has failed, or the user has interrupted."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file to be."""

    drive: DatasetDrive
    number: int
    folder: Path
    options: BagOptions
    samples: Sequence[DatasetSample]

    @property
    def path(self) -> Path:
        """`NAME/NAME_0.mcap`, as rosbag2 names them."""
        return self.folder / f"{self.drive.name}_{self.number}{SUFFIXES[self.options.storage]}"

    def write(self, stop: Event, step: Callable[..., None]) -> PartNote:
        """Write the file, unless an earlier run did; `step(count)` counts samples.

        Raises:
            Stopped: `stop` was set; nothing is left of the file.
        """
        note_path = self.folder / NOTES_FOLDER / f"{self.number}.json"
        if (found := _read_note(note_path, self.path)) is not None:
            step(len(self.samples))
            return found
        skipped: dict[str, str] = {}
        with BagWriter(self.path, chunk_bytes=self.options.chunk_bytes) as writer:
            topics = DriveTopics(writer, self.drive.T_base_camera, self.drive.datum)
            for sample in self.samples:
                if stop.is_set():
                    raise Stopped
                try:
                    frame = sample.read(self.options.raw_images)
                except DatasetError as error:
                    skipped[sample.key] = self.drive.without_root(error)
                else:
                    _record(topics, sample, frame)
                step()
            facts = writer.facts()
        frames = len(self.samples) - len(skipped)
        if not frames:
            self.path.unlink()
        note = PartNote(
            name=self.path.name, start_ns=facts.start_ns, end_ns=facts.end_ns, types=topics.topics,
            counts=dict(facts.counts), frames=frames, skipped=skipped, sha256=sha256_of(self.path) if frames else "",
        )  # fmt: skip
        partial = note_path.with_suffix(".partial")
        partial.write_text(note.model_dump_json(), encoding="utf-8")
        partial.replace(note_path)
        return note


def parts_of(drive: DatasetDrive, folder: Path, options: BagOptions) -> list[Part]:
    """The files that a drive is divided into; `folder` is the recording's."""
    starts = range(0, len(drive.samples), PART_SAMPLES)
    return [
        Part(drive, number, folder, options, drive.samples[start : start + PART_SAMPLES])
        for number, start in enumerate(starts)
    ]


def _record(topics: DriveTopics, sample: DatasetSample, frame: DatasetFrame) -> None:
    """Sensors before the image of the same stamp."""
    stamp_ns, case = sample.stamp_ns, frame.case
    prior = case.prior
    topics.truth(stamp_ns, case.truth)
    topics.fix(stamp_ns, prior.point, prior.sigma_m)
    attitude = AttitudeReading(stamp_ns, case.roll_rad, case.pitch_rad, prior.yaw_enu_rad, prior.sigma_yaw_rad)
    topics.attitude(attitude, rates_radps=frame.rates_radps, accelerations_mps2=frame.accelerations_mps2)
    if frame.motion is not None:
        topics.motion(frame.motion)
    topics.sample(stamp_ns, sample.key)
    topics.image(stamp_ns, frame.picture, frame.camera)


def _read_note(note: Path, part: Path) -> PartNote | None:
    """What an earlier run noted, if it finished this part."""
    try:
        found = PartNote.model_validate_json(note.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
    return found if part.exists() or not found.sha256 else None
