# SPDX-License-Identifier: Apache-2.0
"""What the held-out part of a drive says about a network, without any ground truth.

The answers come from images alone, without GNSS in the posterior, so that GNSS can judge them. The strongest witness
is odometry: between two frames the vehicle moved as its wheels say, and answers that jump to another dash of the road
do not. Residuals to the GNSS show large errors only, since the GNSS itself is metres wrong. Entropy says how sure the
heat map is, not how right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.localization.dead_reckoning import Displacement
from geodistill_core.types import Array

LARGEST_M = 10.0
"""Disagreements with odometry count at most so much: one lost frame shall not decide."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A pose in a local frame of the drive, its covariance [3, 3], the heat map's entropy, and whether it is `ok`."""

    east_m: float
    north_m: float
    yaw_enu_rad: float
    covariance: Array
    entropy_nats: float
    ok: bool = True


@dataclass(frozen=True, slots=True)
class HeldFrame:
    """A held-out frame: the GNSS position in the same local frame with its sigma, and the answers of both networks.

    `since` is what odometry says of the way from the frame before, forward and left as seen at this frame's heading
    (anchored at yaw 0); None where no frame is before it in its `block`, or where odometry has a hole. `truth` (east,
    north, yaw) is reported and never used.
    """

    block: int
    gnss_east_m: float
    gnss_north_m: float
    gnss_sigma_m: float
    since: Displacement | None
    old: Answer | None
    new: Answer | None
    truth: tuple[float, float, float] | None = None


Which = Callable[[HeldFrame], "Answer | None"]


@dataclass(frozen=True, slots=True)
class Link:
    """Two consecutive frames of a block that one network answered: its disagreement with odometry (end frame axes)."""

    forward_m: float
    left_m: float
    yaw_rad: float

    @property
    def distance_m(self) -> float:
        """Length of the disagreement, at most `LARGEST_M`."""
        return min(math.hypot(self.forward_m, self.left_m), LARGEST_M)


def link(before: Answer, after: Answer, since: Displacement) -> Link:
    """The relative pose between two answers against odometry's."""
    c, s = math.cos(after.yaw_enu_rad), math.sin(after.yaw_enu_rad)
    east_m, north_m = after.east_m - before.east_m, after.north_m - before.north_m
    turned = float(wrap(after.yaw_enu_rad - before.yaw_enu_rad - since.yaw_change_rad))
    return Link(c * east_m + s * north_m - since.east_m, c * north_m - s * east_m - since.north_m, turned)


def links(frames: Sequence[HeldFrame], which: Which) -> list[Link | None]:
    """One for each frame; None where odometry or an answer is missing."""
    found: list[Link | None] = [None] * len(frames)
    for i in range(1, len(frames)):
        before, after, since = which(frames[i - 1]), which(frames[i]), frames[i].since
        if before and after and since and frames[i - 1].block == frames[i].block:
            found[i] = link(before, after, since)
    return found


def residuals_m(frames: Sequence[HeldFrame], which: Which) -> Array:
    """Answer minus GNSS [N, 2] in metres east and north; NaN where there is no answer."""
    rows = np.full((len(frames), 2), np.nan)
    for row, frame in zip(rows, frames, strict=True):
        answer = which(frame)
        if answer is not None:
            row[:] = answer.east_m - frame.gnss_east_m, answer.north_m - frame.gnss_north_m
    return rows


def measures(frames: Sequence[HeldFrame], which: Which) -> dict[str, Any]:
    """Everything that is reported of one network; see `docs/adaptation.md`."""
    answers = [answer for frame in frames if (answer := which(frame)) is not None]
    residual = residuals_m(frames, which)
    residual = residual[np.isfinite(residual).all(axis=1)]
    bias = np.median(residual, axis=0) if len(residual) else np.full(2, np.nan)
    found = [one for one in links(frames, which) if one is not None]
    apart = [one.distance_m for one in found]
    return {
        "frames": len(frames),
        "localized_share": sum(answer.ok for answer in answers) / max(1, len(frames)),
        "odometry_m": {"mean": _mean(apart), "median": _median(apart), "links": len(apart)},
        "odometry_yaw_deg": {"median": _median([abs(math.degrees(one.yaw_rad)) for one in found])},
        "entropy_nats": {"mean": _mean([answer.entropy_nats for answer in answers])},
        "gnss_m": {
            "bias_east": float(bias[0]),
            "bias_north": float(bias[1]),
            "spread": float(1.4826 * np.median(np.abs(residual - bias))) if len(residual) else None,
            "stated_sigma": _mean([frame.gnss_sigma_m for frame in frames]),
            "mean": _mean(np.hypot(*residual.T).tolist()),
        },
    }


def true_errors(frames: Sequence[HeldFrame], which: Which) -> dict[str, Any] | None:
    """Errors against a truth that the drive happens to hold; None where it holds none."""
    pairs = [(f.truth, a) for f in frames if f.truth is not None and (a := which(f)) is not None]
    if not pairs:
        return None
    apart = [math.hypot(a.east_m - t[0], a.north_m - t[1]) for t, a in pairs]
    yaw = [abs(math.degrees(float(wrap(a.yaw_enu_rad - t[2])))) for t, a in pairs]
    return {"mean_m": _mean(apart), "median_m": _median(apart), "yaw_median_deg": _median(yaw), "frames": len(pairs)}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if len(values) else None
