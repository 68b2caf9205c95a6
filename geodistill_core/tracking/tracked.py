# SPDX-License-Identifier: Apache-2.0
"""Localizer and tracker together: the one path of the node, the replay and the benchmark."""

from __future__ import annotations

from typing import Protocol

from geodistill_core.localization.readings import FramePrior
from geodistill_core.tracking.motion import MotionSource
from geodistill_core.tracking.pose import TrackedPose
from geodistill_core.tracking.tracker import Tracker
from geodistill_core.types import Estimate, GroundImage, Prior


class Locating(Protocol):
    """A localizer with `prior="flat"`."""

    def locate(self, image: GroundImage, prior: Prior) -> Estimate:
        """The likelihood of an image around a prior; raises GeodistillError."""


class TrackedLocalizer:
    """Looks where the track expects the vehicle, and gives what it finds to the track."""

    def __init__(self, localizer: Locating, tracker: Tracker) -> None:
        self.localizer, self.tracker = localizer, tracker
        self.last_ns = 0

    def expected(self, stamp_ns: int, sensors: MotionSource) -> Prior | None:
        """What stands in for a fix at a stamp; None without a track."""
        return self.tracker.expected(stamp_ns, sensors.readings(self.last_ns, stamp_ns))

    def locate(
        self, image: GroundImage, frame_prior: FramePrior, sensors: MotionSource
    ) -> tuple[Estimate, TrackedPose | None]:
        """The likelihood of the image, and the pose of the track; raises what the localizer raises."""
        readings = sensors.readings(self.last_ns, image.stamp_ns)
        estimate = self.localizer.locate(image, self.tracker.search_prior(frame_prior, image.stamp_ns, readings))
        tracked = self.tracker.update(estimate, frame_prior, readings)
        self.last_ns = image.stamp_ns
        return estimate, tracked

    def missed(self, stamp_ns: int, sensors: MotionSource, reason: str = "") -> None:
        """An image gave no answer, or time went by."""
        self.tracker.missed(stamp_ns, sensors.readings(self.last_ns, stamp_ns), reason)
        self.last_ns = max(self.last_ns, stamp_ns)

    def pose_at(self, stamp_ns: int, sensors: MotionSource) -> TrackedPose | None:
        """The pose carried on to a time."""
        return self.tracker.pose_at(stamp_ns, sensors.readings(self.last_ns, stamp_ns))

    def reset(self, cause: str, stamp_ns: int) -> None:
        """Forget the track."""
        self.tracker.reset(cause, stamp_ns)
        self.last_ns = 0
