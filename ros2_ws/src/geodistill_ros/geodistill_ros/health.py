# SPDX-License-Identifier: Apache-2.0
"""Gather the facts that diagnostics judge and publish."""

from __future__ import annotations

import time
from collections.abc import Mapping

from geodistill_core.localization.gnss import SigmaSource
from geodistill_core.tracking.states import TrackState
from geodistill_ros.conditions import Health
from geodistill_ros.counters import Counters
from geodistill_ros.parameters import NodeParameters
from geodistill_ros.qos_events import PREFIX
from geodistill_ros.session import Session


def pending(counts: Mapping[str, int]) -> int:
    """Images received that are neither answered nor dropped yet."""
    dropped = sum(count for name, count in counts.items() if name.startswith("dropped."))
    return counts.get("images.received", 0) - counts.get("images.answered", 0) - dropped


def health_of(
    session: Session | None,
    settings: NodeParameters,
    counters: Counters,
    *,
    state: str,
    refusal: str,
    publishers: Mapping[str, int],
) -> Health:
    """The node's condition now, every counter among its values; `publishers` counts them by input."""
    counts = counters.snapshot()
    values = {"state": state, "images.pending": str(pending(counts))}
    values |= {name: str(count) for name, count in counts.items()}
    values |= {f"publishers.{name}": str(count) for name, count in publishers.items()}
    if session is None:
        return Health(state=state, refusal=refusal, values=values)
    now = time.monotonic()
    ages = {name: now - arrived for name, arrived in list(session.arrivals_s.items())}
    progress = session.pipeline.progress
    values |= session.engine.facts
    runtime = session.engine.runtime
    if runtime is not None:
        values |= runtime.facts()
    values |= {name: str(count) for name, count in session.sensors.refused().items()}
    values |= {f"age_s.{name}": f"{age:.3f}" for name, age in ages.items()}
    if session.map_ahead is not None:
        values |= session.map_ahead.values()
    track = session.track
    trouble, suspect = ("", "") if track is None else track.trouble()
    if track is not None:
        values |= track.values()
    values |= session.mounting.values()
    values |= session.images.values()
    incompatible = sum(count for name, count in counts.items() if name.startswith(PREFIX))
    values["qos.incompatible"] = str(incompatible)
    if session.camera.size():
        values["camera_info.size"] = session.camera.size()
    if session.camera.trouble():
        values["camera_info.problem"] = session.camera.trouble()
    if progress.newest_drop:
        values["image.newest_drop"] = progress.newest_drop
    values["calibration"] = "stated" if session.engine.calibrated else "none"
    if session.sensors.sigma_source:
        values["gnss.sigma_source"] = session.sensors.sigma_source
    if session.datum is not None:
        values["datum"] = f"{session.datum.origin.latitude:.8f} {session.datum.origin.longitude:.8f}"
    for percent, name in ((50, "median"), (90, "p90")):
        latency_ms = progress.latency_ms.percentile(percent)
        if latency_ms is not None:
            values[f"latency_ms.{name}"] = f"{latency_ms:.1f}"
    return Health(
        state=state,
        refusal=refusal,
        active_for_s=0.0 if session.active_since_s is None else now - session.active_since_s,
        image_publishers=publishers.get("image", 0),
        image_age_s=ages.get("image"),
        fix_age_s=ages.get("fix"),
        answer_age_s=ages.get("answer"),
        inference_running_s=progress.running_s(),
        inference_limit_s=settings.inference_timeout_s,
        failures_in_a_row=progress.failures_in_a_row,
        calibrated=session.engine.calibrated,
        unsupported_image=session.images.unsupported,
        camera_trouble=session.camera.trouble(),
        frozen_s=session.images.frozen_s,
        sigma_stated=session.sensors.sigma_source != SigmaSource.DEFAULT.value,
        newest_drop=progress.newest_drop,
        track_trouble=trouble,
        track_lost=track is not None and track.state in (TrackState.LOST, TrackState.FAULT),
        suspect=suspect,
        other_authority="" if session.transforms is None else session.transforms.authority.other(),
        mount_trouble=session.mounting.trouble(),
        debug_trouble=session.debug.failure,
        map_trouble="" if session.map_ahead is None else session.map_ahead.trouble(),
        runtime_trouble="" if runtime is None else runtime.trouble(),
        values=values,
    )
