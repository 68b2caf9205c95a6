# SPDX-License-Identifier: Apache-2.0
"""The pictures of a simulated drive: rendered several at a time, and kept beside the recording until that is complete,
so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geodistill_core.bags import compose
from geodistill_core.bags.manifest import SynthOrigin
from geodistill_core.datasets.synthcity.drive import Drive, DriveImage
from geodistill_core.errors import BagError, ConfigError
from geodistill_core.types import Array


class DrivePictures:
    """Image messages of a drive whose recording is to be `bag`, in order, rendered by `jobs` threads.

    Raises:
        ConfigError: pictures of another drive are kept there.
        BagError: the folder cannot be written.
    """

    def __init__(self, drive: Drive, bag: Path, origin: SynthOrigin, raw: bool, jobs: int) -> None:
        self._drive, self._raw, self._jobs = drive, raw, jobs
        self._folder = bag.with_name(f".{bag.name}.pictures")
        note, identity = self._folder / "drive", hashlib.sha256(f"{origin.model_dump_json()}{raw}".encode()).hexdigest()
        if note.exists() and note.read_text(encoding="utf-8") != identity:
            raise ConfigError(
                f"{self._folder} holds pictures of another drive that was stopped; choose another folder, or remove it"
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            note.write_text(identity, encoding="utf-8")
        except OSError as error:
            raise BagError(f"cannot write {self._folder}: {error.strerror}; choose another folder") from error

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Stamp (ns) and message of each picture."""
        with ThreadPoolExecutor(self._jobs) as pool:
            waiting: deque[Future[tuple[int, Any]]] = deque()
            try:
                for index in range(len(self._drive.frame_seconds)):
                    waiting.append(pool.submit(self._message, index))
                    if len(waiting) > 2 * self._jobs:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def remove(self) -> None:
        """Remove what is kept, once the recording is complete."""
        shutil.rmtree(self._folder)

    def _message(self, index: int) -> tuple[int, Any]:
        stamp_ns = int(self._drive.frame_stamps_ns[index])
        kept = self._folder / f"{index:06d}.{'png' if self._raw else 'jpg'}"
        if not kept.exists():
            image = self._drive.image(index)
            partial = kept.with_suffix(".partial")
            partial.write_bytes(self._encoded(image))
            partial.replace(kept)
        if not self._raw:
            return stamp_ns, compose.encoded_image(stamp_ns, kept.read_bytes())
        return stamp_ns, compose.raw_image(stamp_ns, _pixels(kept))

    def _encoded(self, image: DriveImage) -> bytes:
        if not self._raw:
            return bytes(compose.compressed_image(image.stamp_ns, image.rgb).data)
        return cv2.imencode(".png", cv2.cvtColor(image.rgb, cv2.COLOR_RGB2BGR))[1].tobytes()


def _pixels(kept: Path) -> Array:
    bgr = cv2.imread(str(kept), cv2.IMREAD_COLOR)
    if bgr is None:
        raise BagError(f"{kept} is no whole PNG; remove it, and it is rendered again")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
