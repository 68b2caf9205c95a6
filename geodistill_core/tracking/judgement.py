# SPDX-License-Identifier: Apache-2.0
"""Which state the evidence asks for, and the sentence that says why."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.tracking.config import TrackerConfig
from geodistill_core.tracking.motion import Motion
from geodistill_core.tracking.states import FOLLOWING, StateMachine, TrackState
from geodistill_core.tracking.summary import Summary
from geodistill_core.types import Array


class Judge:
    """Remembers when each kind of evidence was last seen."""

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self.machine = StateMachine(config.dwell_s)
        self.image_ns = self.fix_ns = 0
        self.reason = ""
        self.contradicted = False
        self._agreed_ns = self._begun_ns = 0
        self._proof = 0.0

    def forget(self, cause: str, stamp_ns: int) -> None:
        """There is no track any more."""
        self.machine.enter(TrackState.WAITING_PRIOR, cause, stamp_ns)

    def begin(self, stamp_ns: int, fix_ns: int | None) -> None:
        """A new track begins with an image."""
        self.image_ns = self._agreed_ns = self._begun_ns = stamp_ns
        self.fix_ns = stamp_ns if fix_ns is None else fix_ns
        self.contradicted, self._proof, self.reason = False, 0.0, ""
        self.machine.enter(TrackState.ACQUIRING, "an image and a position are at hand", stamp_ns)

    def judge(
        self, stamp_ns: int, motion: Motion, summary: Summary, claimed: Array, suspect: str, *, jumped: bool
    ) -> None:
        """Propose the state for a summary, its claimed covariance [3, 3], and what the separations say."""
        config = self.config
        spread_m = math.sqrt(float(np.linalg.eigvalsh(claimed[:2, :2])[-1]))
        if not self.contradicted or stamp_ns < self._agreed_ns:
            self._agreed_ns = stamp_ns
        contradicted_s = (stamp_ns - self._agreed_ns) * 1e-9
        following = self.machine.state in FOLLOWING
        vague = self._vague(summary, claimed, spread_m)
        step = config.proof(motion.distance_m, motion.seconds)
        self._proof = max(0.0, self._proof - step) if vague else self._proof + step
        if spread_m > config.lost_m and (following or stamp_ns - self._begun_ns > config.max_gap_s * 1e9):
            self.machine.enter(
                TrackState.LOST, f"the position is uncertain by {spread_m:.1f} m, limit {config.lost_m:.1f} m", stamp_ns
            )
        elif contradicted_s > config.contradicted_s:
            self.machine.enter(TrackState.LOST, f"images speak against the track for {contradicted_s:.0f} s", stamp_ns)
        elif following:
            doubt = self._doubt(stamp_ns, vague, suspect, jumped=jumped)
            self.machine.propose(TrackState.DEGRADED if doubt else TrackState.TRACKING, doubt or "as before", stamp_ns)
        elif self._proof >= 1.0:
            self.machine.propose(TrackState.TRACKING, "images, odometry and GNSS agree on one place", stamp_ns)

    def _vague(self, summary: Summary, claimed: Array, spread_m: float) -> str:
        config = self.config
        if summary.mass < config.converged_mass:
            return f"several places explain the images; the best holds {100 * summary.mass:.0f} %"
        if spread_m > config.converged_m:
            return f"the position is uncertain by {spread_m:.1f} m, limit {config.converged_m:.1f} m"
        sigma_yaw = math.sqrt(float(claimed[2, 2]))
        if sigma_yaw > config.converged_yaw_rad:
            return f"the heading is uncertain by {math.degrees(sigma_yaw):.1f} degrees"
        return ""

    def _doubt(self, stamp_ns: int, vague: str, suspect: str, *, jumped: bool) -> str:
        image_s, fix_s = (stamp_ns - self.image_ns) * 1e-9, (stamp_ns - self.fix_ns) * 1e-9
        if image_s > self.config.image_silence_s:
            return f"no image was of use for {image_s:.1f} s" + (f": {self.reason}" if self.reason else "")
        if jumped:
            return "the pose moved further than a vehicle can"
        if suspect or vague:
            return suspect or vague
        return f"no GNSS fix for {fix_s:.1f} s" if fix_s > self.config.gnss_silence_s else ""
