# SPDX-License-Identifier: Apache-2.0
"""Drives that are hard to track: GNSS that wanders, jumps and falls silent, in plain and in confusing streets."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from geodistill_core.datasets.synthcity.drive import Drive, simulate_drive
from geodistill_core.datasets.synthcity.levels import SEEDS
from geodistill_core.datasets.synthcity.measurements import GNSS_HZ, GnssTrack, stamps_ns, ticks
from geodistill_core.datasets.synthcity.rigs import PANORAMA_RIG, CameraRig
from geodistill_core.datasets.synthcity.sensors import gauss_markov
from geodistill_core.datasets.synthcity.streams import stream
from geodistill_core.datasets.synthcity.trajectory import Trajectory
from geodistill_core.errors import ConfigError
from geodistill_core.types import Array

FRAME_RATE_HZ = 4.0
LEVEL = "standard"
# Beyond the seeds that evaluations of pairs take from the same ranges.
_FIRST_TEST, _FIRST_CALIBRATION = SEEDS["test"].start + 4_000, SEEDS["validation"].start + 4_000


@dataclass(frozen=True, slots=True)
class WanderingGnss:
    """A receiver whose error wanders to exactly `wander_m` once in the drive, steps aside `jumps` times by
    `jump_m` (metres, from and to) for `jump_s` (seconds, from and to), and is silent once for `outage_s`, or
    for a sixth of a drive that is shorter than six times that."""

    wander_m: float = 15.0
    tau_s: float = 40.0
    white_sigma_m: float = 0.5
    jumps: int = 5
    jump_m: tuple[float, float] = (6.0, 10.0)
    jump_s: tuple[float, float] = (2.0, 5.0)
    outage_s: float = 30.0
    stated_sigma_m: float = 6.0

    def wander(self, rng: np.random.Generator, seconds: Array) -> Array:
        """The slow part of the error, metres east and north [N, 2]."""
        slow = gauss_markov(rng, seconds, 1.0, self.tau_s, 2)
        return np.asarray(slow * (self.wander_m / np.hypot(slow[:, 0], slow[:, 1]).max()))

    def jump(self, rng: np.random.Generator, seconds: Array) -> Array:
        """The steps, metres east and north [N, 2]; none in the first tenth of the drive."""
        error, end = np.zeros((len(seconds), 2)), float(seconds[-1])
        for _ in range(self.jumps):
            start, lasts = rng.uniform(0.1 * end, end), rng.uniform(*self.jump_s)
            size, angle = rng.uniform(*self.jump_m), rng.uniform(0.0, 2.0 * math.pi)
            during = (seconds >= start) & (seconds < start + lasts)
            error[during] = size * np.array([math.cos(angle), math.sin(angle)])
        return error

    def available(self, rng: np.random.Generator, seconds: Array) -> Array:
        """Whether there is a fix [N]."""
        end = float(seconds[-1])
        start = rng.uniform(0.35, 0.6) * end
        return np.asarray((seconds < start) | (seconds >= start + min(self.outage_s, end / 6.0)))

    def track(self, rng: np.random.Generator, trajectory: Trajectory) -> GnssTrack:
        """Fixes over a drive."""
        seconds = ticks(trajectory, GNSS_HZ)
        error = self.wander(rng, seconds) + self.jump(rng, seconds)
        error += rng.normal(0.0, self.white_sigma_m, error.shape)
        return GnssTrack(
            stamps_ns(seconds),
            trajectory.at(seconds, trajectory.east_m) + error[:, 0],
            trajectory.at(seconds, trajectory.north_m) + error[:, 1],
            self.available(rng, seconds),
            self.stated_sigma_m,
        )


@dataclass(frozen=True, slots=True)
class TrackingDrive:
    """Which drive: `name` says what is special about it."""

    name: str
    style: str
    seed: int

    def simulate(
        self,
        seconds: float = 180.0,
        rig: CameraRig = PANORAMA_RIG,
        gnss: WanderingGnss = WanderingGnss(),
    ) -> Drive:
        """The drive, four frames a second; raises ConfigError for less than 2 s or more than an hour."""
        if not 2.0 <= seconds <= 3600.0:
            raise ConfigError(f"a drive of {seconds:g} s is outside 2..3600 s")
        drive = simulate_drive(self.style, self.seed, LEVEL, round(seconds * FRAME_RATE_HZ), FRAME_RATE_HZ, rig=rig)
        rng = stream(self.style, self.seed, "tracking drive", "gnss")
        return replace(drive, gnss=gnss.track(rng, drive.trajectory))


_TEST = (
    ("campus", "campus"),
    ("midtown", "midtown"),
    ("repetitive blocks", "midtown_rows"),
    ("parallel carriageway", "campus_twin"),
    ("midtown, another", "midtown"),
)
_CALIBRATION = (
    *((f"plain {k}", "terraces") for k in range(1, 5)),
    *((f"repetitive blocks {k}", "terraces_rows") for k in range(1, 3)),
    *((f"parallel carriageway {k}", "terraces_twin") for k in range(1, 3)),
)


def bench_drives(round_number: int = 0) -> tuple[TrackingDrive, ...]:
    """The five drives of the benchmark, in styles that no shipped network was trained on."""
    return _numbered(_TEST, _FIRST_TEST, round_number)


def mount_drive() -> TrackingDrive:
    """The drive on which the camera is mounted otherwise than stated; beyond the seeds of all rounds."""
    return TrackingDrive("wrong mounting", "midtown", _FIRST_TEST + 100 * len(_TEST))


def calibration_drives(round_number: int = 0) -> tuple[TrackingDrive, ...]:
    """Eight drives to fit a track's calibration on, in the style that is kept for validation."""
    return _numbered(_CALIBRATION, _FIRST_CALIBRATION, round_number)


def _numbered(kinds: tuple[tuple[str, str], ...], first: int, round_number: int) -> tuple[TrackingDrive, ...]:
    if not 0 <= round_number < 100:
        raise ConfigError(f"round {round_number} is outside 0..99")
    base = first + round_number * len(kinds)
    return tuple(TrackingDrive(name, style, base + k) for k, (name, style) in enumerate(kinds))
