# SPDX-License-Identifier: Apache-2.0
"""Stamps that fit nowhere are found, however many there are, and order within a second is none of their business."""

from hypothesis import given
from hypothesis import strategies as st

from geodistill_core.bags.stamps import halts, wild_stamps

S = 1_000_000_000
ONE_HZ = [k * S for k in range(100, 140)]


def test_a_single_stamp_of_1970_or_of_next_year_is_wild():
    for place, stamp in ((0, 10**18), (20, 5), (20, 10**18), (39, 5)):
        stamps = [*ONE_HZ[:place], stamp, *ONE_HZ[place:]]
        assert wild_stamps(stamps) == {place}


def test_of_two_clocks_the_one_with_fewer_messages_is_wild():
    ahead = [stamp + 3600 * S for stamp in ONE_HZ]
    assert wild_stamps([*ahead[:10], *ONE_HZ[10:]]) == set(range(10))
    assert wild_stamps([*ahead[:30], *ONE_HZ[30:]]) == set(range(30, 40))


def test_a_clock_that_was_set_once_harms_nothing():
    assert wild_stamps([*range(5), *ONE_HZ]) == frozenset()


@given(st.lists(st.integers(0, S), min_size=2, max_size=40))
def test_disorder_within_a_second_is_never_wild(delays):
    stamps = [k * S // 4 + delay for k, delay in enumerate(delays)]
    assert wild_stamps(stamps) == frozenset()


@given(
    st.lists(st.tuples(st.integers(0, 39), st.integers(-(10**18), 10**18)), max_size=8, unique_by=lambda hit: hit[0])
)
def test_the_rest_increases_but_for_a_second(hits):
    stamps = list(ONE_HZ)
    for index, stamp in hits:
        stamps[index] = stamp
    tame = [stamp for index, stamp in enumerate(stamps) if index not in wild_stamps(stamps)]
    assert all(max(tame[: k + 1]) - stamp <= 2 * S for k, stamp in enumerate(tame))
    assert len(tame) >= len(stamps) - len(hits)


def test_halts_are_told_by_the_usual_period():
    ten_hz = [k * S // 10 for k in range(50)]
    assert halts(ten_hz) == halts([]) == halts([5]) == []
    assert halts([*ten_hz, 30 * S]) == [(ten_hz[-1], 30 * S)]
    slow = [k * 10 * S for k in range(5)]
    assert halts(slow) == [] and halts([*slow, 100 * S]) == [(40 * S, 100 * S)]
