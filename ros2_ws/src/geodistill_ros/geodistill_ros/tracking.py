# SPDX-License-Identifier: Apache-2.0
"""From an image to what is answered: by a track over time, or each image by itself. Threads may call at any time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from geodistill_core.localization.readings import FramePrior
from geodistill_core.models.manifest import TrackCalibration
from geodistill_core.tracking.pose import TrackedPose
from geodistill_core.tracking.states import CLAIMING, FOLLOWING, TrackState, Transition
from geodistill_core.tracking.tracked import Locating, TrackedLocalizer
from geodistill_core.tracking.tracker import Tracker
from geodistill_core.types import Estimate, GroundImage, Prior
from geodistill_ros.conversions import FrameError
from geodistill_ros.counters import Counters
from geodistill_ros.sensors import SensorInputs

_GATED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """What an image says, the prior that it was looked for with, and what the track makes of it (None without one)."""

    estimate: Estimate
    prior: Prior
    tracked: TrackedPose | None = None


class Answering(Protocol):
    """How images are answered."""

    def expected(self, stamp_ns: int) -> Prior | None:
        """What stands in for GNSS at a stamp."""

    def answer(self, image: GroundImage, prior: FramePrior) -> Answer:
        """The answer to an image; raises GeodistillError where there is none."""

    def missed(self, stamp_ns: int, reason: str) -> None:
        """An image was dropped, or time went by without one."""


class Singly:
    """Each image by itself."""

    def __init__(self, localizer: Locating) -> None:
        self._localizer = localizer

    def expected(self, stamp_ns: int) -> Prior | None:
        """Nothing but GNSS counts."""
        return None

    def answer(self, image: GroundImage, prior: FramePrior) -> Answer:
        """See the protocol."""
        return Answer(self._localizer.locate(image, prior.prior), prior.prior)

    def missed(self, stamp_ns: int, reason: str) -> None:
        """The next image knows nothing of it."""


class Track:
    """The track of a session. `tell` hears of every change of state once, from whichever thread caused it."""

    def __init__(
        self,
        localizer: Locating,
        calibration: TrackCalibration | None,
        sensors: SensorInputs,
        counters: Counters,
        tell: Callable[[Transition], None],
    ) -> None:
        self.tracker = Tracker(calibration=calibration)
        self._sensors, self._counters, self._tell = sensors, counters, tell
        self._tracked = TrackedLocalizer(localizer, self.tracker)
        self._telling = threading.Lock()
        self._changed_s = time.monotonic()
        self._newest: TrackedPose | None = None
        self._fix_ns = 0

    @property
    def state(self) -> TrackState:
        """The state of the track."""
        return self.tracker.state

    @property
    def last_ns(self) -> int:
        """Up to which stamp the readings are used; 0 before the first."""
        return self._tracked.last_ns

    def expected(self, stamp_ns: int) -> Prior | None:
        """Where the track expects the vehicle."""
        return self._tracked.expected(stamp_ns, self._sensors.buffer)

    def answer(self, image: GroundImage, prior: FramePrior) -> Answer:
        """See the protocol; a FrameError where the track claims nothing."""
        estimate, tracked = self._tracked.locate(image, prior, self._sensors.buffer)
        self._newest = tracked
        self._count_gated(prior)
        self.report()
        if tracked is None or tracked.state not in CLAIMING:
            raise FrameError("no_track", f"the track is {self.state}: {self.tracker.cause}")
        return Answer(estimate, prior.prior, tracked)

    def missed(self, stamp_ns: int, reason: str) -> None:
        """Carry the track on without an image."""
        self._tracked.missed(stamp_ns, self._sensors.buffer, reason)
        self.report()

    def following(self, stamp_ns: int) -> TrackedPose | None:
        """The pose carried on to a stamp, None unless the track is TRACKING or DEGRADED."""
        if self.state not in FOLLOWING:
            return None
        return self._tracked.pose_at(stamp_ns, self._sensors.buffer)

    def reset(self, cause: str, stamp_ns: int) -> None:
        """Forget the track."""
        self._tracked.reset(cause, stamp_ns)
        self._newest = None
        self.report()

    def set_prior(self, prior: Prior, stamp_ns: int) -> None:
        """Begin anew around a pose."""
        self.tracker.set_prior(prior, stamp_ns)
        self._newest = None
        self.report()

    def fault(self, cause: str, stamp_ns: int) -> None:
        """The network does not answer; it recovers by itself with its next answer."""
        if self.state is not TrackState.FAULT:
            self.tracker.fault(cause, stamp_ns)
            self.report()

    def report(self) -> None:
        """Tell what has changed."""
        with self._telling:
            for transition in self.tracker.transitions():
                self._changed_s = time.monotonic()
                self._tell(transition)

    def values(self) -> dict[str, str]:
        """Keys of the diagnostics."""
        values = {
            "track.state": str(self.state),
            "track.cause": self.tracker.cause,
            "track.since_s": f"{time.monotonic() - self._changed_s:.1f}",
        }
        values |= {f"track.{name}": f"{value:.3f}" for name, value in self.tracker.facts().items()}
        newest = self._newest
        if newest is not None:
            values["track.suspect"] = newest.suspect
            values["track.protection_lateral_m"] = f"{newest.protection.lateral_m:.3f}"
            values["track.protection_longitudinal_m"] = f"{newest.protection.longitudinal_m:.3f}"
            values["track.degrees_of_freedom"] = f"{newest.degrees_of_freedom or math.inf:g}"
            values["track.protection_risk"] = f"{newest.protection.risk:g}"
        return values

    def trouble(self) -> tuple[str, str]:
        """What keeps the track from being trusted, and what it suspects; empty where nothing does."""
        state, newest = self.state, self._newest
        fine = state in (TrackState.TRACKING, TrackState.ACQUIRING, TrackState.WAITING_PRIOR)
        suspect = newest.suspect if newest is not None and state in CLAIMING else ""
        return "" if fine else f"track is {state}: {self.tracker.cause}", suspect

    def _count_gated(self, prior: FramePrior) -> None:
        if prior.fix is None or prior.fix.stamp_ns <= self._fix_ns:
            return
        self._fix_ns = prior.fix.stamp_ns
        if self.tracker.facts().get("gnss_share", 1.0) < _GATED_SHARE:
            self._counters.add("gnss.gated")
