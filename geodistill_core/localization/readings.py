# SPDX-License-Identifier: Apache-2.0
"""What the sensor buffer takes, gives and refuses, and its limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from geodistill_core.errors import BagError, ConfigError
from geodistill_core.localization.gnss import FixReading
from geodistill_core.types import Prior


class GapReason(str, Enum):
    """Why no prior exists at a stamp."""

    NO_FIX = "no_fix"
    FIX_STALE = "fix_stale"
    NO_ATTITUDE = "no_attitude"
    ATTITUDE_STALE = "attitude_stale"
    NO_HEADING = "no_heading"

    def __str__(self) -> str:
        return self.value


class HeadingSource(str, Enum):
    """Where the heading comes from: the attitude stream, or the course over ground of the GNSS fixes."""

    ATTITUDE = "attitude"
    COURSE = "course"

    def __str__(self) -> str:
        return self.value


class SensorGap(BagError):  # noqa: N818 - a gap in the streams, named for what it is
    """No prior can be formed at this stamp; `reason` is the counter it belongs to."""

    def __init__(self, reason: GapReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class AttitudeReading:
    """Attitude of the base (REP-103) with its heading in ENU and the heading's sigma."""

    stamp_ns: int
    roll_rad: float
    pitch_rad: float
    yaw_enu_rad: float
    sigma_yaw_rad: float


@dataclass(frozen=True, slots=True)
class MotionReading:
    """Forward speed and yaw rate (counter-clockwise) of the base, from wheel odometry or a vehicle bus."""

    stamp_ns: int
    speed_mps: float
    yaw_rate_radps: float


@dataclass(frozen=True, slots=True)
class Readings:
    """What the sensors said over an interval, ascending: the fixes in it, and the attitudes and motions that cover it.

    The last attitude and motion before the interval and the first after it are among them.
    """

    fixes: tuple[FixReading, ...] = ()
    attitudes: tuple[AttitudeReading, ...] = ()
    motions: tuple[MotionReading, ...] = ()


@dataclass(frozen=True, slots=True)
class FramePrior:
    """What the other sensors knew when an image was taken; `speed_mps` is None without a recent motion reading.

    Without a usable fix, `prior` is what was expected instead, `fix` None and `fix_age_s` infinite.
    """

    prior: Prior
    roll_rad: float
    pitch_rad: float
    fix: FixReading | None
    fix_age_s: float
    speed_mps: float | None = None


@dataclass(frozen=True, slots=True)
class SensorBufferConfig:
    """Limits of the buffer.

    `max_speed_mps` bounds what a vehicle can do while no motion reading covers the time (sigma grows by it)
    and how far two fixes may lie apart. `motion_scale_sigma` is the relative error of the distance travelled.
    The course over ground needs `course_baseline_m` between two fixes whose relative error is
    `course_fix_sigma_m`.
    """

    heading_source: HeadingSource = HeadingSource.ATTITUDE
    max_fix_age_s: float = 3.0
    max_attitude_age_s: float = 0.2
    max_motion_gap_s: float = 0.5
    max_speed_mps: float = 20.0
    motion_scale_sigma: float = 0.05
    max_sigma_m: float = 100.0
    jump_sigmas: float = 5.0
    course_baseline_m: float = 15.0
    course_fix_sigma_m: float = 1.5

    def __post_init__(self) -> None:
        known = [source.value for source in HeadingSource]
        if self.heading_source not in known:
            raise ConfigError(f"heading source {self.heading_source!r} is not one of {', '.join(known)}")
        object.__setattr__(self, "heading_source", HeadingSource(self.heading_source))
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, float) and not (math.isfinite(value) and value > 0.0):
                raise ConfigError(f"sensor buffer {name} {value} must be a positive number")
