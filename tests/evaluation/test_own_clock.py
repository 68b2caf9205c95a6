# SPDX-License-Identifier: Apache-2.0
"""The benches' clock: waiting for a processor does not advance it, and nothing turns it back."""

from geodistill_core.evaluation.bench import clock


def test_waiting_for_a_processor_does_not_count(monkeypatch):
    monkeypatch.setattr(clock, "_queued_ns", lambda: 4_000_000_000)
    monkeypatch.setattr(clock.time, "perf_counter", lambda: 10.0)
    assert clock.own_time_s() == 6.0


def test_an_interruption_between_the_two_readings_does_not_turn_the_clock_back(monkeypatch):
    queued_ns, now_s = iter([0, 5_000_000_000, 5_000_000_000]), iter([10.0, 15.0])
    monkeypatch.setattr(clock, "_queued_ns", lambda: next(queued_ns))
    monkeypatch.setattr(clock.time, "perf_counter", lambda: next(now_s))
    assert clock.own_time_s() == 10.0
