# SPDX-License-Identifier: Apache-2.0
"""A recorded drive through localizer and tracker, as the node with the tracked output has it."""

from __future__ import annotations

from dataclasses import replace

from geodistill_core.bags.reader import DriveFrame
from geodistill_core.evaluation.attempt import attempted
from geodistill_core.localization import Localizer
from geodistill_core.localization.sensor_buffer import SensorBuffer
from geodistill_core.tracking.pose import TrackedPose
from geodistill_core.tracking.states import CLAIMING
from geodistill_core.tracking.tracked import TrackedLocalizer
from geodistill_core.tracking.tracker import Tracker
from geodistill_core.types import Estimate, Prior

NO_TRACK = "no_track"


class TrackedFrames:
    """The track of one drive, fed frame by frame; the localizer's `prior` is "flat"."""

    def __init__(self, localizer: Localizer) -> None:
        self._tracked = TrackedLocalizer(localizer, Tracker(calibration=localizer.manifest.tracking))

    def expecting(self, stamp_ns: int, sensors: SensorBuffer) -> Prior | None:
        """What stands in for GNSS at a stamp."""
        return self._tracked.expected(stamp_ns, sensors)

    def locate(self, frame: DriveFrame) -> tuple[Estimate | str, TrackedPose | None]:
        """The image's heat map with the track's pose in place of its own, or the reason why there is none."""
        assert frame.sensors is not None
        if frame.image is None or frame.frame_prior is None:
            return self._missed(frame, str(frame.dropped)), None
        image, prior, sensors = frame.image, frame.frame_prior, frame.sensors
        claimed: TrackedPose | None = None

        def locate() -> Estimate:
            nonlocal claimed
            estimate, claimed = self._tracked.locate(image, prior, sensors)
            return estimate

        found = attempted(locate)
        if isinstance(found, str):
            return self._missed(frame, found), None
        if claimed is None or claimed.state not in CLAIMING:
            return NO_TRACK, None
        pose = {name: getattr(claimed, name) for name in ("latitude", "longitude", "yaw_enu_rad", "covariance")}
        return replace(found, **pose), claimed

    def _missed(self, frame: DriveFrame, reason: str) -> str:
        if frame.stamp_ns > self._tracked.last_ns and frame.sensors is not None:
            self._tracked.missed(frame.stamp_ns, frame.sensors, reason)
        return reason
