# SPDX-License-Identifier: Apache-2.0
"""`~/save_debug`: the last frames with all that was known about them, written at once, within a bounded space."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from geodistill_core.localization.readings import FramePrior
from geodistill_core.printable import printable
from geodistill_ros.counters import Counters
from geodistill_ros.tracking import Answer

FRAMES = 5


class DebugFrames:
    """Keeps the last frames; a disk that is full or gone ends the keeping, and nothing else."""

    def __init__(self, folder: str, counters: Counters) -> None:
        self._folder = Path(folder) if folder else None
        self._counters = counters
        self._frames: deque[tuple[int, Any, FramePrior, Answer]] = deque(maxlen=FRAMES)
        self.failure = ""

    def keep(self, message: Any, prior: FramePrior, answer: Answer) -> None:
        """Remember an answered image message."""
        if self._folder is not None and not self.failure:
            self._frames.append((answer.estimate.stamp_ns, message, prior, answer))

    def save(self, max_bytes: float, facts: dict[str, str]) -> tuple[bool, str]:
        """Write what is kept to a folder of its own; whether that is done, and a sentence."""
        frames = list(self._frames)
        if self._folder is None:
            return False, "parameter debug_dir is empty; set it to a folder before `configure`"
        if self.failure:
            return False, self.failure
        if not frames:
            return False, "no image has been answered yet"
        name = f"frames-{frames[-1][0]}"
        partial, done = self._folder / f".{name}.partial", self._folder / name
        try:
            self._write(partial, frames, facts)
            shutil.rmtree(done, ignore_errors=True)
            partial.replace(done)
            self._make_room(max_bytes, done)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            self._frames.clear()
            self._counters.add("debug.failed")
            self.failure = f"saving frames is switched off: {error.strerror or error} ({self._folder})"
            return False, self.failure
        self._counters.add("debug.saved")
        return True, f"{len(frames)} frames in {done}"

    @staticmethod
    def _write(folder: Path, frames: list[tuple[int, Any, FramePrior, Answer]], facts: dict[str, str]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "diagnostics.json").write_bytes(_json(facts))
        for stamp_ns, message, prior, answer in frames:
            for ending, data in _files(message, prior, answer):
                with (folder / f"{stamp_ns}{ending}").open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())

    def _make_room(self, max_bytes: float, newest: Path) -> None:
        """Remove the oldest folders that we have written, until the rest fits."""
        assert self._folder is not None
        saved = sorted(self._folder.glob("frames-*"), key=lambda path: int(path.name.partition("-")[2] or 0))
        sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in saved}
        for path in saved:
            if path != newest and sum(sizes.values()) > max_bytes:
                sizes.pop(path)
                shutil.rmtree(path)


def _files(message: Any, prior: FramePrior, answer: Answer) -> Iterator[tuple[str, bytes]]:
    """Endings and contents: the image as it came, the heat map, and everything else as JSON."""
    estimate, heatmap = answer.estimate, answer.estimate.heatmap
    yield (".image", bytes(message.data))
    packed = io.BytesIO()
    np.savez(
        packed,
        probability=heatmap.probability,
        yaw_enu_rad=heatmap.yaw_enu_rad,
        metres_per_cell=heatmap.metres_per_cell,
        center=(heatmap.center.latitude, heatmap.center.longitude),
        tile=estimate.tile.rgb,
    )
    yield ".npz", packed.getvalue()
    yield (
        ".json",
        _json(
            {
                "image": {
                    name: getattr(message, name)
                    for name in ("format", "encoding", "width", "height", "step")
                    if hasattr(message, name)
                }
                | {"frame_id": printable(message.header.frame_id)},
                "prior": asdict(prior),
                "estimate": {
                    "latitude": estimate.latitude,
                    "longitude": estimate.longitude,
                    "yaw_enu_rad": estimate.yaw_enu_rad,
                    "covariance": estimate.covariance.tolist(),
                    "status": estimate.status.value,
                    "modes": [asdict(mode) for mode in estimate.modes],
                },
                "tracked": None if answer.tracked is None else asdict(answer.tracked),
            }
        ),
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, default=lambda array: np.asarray(array).tolist()).encode()
