# SPDX-License-Identifier: Apache-2.0
"""Frames of a drive as training examples, on disk as rendered cities are, and where a localizer puts them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np

from geodistill_core.bags.reader import DriveFrame, DriveReader
from geodistill_core.errors import BagError
from geodistill_core.evaluation.replay import locate_frame
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization import Localizer
from geodistill_core.types import Array, Estimate
from geodistill_training.adapt.predictions import Predictions
from geodistill_training.data.examples import Example, prepare
from geodistill_training.data.synth_pairs import CachedPairs

_STAMPS = "stamp_ns"
_PLACES = "place_m"
_ALWAYS = ("tile", "valid", "metres_per_pixel", "pixels", "visible", "mount", "yaw_enu_rad")


class BagPairs(CachedPairs):
    """Frames that the teacher could localize, each with the tile that it was matched with; `stamps_ns` [N]."""

    def __init__(self, folder: Path) -> None:
        super().__init__([folder])
        self.stamps_ns: Array = np.load(folder / f"{_STAMPS}.npy")

    def keys(self) -> list[str]:
        """The key of every example."""
        return [f"{self.names[0]}/{row}" for row in range(len(self))]


def located(
    reader: DriveReader, localizer: Localizer, stamps_ns: Collection[int]
) -> Iterator[tuple[DriveFrame, Estimate | str]]:
    """The frames with these stamps and what the localizer says of each, or why it says nothing."""
    wanted = set(stamps_ns)
    for frame in reader.frames():
        if frame.stamp_ns in wanted:
            yield frame, locate_frame(frame, localizer)


def pose_on_tile(estimate: Estimate) -> tuple[float, float, float, float]:
    """Metres east and north of the tile's centre, yaw, and the mass around the mode."""
    east_m, north_m = LocalFrame(estimate.tile.center).to_enu(estimate.latitude, estimate.longitude)
    return float(east_m), float(north_m), estimate.yaw_enu_rad, estimate.modes[0].mass


def write_bag_pairs(
    reader: DriveReader,
    localizer: Localizer,
    stamps_ns: Collection[int],
    folder: Path,
    step: Callable[..., None] = lambda: None,
) -> Predictions:
    """Write the examples of these frames to `folder` in one step, and return where the localizer puts them.

    Raises:
        BagError: none of the frames could be localized.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    columns: dict[str, Array] = {}
    rows: list[tuple[str, float, float, float, float]] = []
    frame_m: LocalFrame | None = None
    for frame, found in located(reader, localizer, stamps_ns):
        step()
        if isinstance(found, str) or frame.image is None or frame.frame_prior is None:
            continue
        prior, row = frame.frame_prior.prior, len(rows)
        frame_m = frame_m or LocalFrame(prior.point)
        key = f"{folder.name}/{row}"
        example = prepare(localizer.network, frame.image, found.tile, prior.yaw_enu_rad, None, key)
        place = np.array(frame_m.to_enu(prior.latitude, prior.longitude), np.float32)
        stamp = np.array(frame.stamp_ns, np.int64)
        values = {**_columns(example), _STAMPS: stamp, _PLACES: place}
        for name, value in values.items():
            if name not in columns:
                shape = (len(stamps_ns), *value.shape)
                columns[name] = np.lib.format.open_memmap(partial / f"{name}.npy", "w+", value.dtype, shape)
            columns[name][row] = value
        rows.append((key, *pose_on_tile(found)))
    if not rows:
        raise BagError(f"none of {len(stamps_ns)} frames of {reader.path} could be localized; check map and prior")
    _finish(columns, len(rows), partial)
    os.replace(partial, folder)
    return Predictions.of(rows)


def _columns(example: Example) -> dict[str, Array]:
    values = {name: np.asarray(getattr(example, name)) for name in _ALWAYS}
    values["metres_per_pixel"] = values["metres_per_pixel"].astype(np.float32)
    values["yaw_enu_rad"] = values["yaw_enu_rad"].astype(np.float32)
    if example.intrinsics is not None:
        values["intrinsics"] = example.intrinsics
    return values


def _finish(columns: dict[str, Array], count: int, folder: Path) -> None:
    """Cut off the rows of frames that could not be localized."""
    for name, values in columns.items():
        path = folder / f"{name}.npy"
        if len(values) > count:
            np.save(folder / f"{name}.cut.npy", values[:count])
            os.replace(folder / f"{name}.cut.npy", path)


def predict_drive(
    reader: DriveReader, localizer: Localizer, pairs: BagPairs, step: Callable[..., None] = lambda: None
) -> Predictions:
    """Where another localizer puts the frames of `pairs`.

    Raises:
        BagError: it cannot localize one that the teacher could.
    """
    rows = []
    for key, (frame, found) in zip(pairs.keys(), located(reader, localizer, pairs.stamps_ns.tolist()), strict=True):
        if isinstance(found, str):
            raise BagError(f"frame {frame.stamp_ns} could be localized before, and now not: {found}")
        rows.append((key, *pose_on_tile(found)))
        step()
    return Predictions.of(rows)
