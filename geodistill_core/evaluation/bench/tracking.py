# SPDX-License-Identifier: Apache-2.0
"""Five drives that are hard to track, several at a time: is the track right, and does it know how right it is?"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from geodistill_core.datasets.synthcity.drive import Drive
from geodistill_core.datasets.synthcity.tracking_drives import (
    FRAME_RATE_HZ,
    TrackingDrive,
    bench_drives,
    calibration_drives,
    mount_drive,
)
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.bench.tracking_calibration import fit_track_calibration
from geodistill_core.evaluation.bench.tracking_frames import TrackedFrame, position_error_m, scored, write_frames
from geodistill_core.evaluation.bench.tracking_jobs import in_order
from geodistill_core.evaluation.bench.tracking_metrics import claim_figures, drive_figures
from geodistill_core.evaluation.bench.tracking_mount import LearnedMounting, MountError, mount_figures
from geodistill_core.evaluation.bench.tracking_run import MeasuredTracker, drive_map, track_drive
from geodistill_core.evaluation.files import versions
from geodistill_core.evaluation.metrics import spread
from geodistill_core.evaluation.threads import torch_threads
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.models.manifest import TrackCalibration

MEDIAN_M, P95_M, WORST_M = 0.5, 1.5, 5.0
COVERAGE_95, HPD_DEVIATION = (0.92, 0.98), 0.06
MOUNT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class TrackingBenchOptions:
    """Each of `drives` of the five in `rounds` cities of its own, `seconds` long, `jobs` at a time.

    `calibration` replaces the checkpoint's own. `out` takes a CSV of each drive, and keeps the pictures. With `mount`
    another drive starts with a camera whose mounting was stated wrongly.
    """

    model: str = "tiny"
    runtime: str = "torch"
    rounds: int = 4
    drives: int | None = None
    seconds: float = 180.0
    jobs: int = 2
    calibration: TrackCalibration | None = None
    out: Path | None = None
    mount: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.rounds <= 100:
            raise ConfigError(f"rounds {self.rounds} is outside 1..100")
        if not 1 <= self.jobs <= 256:
            raise ConfigError(f"jobs {self.jobs} is outside 1..256")
        if self.drives is not None and self.drives < 1:
            raise ConfigError(f"drives {self.drives} must be at least 1")

    def chosen(self, kind: Callable[[int], Sequence[TrackingDrive]]) -> list[TrackingDrive]:
        """The drives of all rounds."""
        return [drive for number in range(self.rounds) for drive in kind(number)[: self.drives]]

    @property
    def frames(self) -> int:
        """How many frames the benchmark takes."""
        drives_s = len(self.chosen(bench_drives)) * self.seconds
        return round((drives_s + (min(self.seconds, MOUNT_SECONDS) if self.mount else 0.0)) * FRAME_RATE_HZ)

    def localizer_config(self) -> LocalizerConfig:
        """Likelihoods alone: the tracker knows the GNSS itself."""
        return LocalizerConfig(prior="flat")


def bench_tracking(options: TrackingBenchOptions, step: Callable[..., None] = lambda *_, **__: None) -> dict[str, Any]:
    """Figures of each drive, and of the claims over all of them; `step(count, total)` counts frames."""
    chosen = options.chosen(bench_drives)
    tracked = _tracked(chosen, options, step)
    mount = mount_figures(*_mounted(options, step)) if options.mount else None
    risks = [frame.protection.risk for frames in tracked for frame in frames if frame.protection]
    drives = [
        {"name": drive.name, "style": drive.style, "seed": drive.seed} | drive_figures(frames)
        for drive, frames in zip(chosen, tracked, strict=True)
    ]
    all_frames = [frame for frames in tracked for frame in frames]
    claims = claim_figures([scored(frames) for frames in tracked], min(risks, default=0.01))
    overall = _overall(all_frames)
    return {
        "model": options.model,
        "runtime": options.runtime,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "drives": drives,
        "all": overall,
        "claims": claims,
        "mount": mount,
        "limits": {
            "median_m": MEDIAN_M, "p95_m": P95_M, "worst_while_tracking_m": WORST_M,
            "coverage_95": list(COVERAGE_95), "hpd_deviation": HPD_DEVIATION,
        },
        "within_limits": _within_limits(drives, claims) | {"mount": mount and mount["within_limits"]},
        "versions": versions(),
    }  # fmt: skip


def calibrate_tracking(
    options: TrackingBenchOptions, step: Callable[..., None] = lambda *_, **__: None
) -> TrackCalibration:
    """The calibration that fits the drives of the validation style, each `seconds` long."""
    chosen = options.chosen(calibration_drives)
    tracked = _tracked(chosen, options, step)
    styles = sorted({drive.style for drive in chosen})
    seeds = f"seeds {chosen[0].seed} to {chosen[-1].seed}"
    return fit_track_calibration(tracked, f"SynthCity {', '.join(styles)}, {seeds}, {options.seconds:g} s each")


def _tracked(
    chosen: Sequence[TrackingDrive], options: TrackingBenchOptions, step: Callable[..., None]
) -> list[list[TrackedFrame]]:
    tracked = in_order(partial(_one, options=options), chosen, options.jobs, step)
    if options.out is not None:
        for drive, frames in zip(chosen, tracked, strict=True):
            write_frames(options.out / f"{_file_name(drive)}.csv", frames)
    return tracked


def _file_name(drive: TrackingDrive) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{drive.style} {drive.seed}")


def _one(drive: TrackingDrive, step: Callable[[], None], *, options: TrackingBenchOptions) -> list[TrackedFrame]:
    simulated = drive.simulate(options.seconds)
    localizer, tracker, pictures = _prepared(drive, simulated, options)
    with torch_threads(1):
        return track_drive(simulated, localizer, tracker, pictures=pictures, step=step)


def _mounted(options: TrackingBenchOptions, step: Callable[..., None]) -> tuple[list[MountError], list[TrackedFrame]]:
    """The drive whose camera is mounted otherwise than stated, no longer than it may take to find that and a little."""
    drive = mount_drive()
    simulated = drive.simulate(min(options.seconds, MOUNT_SECONDS))
    localizer, tracker, pictures = _prepared(drive, simulated, options)
    mounting = LearnedMounting(simulated, localizer)
    with torch_threads(1):
        frames = track_drive(simulated, localizer, tracker, mounting=mounting, pictures=pictures, step=step)
    return mounting.errors, frames


def _prepared(
    drive: TrackingDrive, simulated: Drive, options: TrackingBenchOptions
) -> tuple[Localizer, MeasuredTracker, Path | None]:
    """A localizer over the drive's map, a fresh tracker, and the folder that keeps the drive's pictures."""
    config = options.localizer_config()
    localizer = Localizer.load(options.model, drive_map(simulated), config, runtime=options.runtime)  # type: ignore[arg-type]
    tracker = MeasuredTracker(calibration=options.calibration or localizer.manifest.tracking)
    if options.out is None:
        return localizer, tracker, None
    length_s = len(simulated.frame_seconds) / simulated.frame_rate_hz
    return localizer, tracker, options.out / "pictures" / f"{_file_name(drive)}-{length_s:g}s"


def _overall(frames: Sequence[TrackedFrame]) -> dict[str, Any]:
    followed = [one.errors.position_m for one in scored(frames)]
    single = [e for frame in frames if (e := position_error_m(frame.single, frame.truth)) is not None]
    taken = np.array([frame.tracker_ms for frame in frames])
    return {
        "frames": len(frames),
        "followed": len(followed),
        "position_error_m": spread(followed),
        "single_error_m": spread(single) | {"frames": len(single)},
        "tracker_ms": {f"p{q}": float(np.percentile(taken, q)) for q in (50, 90, 99)},
    }


def _within_limits(drives: Sequence[dict[str, Any]], claims: dict[str, Any]) -> dict[str, bool | None]:
    """Each limit, true where it is kept; None where there was nothing to judge."""

    def at_most(values: list[float | None], limit: float) -> bool | None:
        return None if None in values else max(v for v in values if v is not None) <= limit

    nees, coverage = claims["nees"], claims["coverage"]["0.95"]["share"]
    errors = [drive["position_error_m"] for drive in drives]
    return {
        "median_m": at_most([e["median"] for e in errors], MEDIAN_M),
        "p95_m": at_most([e["p95"] for e in errors], P95_M),
        "worst_while_tracking_m": at_most([drive["worst_while_tracking_m"] for drive in drives], WORST_M),
        "nees": None if nees["mean"] is None else nees["bounds"][0] <= nees["mean"] <= nees["bounds"][1],
        "coverage_95": None if coverage is None else COVERAGE_95[0] <= coverage <= COVERAGE_95[1],
        "hpd_deviation": at_most([claims["hpd_deviation"]["independent"]], HPD_DEVIATION),
        "protection": at_most(
            [claims["protection"][axis]["violated"] for axis in ("lateral", "longitudinal")],
            claims["protection"]["lateral"]["risk"],
        ),
    }
