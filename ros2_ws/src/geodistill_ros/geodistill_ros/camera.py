# SPDX-License-Identifier: Apache-2.0
"""The camera's intrinsics as they arrive; a panorama needs none."""

from __future__ import annotations

from typing import Any

from geodistill_core.types import CameraModel
from geodistill_ros.conversions import ReadingError, camera_of
from geodistill_ros.counters import Counters


class CameraState:
    """The newest CameraInfo, or why there is none."""

    def __init__(self, kind: str, counters: Counters) -> None:
        self._panorama = kind == "panorama"
        self._counters = counters
        self._model: CameraModel | ReadingError = ReadingError(
            "no_camera_info", "no CameraInfo so far; remap `camera_info` to the topic beside the image"
        )

    def on_camera_info(self, msg: Any) -> None:
        """Take a `CameraInfo`; an unusable one invalidates the camera until a good one arrives."""
        try:
            self._model = camera_of(msg)
        except ReadingError as error:
            self._counters.add(f"camera_info.rejected.{error.reason}")
            self._model = ReadingError("camera_info", str(error))

    def model(self) -> CameraModel | None:
        """The camera model, None for a panorama; raises ReadingError where a pinhole's is not known."""
        if self._panorama:
            return None
        if isinstance(self._model, ReadingError):
            raise ReadingError(self._model.reason, str(self._model))
        return self._model
