# SPDX-License-Identifier: Apache-2.0
"""Data sets to recordings: several files at a time, resumed where an earlier run was stopped.

A recording is complete when its sidecar exists. The bytes depend on the plan alone: not on the number of jobs, nor on
how often a run was stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from geodistill_core.bags.datasets.drive import BagOptions, DatasetDrive, DatasetPlan
from geodistill_core.bags.datasets.map import place_tiles
from geodistill_core.bags.datasets.parts import NOTES_FOLDER, Part, PartNote, parts_of
from geodistill_core.bags.manifest import (
    DatasetOrigin,
    DriveManifest,
    load_manifest,
    save_manifest,
    sidecar_path,
)
from geodistill_core.bags.storage.rosbag2_metadata import write_metadata
from geodistill_core.errors import BagError, ConfigError, DatasetError

MAPS_FOLDER = "maps"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class DatasetBag:
    """A finished recording: a rosbag2 folder, the map it needs and its sidecar."""

    bag: Path
    map: Path
    sidecar: Path
    manifest: DriveManifest


def write_dataset_bags(
    plan: DatasetPlan, folder: Path, options: BagOptions, step: Callable[..., None] = lambda count=1: None
) -> list[DatasetBag]:
    """Write `NAME/` (rosbag2), `NAME.json` and `maps/` into `folder`; `step(count)` counts samples.

    Recordings that are complete stay as they are, others go on where they were stopped. A drive none of whose
    samples can be read becomes no recording and is left out of the answer.

    Raises:
        ConfigError: the folder holds recordings that were made otherwise.
        DatasetError: no sample of the whole plan can be read.
    """
    conversions = [_Conversion(plan, drive, folder, options) for drive in plan.drives]
    for conversion in conversions:
        conversion.claim()
    stop = Event()
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            maps = {tiles.name: place_tiles(folder / MAPS_FOLDER / tiles.name, tiles, pool.map) for tiles in plan.maps}
            writing = [
                (conversion, [pool.submit(part.write, stop, step) for part in conversion.parts()])
                for conversion in conversions
            ]
            finished = [conversion.finish([f.result() for f in notes], maps) for conversion, notes in writing]
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    made = [bag for bag in finished if bag is not None]
    if not made:
        advice = f"see what `geodistill data check {plan.dataset}` says"
        raise DatasetError(f"no sample of {plan.dataset}, {plan.split}, can be read; {advice}")
    return made


class _Conversion:
    """One drive on its way to a recording."""

    def __init__(self, plan: DatasetPlan, drive: DatasetDrive, folder: Path, options: BagOptions) -> None:
        self._plan, self._drive, self._options = plan, drive, options
        self._bag = folder / drive.name
        self._map = folder / MAPS_FOLDER / drive.map_name
        self._made = load_manifest(self._bag) if self._bag.exists() else None

    def _identity(self) -> str:
        """What decides about the recording's bytes, as a hash."""
        decisive = {
            "format": _FORMAT,
            "dataset": self._plan.dataset,
            "split": self._plan.split,
            "noise": repr(self._plan.noise),
            "lists": dict(self._plan.lists),
            "settings": dict(self._plan.settings),
            "drive": [self._drive.name, len(self._drive.samples)],
            "storage": [self._options.storage, self._options.chunk_bytes, self._options.raw_images],
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def claim(self) -> None:
        """Make the recording's folder ours; raises ConfigError where it belongs to another conversion."""
        notes, identity = self._bag / NOTES_FOLDER, self._identity()
        claim = notes / "options"
        if self._made is not None:
            found = self._made.dataset.options if self._made.dataset else None
        elif claim.exists():
            found = claim.read_text(encoding="utf-8")
        else:
            found = None if self._bag.exists() else identity
        if found != identity:
            raise ConfigError(
                f"{self._bag} was made with other options or of other lists; choose another folder, or remove it "
                f"with {sidecar_path(self._bag).name}"
            )
        if self._made is not None:
            shutil.rmtree(notes, ignore_errors=True)
        else:
            try:
                notes.mkdir(parents=True, exist_ok=True)
                claim.write_text(identity, encoding="utf-8")
            except OSError as error:
                raise BagError(f"cannot write {self._bag}: {error.strerror}; choose another folder") from error
            for left in self._bag.glob(".*.partial"):
                left.unlink()

    def parts(self) -> Sequence[Part]:
        """The files still to be written; none where the recording is complete."""
        return [] if self._made is not None else parts_of(self._drive, self._bag, self._options)

    def finish(self, notes: list[PartNote], maps: dict[str, str]) -> DatasetBag | None:
        """Describe the recording, unless no sample could be read."""
        if self._made is None:
            held = [note for note in notes if note.frames]
            if held:
                write_metadata(self._bag, [note.file_facts() for note in held])
                self._made = self._manifest(notes, maps)
                save_manifest(self._bag, self._made)
            shutil.rmtree(self._bag / NOTES_FOLDER if held else self._bag)
        if self._made is None:
            return None
        return DatasetBag(self._bag, self._map, sidecar_path(self._bag), self._made)

    def _manifest(self, notes: list[PartNote], maps: dict[str, str]) -> DriveManifest:
        plan, drive = self._plan, self._drive
        sigma_m = plan.noise.gnss_sigma_m
        origin = DatasetOrigin(
            dataset=plan.dataset,
            split=plan.split,
            area=drive.name,
            seed=plan.noise.seed,
            gnss="split" if sigma_m is None else "gaussian",
            gnss_sigma_m=sigma_m,
            heading_range_deg=plan.noise.heading_range_deg,
            clock=drive.without_root(drive.clock),
            samples=len(drive.samples),
            frames=sum(note.frames for note in notes),
            tiles=next(len(tiles.tiles) for tiles in plan.maps if tiles.name == drive.map_name),
            skipped={key: why for note in notes for key, why in note.skipped.items()},
            lists=dict(plan.lists),
            options=self._identity(),
        )
        relative = f"{MAPS_FOLDER}/{drive.map_name}"
        hashes = {f"{drive.name}/{note.name}": note.sha256 for note in notes if note.sha256}
        return DriveManifest(
            T_base_camera=tuple(tuple(row) for row in drive.T_base_camera.tolist()),
            dataset=origin,
            topics={topic: name for note in notes for topic, name in note.types.items()},
            map=relative,
            sha256=hashes | {relative: maps[drive.map_name]},
        )
