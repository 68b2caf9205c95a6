# SPDX-License-Identifier: Apache-2.0
"""States change at once for the worse, after a dwell time for the better, and each change is told once."""

from geodistill_core.tracking.states import StateMachine, TrackState

SECOND = 1_000_000_000


def machine(state=TrackState.ACQUIRING):
    made = StateMachine(1.0)
    made.enter(state, "begin", 0)
    made.transitions()
    return made


def test_tracking_is_entered_only_once_it_has_been_due_for_the_dwell_time():
    states = machine()
    for at, state in ((0.0, TrackState.ACQUIRING), (0.9, TrackState.ACQUIRING), (1.0, TrackState.TRACKING)):
        states.propose(TrackState.TRACKING, "all agree", round(at * SECOND))
        assert states.state is state


def test_a_break_starts_the_dwell_time_anew():
    states = machine(TrackState.DEGRADED)
    states.propose(TrackState.TRACKING, "all agree", 0)
    states.propose(TrackState.DEGRADED, "no image", SECOND // 2)
    states.propose(TrackState.TRACKING, "all agree", SECOND)
    states.propose(TrackState.TRACKING, "all agree", 2 * SECOND - 1)
    assert states.state is TrackState.DEGRADED
    states.propose(TrackState.TRACKING, "all agree", 2 * SECOND)
    assert states.state is TrackState.TRACKING


def test_worse_states_come_at_once():
    states = machine(TrackState.TRACKING)
    states.propose(TrackState.DEGRADED, "no GNSS fix for 2.1 s", 5)
    assert (states.state, states.cause, states.since_ns) == (TrackState.DEGRADED, "no GNSS fix for 2.1 s", 5)


def test_each_transition_is_told_once_with_its_cause():
    states = machine()
    states.enter(TrackState.LOST, "uncertain", 7)
    states.enter(TrackState.LOST, "uncertain still", 8)
    (told,) = states.transitions()
    assert (told.stamp_ns, told.before, told.after, told.cause) == (
        7,
        TrackState.ACQUIRING,
        TrackState.LOST,
        "uncertain",
    )
    assert states.transitions() == []
