# SPDX-License-Identifier: Apache-2.0
"""The camera's mounting as the drive shows it: reported, offered as a file, or used for the next images."""

from __future__ import annotations

from typing import Any

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.tracking.mount import MountCalibrator, mount_file
from geodistill_core.tracking.states import FOLLOWING
from geodistill_core.types import Array, GeoPoint, GroundImage
from geodistill_ros.counters import Counters
from geodistill_ros.mount import Mount
from geodistill_ros.parameters import NodeParameters
from geodistill_ros.tracking import Answer


class Mounting:
    """Stands between the stated mount and the images, and learns from the tracked ones (worker thread)."""

    def __init__(self, mount: Mount, settings: NodeParameters, source: Any, counters: Counters) -> None:
        self._mount, self._source, self._counters = mount, source, counters
        self._applies = settings.mount_calibration == "apply"
        learns = settings.mount_calibration != "off" and settings.output == "tracked"
        self._learns = learns and hasattr(source, "log_likelihoods")
        self._optical = settings.camera_kind == "pinhole"
        self._stated: Array | None = None
        self._calibrator: MountCalibrator | None = None
        self._last: GeoPoint | None = None

    def lookup(self, camera_frame: str) -> Array:
        """The stated mount, with what is known put right where that is asked for; raises MountUnavailableError."""
        self._stated = self._mount.lookup(camera_frame)
        if self._calibrator is None or not self._applies:
            return self._stated
        return self._calibrator.corrected(self._stated)

    def antenna(self, gnss_frame: str) -> tuple[float, float]:
        """See Mount."""
        return self._mount.antenna(gnss_frame)

    def learn(self, image: GroundImage, answer: Answer) -> None:
        """Learn from an image that was answered by a track."""
        pose = answer.tracked
        if not self._learns or pose is None or pose.state not in FOLLOWING or self._stated is None:
            self._last = None
            return
        if self._calibrator is None:
            self._calibrator = MountCalibrator(self._source, self._stated, optical=self._optical)
        here = GeoPoint(pose.latitude, pose.longitude)
        east_m, north_m = (0.0, 0.0) if self._last is None else LocalFrame(self._last).to_enu(*_degrees(here))
        self._last = here
        if self._calibrator.observe(image, answer.estimate, pose, float((east_m**2 + north_m**2) ** 0.5)):
            self._counters.add("mount.compared")

    def values(self) -> dict[str, str]:
        """Keys of the diagnostics."""
        calibrator = self._calibrator
        if calibrator is None:
            return {}
        return {f"mount.{name.removeprefix('mount_')}": text for name, text in calibrator.estimate().texts().items()}

    def trouble(self) -> str:
        """What of the stated mounting is wrong, with the remedy; empty where nothing is, or it is put right."""
        if self._calibrator is None or self._applies:
            return ""
        return "; ".join(self._calibrator.findings())

    def save(self, path: str) -> tuple[bool, str]:
        """Write what is known as a parameter file; whether that is done, and a sentence."""
        if not path:
            return False, "parameter mount_file is empty; set it to a file before `configure`"
        if self._calibrator is None:
            return False, "nothing is known of the mounting: mount_calibration is off, or nothing was tracked yet"
        try:
            return True, f"the mounting is in {mount_file(path, self._calibrator.estimate())}"
        except ConfigError as error:
            return False, str(error)

    def close(self) -> None:
        """Release the stated mount."""
        self._mount.close()


def _degrees(point: GeoPoint) -> tuple[float, float]:
    return point.latitude, point.longitude
