# SPDX-License-Identifier: Apache-2.0
"""A simulated drive's pictures as a recording holds them, kept on disk from one run to the next where asked."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from geodistill_core.datasets.synthcity.drive import Drive
from geodistill_core.errors import DatasetError
from geodistill_core.types import Array

_QUALITY = 95


class DrivePictures:
    """Rendered pictures, each through JPEG, so that a kept one and a fresh one are the same to the bit."""

    def __init__(self, drive: Drive, folder: Path | None) -> None:
        self._drive, self._folder = drive, folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def rgb(self, index: int) -> Array:
        """The picture, uint8 [H, W, 3]; raises DatasetError where a kept one is damaged."""
        if self._folder is None:
            return _decoded(self._rendered(index), "a fresh picture")
        kept = self._folder / f"{index:06d}.jpg"
        if not kept.exists():
            partial = kept.with_suffix(".partial")
            partial.write_bytes(self._rendered(index).tobytes())
            partial.replace(kept)
        return _decoded(np.fromfile(kept, np.uint8), str(kept))

    def _rendered(self, index: int) -> Array:
        bgr = cv2.cvtColor(self._drive.image(index).rgb, cv2.COLOR_RGB2BGR)
        return np.asarray(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])


def _decoded(data: Array, what: str) -> Array:
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise DatasetError(f"{what} is no whole JPEG; remove it, and it is rendered again")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
