# SPDX-License-Identifier: Apache-2.0
"""The camera's intrinsics as they arrive; a panorama needs none."""

from __future__ import annotations

from typing import Any

from geodistill_core.bags.messages import camera_from
from geodistill_core.errors import ConfigError
from geodistill_core.types import CameraModel
from geodistill_ros.conversions import FrameError
from geodistill_ros.counters import Counters

_NONE_YET = "no CameraInfo so far; remap `camera_info` to the topic beside the image"


class CameraState:
    """The newest CameraInfo, or why there is none."""

    def __init__(self, kind: str, counters: Counters) -> None:
        self._panorama = kind == "panorama"
        self._counters = counters
        self._model: CameraModel | None = None
        self._problem = ("no_camera_info", _NONE_YET)

    def on_camera_info(self, msg: Any) -> None:
        """Take a `CameraInfo`; an unusable one invalidates the camera until a good one arrives."""
        try:
            self._model = camera_from(msg)
        except ConfigError as error:
            self._counters.add("camera_info.rejected")
            self._model, self._problem = None, ("camera_info", str(error))

    def size(self) -> str:
        """Width x height of the newest usable CameraInfo; empty where there is none."""
        return "" if self._model is None else f"{self._model.width} x {self._model.height}"

    def trouble(self) -> str:
        """Why the newest CameraInfo cannot be used; empty where it can, or where none came."""
        reason, text = self._problem
        return text if self._model is None and reason == "camera_info" else ""

    def model(self) -> CameraModel | None:
        """The camera model, None for a panorama; raises FrameError where a pinhole's is not known."""
        model = self._model
        if model is None and not self._panorama:
            raise FrameError(*self._problem)
        return model
