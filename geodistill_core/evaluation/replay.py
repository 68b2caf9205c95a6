# SPDX-License-Identifier: Apache-2.0
"""Offline replay: every recorded frame through the localizer in this process, in order, nothing lost.

Without `timing` no clock is read, so the same drive, map and model give the same bytes in metrics.json and in
the report.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from geodistill_core.bags.reader import DriveFrame, DriveReader
from geodistill_core.errors import MapError
from geodistill_core.evaluation.attempt import attempt
from geodistill_core.evaluation.metrics import PoseAnswer
from geodistill_core.evaluation.outcome import Outcome, RunInfo
from geodistill_core.localization import Localizer
from geodistill_core.localization.overlay import render_overlay
from geodistill_core.types import Array, Estimate


def replay(
    reader: DriveReader,
    localizer: Localizer,
    info: RunInfo,
    *,
    timing: bool = False,
    step: Callable[..., None] = lambda: None,
) -> Outcome:
    """Localize every frame, call `step` after each; with `timing`, latency and throughput are measured."""
    outcome = Outcome(info)
    started_s = time.perf_counter() if timing else 0.0
    for frame in reader.frames():
        before_s = time.perf_counter() if timing else 0.0
        found = locate_frame(frame, localizer)
        latency_ms = 1e3 * (time.perf_counter() - before_s) if timing else None
        if isinstance(found, Estimate):
            outcome.add(frame, PoseAnswer.of(found), latency_ms=latency_ms, overlay=_overlay(frame, found))
        else:
            outcome.add(frame, found)
        step()
    outcome.elapsed_s = time.perf_counter() - started_s if timing else None
    return outcome


def locate_frame(frame: DriveFrame, localizer: Localizer) -> Estimate | str:
    """The estimate of a recorded frame, or the reason why there is none."""
    if frame.image is None or frame.frame_prior is None:
        return str(frame.dropped)
    return attempt(localizer, frame.image, frame.frame_prior.prior)


def _overlay(frame: DriveFrame, estimate: Estimate) -> Callable[[], Array]:
    prior = frame.frame_prior.prior.point if frame.frame_prior else None
    truth = frame.truth.point if frame.truth else None
    return lambda: render_overlay(estimate, prior=prior, truth=truth)


def run_info(reader: DriveReader, localizer: Localizer, map_path: Path, mode: str) -> RunInfo:
    """How reports name a run of this drive, map and localizer; `mode` says how it was run."""
    synth = reader.manifest.synth if reader.manifest else None
    configuration = {
        "drive": reader.path.name,
        "run": mode,
        "camera": "pinhole" if reader.pinhole else "panorama",
        "prior": localizer.config.prior,
        "tile": f"{localizer.tile_extent_m:g} m",
        "fingerprint": localizer.fingerprint(),
    }
    if reader.options.sigma_height_m:
        configuration["camera height"] = f"uncertain by {reader.options.sigma_height_m:g} m"
    if synth:
        configuration |= {
            "style": synth.style,
            "level": synth.level,
            "frame rate": f"{synth.frame_rate_hz:g} Hz",
        }
    title = f"Drive through {synth.style}, seed {synth.seed}" if synth else f"Drive {reader.path.stem}"
    seed = synth.seed if synth else None
    return RunInfo(title, localizer.manifest.name, map_path.name, seed, configuration)


def map_beside(reader: DriveReader) -> Path:
    """The map that belongs to a drive: named by its sidecar, or `DRIVE.mbtiles`; raises MapError for none."""
    named = reader.manifest.map if reader.manifest else None
    path = reader.path.parent / named if named else reader.path.with_suffix(".mbtiles")
    if not path.exists():
        raise MapError(f"there is no map at {path}; give one with --map")
    return path
