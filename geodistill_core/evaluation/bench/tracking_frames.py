# SPDX-License-Identifier: Apache-2.0
"""What one frame of a tracked drive leaves behind, and the CSV of a drive."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geodistill_core.datasets.truth import Truth
from geodistill_core.evaluation.metrics import FrameErrors, PoseAnswer, errors_of
from geodistill_core.localization.protection import ProtectionLevel, axis_sigmas_m
from geodistill_core.tracking.states import FOLLOWING


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """The track and the single image at one stamp, against the truth.

    `way_m` is how far the vehicle had driven. `tracked` is the track's claim, its status the track's state;
    `degrees_of_freedom` are those claimed for its error, None is a Gaussian. `single` is what the image said with the
    Gaussian prior of the GNSS, None without a fix. `spread_sq` and `innovation_sq` are what the claim is made of,
    squared, along, across and in yaw; None without a track.
    """

    stamp_ns: int
    way_m: float
    truth: Truth
    state: str
    tracked: PoseAnswer | None
    degrees_of_freedom: float | None
    protection: ProtectionLevel | None
    suspect: str
    single: PoseAnswer | None
    gnss_error_m: float | None
    spread_sq: tuple[float, float, float] | None
    innovation_sq: tuple[float, float, float] | None
    tracker_ms: float

    @property
    def following(self) -> bool:
        """Whether the track was being followed: TRACKING or DEGRADED."""
        return self.tracked is not None and self.state in [state.value for state in FOLLOWING]


@dataclass(frozen=True, slots=True)
class ScoredFrame:
    """A followed frame with the errors of its track and its sigmas across and along the vehicle."""

    frame: TrackedFrame
    errors: FrameErrors
    sigma_lateral_m: float
    sigma_longitudinal_m: float


def scored(frames: Sequence[TrackedFrame]) -> list[ScoredFrame]:
    """The followed frames, in order."""
    followed = [frame for frame in frames if frame.following]
    answers = [frame.tracked for frame in followed if frame.tracked is not None]
    errors = errors_of(answers, [frame.truth for frame in followed])
    sigmas = [axis_sigmas_m(answer.covariance, answer.yaw_enu_rad) for answer in answers]
    return [ScoredFrame(f, e, *s) for f, e, s in zip(followed, errors, sigmas, strict=True)]


_COLUMNS = (
    "seconds", "way_m", "state", "error_m", "lateral_m", "longitudinal_m", "yaw_deg", "sigma_lateral_m",
    "sigma_longitudinal_m", "nees", "protection_lateral_m", "protection_longitudinal_m", "single_error_m",
    "gnss_error_m", "tracker_ms", "suspect",
)  # fmt: skip


def write_frames(path: Path, frames: Sequence[TrackedFrame]) -> None:
    """One line a frame; the track's errors also where it is not followed yet, empty where there is no pose."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(_row(frame, frames[0].stamp_ns) for frame in frames)


def position_error_m(answer: PoseAnswer | None, truth: Truth) -> float | None:
    """Horizontal distance of an answer from the truth."""
    return None if answer is None else errors_of([answer], [truth])[0].position_m


def _row(frame: TrackedFrame, first_ns: int) -> list[str]:
    track: list[float | None] = [None] * 7
    if frame.tracked is not None:
        found = errors_of([frame.tracked], [frame.truth])[0]
        sigmas = axis_sigmas_m(frame.tracked.covariance, frame.tracked.yaw_enu_rad)
        yaw_deg = math.degrees(found.yaw_rad)
        track = [found.position_m, found.lateral_m, found.longitudinal_m, yaw_deg, *sigmas, found.nees]
    levels: tuple[float | None, float | None] = (None, None)
    if frame.protection is not None:
        levels = (frame.protection.lateral_m, frame.protection.longitudinal_m)
    rest = [*levels, position_error_m(frame.single, frame.truth), frame.gnss_error_m, frame.tracker_ms]
    numbers = ["" if value is None else f"{value:.4f}" for value in (*track, *rest)]
    return [f"{(frame.stamp_ns - first_ns) * 1e-9:.3f}", f"{frame.way_m:.2f}", frame.state, *numbers, frame.suspect]
