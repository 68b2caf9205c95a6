# SPDX-License-Identifier: Apache-2.0
"""Two networks on the held-out part of a drive, each answering from the image alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from geodistill_core.bags.reader import DriveFrame, DriveReader
from geodistill_core.evaluation.replay import locate_frame
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization import EstimateConfig, Localizer
from geodistill_core.localization.dead_reckoning import Displacement
from geodistill_core.types import Estimate, Status
from geodistill_training.adapt.consistency import needed_inflation, normalised_disagreement, warmer
from geodistill_training.adapt.drive_parts import DriveParts
from geodistill_training.adapt.evidence import Answer, HeldFrame
from geodistill_training.adapt.odometry import Odometry
from geodistill_training.adapt.verdict import new_answer, old_answer

_HOLE_S = 0.05


@dataclass(frozen=True)
class HeldOut:
    """Frames with the old network's answers, and the new one's estimates, which may still become less sure."""

    frames: list[HeldFrame]
    estimates: list[Estimate | None]
    local: LocalFrame
    config: EstimateConfig

    def at(self, inflation: float) -> list[HeldFrame]:
        """The frames with the new answers at a temperature `inflation` times the old one."""
        found = []
        for frame, estimate in zip(self.frames, self.estimates, strict=True):
            if estimate is None:
                found.append(frame)
                continue
            cooler = estimate if inflation == 1.0 else warmer(estimate, inflation, self.config)
            found.append(replace(frame, new=_answer(cooler, self.local)))
        return found

    def inflation(self) -> float:
        """What the old temperature must be multiplied by; see `consistency`."""
        allowed = normalised_disagreement(self.frames, old_answer)
        return needed_inflation(lambda factor: normalised_disagreement(self.at(factor), new_answer), allowed)


def answer_held_out(
    reader: DriveReader,
    odometry: Odometry,
    parts: DriveParts,
    old: Localizer,
    new: Localizer,
    step: Callable[..., None] = lambda: None,
) -> HeldOut:
    """Both localizers, which must be without a prior in the posterior, on every held-out frame."""
    block_of = {stamp: number for number, block in enumerate(parts.held) for stamp in block}
    frames: list[HeldFrame] = []
    estimates: list[Estimate | None] = []
    local: LocalFrame | None = None
    last_ns, last_block = 0, -1
    for frame in reader.frames():
        if frame.stamp_ns not in block_of or frame.frame_prior is None:
            continue
        prior, block = frame.frame_prior.prior, block_of[frame.stamp_ns]
        local = local or LocalFrame(prior.point)
        since = odometry.between(last_ns, frame.stamp_ns, 0.0) if block == last_block else None
        last_ns, last_block = frame.stamp_ns, block
        before, after = locate_frame(frame, old), locate_frame(frame, new)
        frames.append(_held(frame, block, since, before, local))
        estimates.append(after if isinstance(after, Estimate) else None)
        step()
    assert local is not None
    return HeldOut(frames, estimates, local, new.estimate_config)


def _held(
    frame: DriveFrame, block: int, since: Displacement | None, before: Estimate | str, local: LocalFrame
) -> HeldFrame:
    assert frame.frame_prior is not None
    prior = frame.frame_prior.prior
    east_m, north_m = local.to_enu(prior.latitude, prior.longitude)
    truth = None
    if frame.truth is not None:
        true_m = local.to_enu(frame.truth.latitude, frame.truth.longitude)
        truth = (float(true_m[0]), float(true_m[1]), frame.truth.yaw_enu_rad)
    covered = since if since is not None and since.uncovered_s < _HOLE_S else None
    old = _answer(before, local) if isinstance(before, Estimate) else None
    return HeldFrame(block, float(east_m), float(north_m), prior.sigma_m, covered, old, None, truth)


def _answer(estimate: Estimate, local: LocalFrame) -> Answer:
    east_m, north_m = local.to_enu(estimate.latitude, estimate.longitude)
    p = estimate.heatmap.probability.astype(np.float64)
    entropy = -float((p * np.log(np.maximum(p, 1e-300))).sum())
    ok = estimate.status is Status.OK
    return Answer(float(east_m), float(north_m), estimate.yaw_enu_rad, estimate.covariance, entropy, ok)
