# SPDX-License-Identifier: Apache-2.0
"""Is the adapted network better? Decided on the held-out part of a drive, without ground truth.

Only odometry can promote. GNSS cannot: a network that merely learned to answer with the GNSS position that it was
taught with would agree with it best. GNSS, the share of localized frames, entropy and the shift against the old
answers can each veto.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from geodistill_core.types import Array
from geodistill_training.adapt.evidence import Answer, HeldFrame, links, measures, residuals_m, true_errors

_DRAWS = 4000
_BOOTSTRAP_SEED = 20
old_answer = attrgetter("old")
new_answer = attrgetter("new")


@dataclass(frozen=True, slots=True)
class Rule:
    """Limits of the decision; intervals are 95 % of a paired bootstrap over runs of `run_frames` frames.

    At least `least_runs` runs must be there. The mean disagreement with odometry must fall by `least_gain` of itself,
    and surely. Not allowed are: a sure rise of the distance to the GNSS; answers that lie `most_shift_m` beside the
    old ones at the median (east or north, forward or left), which neither odometry nor GNSS could judge; a share of
    localized frames lower by `most_lost`; an entropy higher by `most_entropy_nats`; a temperature that must grow by
    `most_inflation` before the answers are as consistent with odometry as the old ones were.
    """

    run_frames: int = 5
    least_runs: int = 8
    least_gain: float = 0.03
    most_shift_m: float = 0.5
    most_lost: float = 0.02
    most_entropy_nats: float = 1.0
    most_inflation: float = 2.0


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the decision: what was found, what would have been needed."""

    name: str
    found: float
    needed: str
    met: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, line by line, and the figures of both networks."""

    criteria: tuple[Criterion, ...]
    old: dict[str, Any]
    new: dict[str, Any]
    changes: dict[str, Any]
    truth_not_used: dict[str, Any] | None

    @property
    def promoted(self) -> bool:
        """Whether every criterion is met."""
        return all(criterion.met for criterion in self.criteria)

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {"promoted": self.promoted, **asdict(self)}


def judge(frames: Sequence[HeldFrame], inflation: float = 1.0, rule: Rule | None = None) -> Verdict:
    """Compare two networks on held-out frames; `inflation` is what the new one's temperature grew by."""
    rule = rule or Rule()
    odometry, gnss = _odometry_change(frames, rule.run_frames), _gnss_change(frames, rule.run_frames)
    old, new = measures(frames, old_answer), measures(frames, new_answer)
    criteria = (
        _at_least("held-out runs of frames", odometry.runs, rule.least_runs),
        _at_least("gain in agreement with odometry", -odometry.share, rule.least_gain),
        Criterion("upper bound of change against odometry, m", odometry.high, "below 0", odometry.high < 0),
        _at_most("lower bound of change against GNSS, m", gnss.low, 0.0),
        _at_most("shift against the old answers, m", _shift_m(frames), rule.most_shift_m),
        _at_most("lost share of localized frames", old["localized_share"] - new["localized_share"], rule.most_lost),
        _at_most("rise of entropy, nats", _entropy_change(frames), rule.most_entropy_nats),
        _at_most("temperature had to grow by", inflation, rule.most_inflation),
    )
    truths = {"old": true_errors(frames, old_answer), "new": true_errors(frames, new_answer)}
    changes = {"odometry_m": asdict(odometry), "gnss_m": asdict(gnss)}
    return Verdict(criteria, old, new, changes, truths if truths["old"] or truths["new"] else None)


def _at_most(name: str, found: float, limit: float) -> Criterion:
    return Criterion(name, found, f"at most {limit:g}", found <= limit)


def _at_least(name: str, found: float, limit: float) -> Criterion:
    return Criterion(name, found, f"at least {limit:g}", found >= limit)


@dataclass(frozen=True, slots=True)
class _Change:
    """Mean of new minus old, its 95 % interval and share of the old mean, over so many runs."""

    mean: float
    low: float
    high: float
    share: float
    runs: int


def _change(rows: Array, old: Array, new: Array, frames: Sequence[HeldFrame], length: int) -> _Change:
    """The change over the frames `rows` [n]; whole runs of frames are drawn anew for the interval."""
    if not len(rows):
        return _Change(math.nan, -math.inf, math.inf, math.nan, 0)
    runs, change = _runs(rows, frames, length), new - old
    total, size = np.bincount(runs, change), np.bincount(runs)
    drawn = np.random.default_rng(_BOOTSTRAP_SEED).integers(0, len(total), (_DRAWS, len(total)))
    low, high = np.quantile(total[drawn].sum(axis=1) / size[drawn].sum(axis=1), [0.025, 0.975])
    mean = float(change.mean())
    return _Change(mean, float(low), float(high), mean / max(float(old.mean()), 1e-9), len(total))


def _runs(rows: Array, frames: Sequence[HeldFrame], length: int) -> Array:
    """A run's number [n] for each of the frames `rows` [n]: up to `length` in a row of one block."""
    numbers, number, held, last = [], -1, length, -1
    for row in rows:
        block = frames[row].block
        if held == length or block != last:
            number, held = number + 1, 0
        numbers.append(number)
        held, last = held + 1, block
    return np.array(numbers, int)


def _odometry_change(frames: Sequence[HeldFrame], length: int) -> _Change:
    """Over links that both networks answered."""
    pairs = list(zip(links(frames, old_answer), links(frames, new_answer), strict=True))
    found = [(i, old.distance_m, new.distance_m) for i, (old, new) in enumerate(pairs) if old and new]
    rows, old_m, new_m = np.array(found, np.float64).reshape(-1, 3).T
    return _change(rows.astype(int), old_m, new_m, frames, length)


def _gnss_change(frames: Sequence[HeldFrame], length: int) -> _Change:
    """Over frames that both networks answered."""
    old_m, new_m = (np.linalg.norm(residuals_m(frames, which), axis=1) for which in (old_answer, new_answer))
    rows = np.flatnonzero(np.isfinite(old_m) & np.isfinite(new_m))
    return _change(rows, old_m[rows], new_m[rows], frames, length)


def _both(frames: Sequence[HeldFrame]) -> list[tuple[Answer, Answer]]:
    return [(frame.old, frame.new) for frame in frames if frame.old is not None and frame.new is not None]


def _shift_m(frames: Sequence[HeldFrame]) -> float:
    """The largest median offset of new from old answers along east, north, forward and left."""
    rows = []
    for old, new in _both(frames):
        east_m, north_m = new.east_m - old.east_m, new.north_m - old.north_m
        c, s = math.cos(old.yaw_enu_rad), math.sin(old.yaw_enu_rad)
        rows.append((east_m, north_m, c * east_m + s * north_m, c * north_m - s * east_m))
    return float(np.abs(np.median(rows, axis=0)).max()) if rows else math.inf


def _entropy_change(frames: Sequence[HeldFrame]) -> float:
    changes = [new.entropy_nats - old.entropy_nats for old, new in _both(frames)]
    return float(np.mean(changes)) if changes else math.inf
