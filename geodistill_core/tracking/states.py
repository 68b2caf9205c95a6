# SPDX-License-Identifier: Apache-2.0
"""How far a track may be trusted: states with hysteresis, each change told once with its cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class TrackState(str, Enum):
    """The states of the output; poses are published in all but WAITING_PRIOR, LOST and FAULT."""

    WAITING_PRIOR = "waiting_prior"
    ACQUIRING = "acquiring"
    TRACKING = "tracking"
    DEGRADED = "degraded"
    LOST = "lost"
    FAULT = "fault"

    def __str__(self) -> str:
        return self.value


FOLLOWING = (TrackState.TRACKING, TrackState.DEGRADED)


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state and why."""

    stamp_ns: int
    before: TrackState
    after: TrackState
    cause: str


class StateMachine:
    """The present state; a milder state is entered only once it has been due for `dwell_s` without a break."""

    def __init__(self, dwell_s: float) -> None:
        self.state = TrackState.WAITING_PRIOR
        self.cause = "no position so far"
        self.since_ns = 0
        self._dwell_ns = round(dwell_s * 1e9)
        self._due: tuple[TrackState, int] | None = None
        self._told: list[Transition] = []

    def propose(self, state: TrackState, cause: str, stamp_ns: int) -> None:
        """What the evidence at `stamp_ns` asks for: graver states come at once, TRACKING after the dwell time."""
        if state is self.state:
            self._due = None
        elif state is not TrackState.TRACKING:
            self.enter(state, cause, stamp_ns)
        elif self._due is None or self._due[0] is not state or stamp_ns < self._due[1]:
            self._due = (state, stamp_ns)
        elif stamp_ns - self._due[1] >= self._dwell_ns:
            self.enter(state, cause, stamp_ns)

    def enter(self, state: TrackState, cause: str, stamp_ns: int) -> None:
        """Change the state now, and remember that for `transitions`."""
        self._due = None
        if state is self.state:
            return
        self._told.append(Transition(stamp_ns, self.state, state, cause))
        self.state, self.cause, self.since_ns = state, cause, stamp_ns

    def transitions(self) -> list[Transition]:
        """The changes since this was last asked."""
        told, self._told = self._told, []
        return told
