# SPDX-License-Identifier: Apache-2.0
"""Samples of a data set, asked as a vehicle would, as frames to calibrate on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.evaluation.attempt import attempt
from geodistill_core.evaluation.datasets.evaluation import Evaluation
from geodistill_core.evaluation.datasets.vehicle import VehicleJudge
from geodistill_core.evaluation.recalibration.held import HeldFrame
from geodistill_core.evaluation.threads import torch_threads
from geodistill_core.localization import Localizer

MOST_BYTES = 4 << 30


def vehicle_frames(evaluation: Evaluation, step: Callable[..., None] = lambda count=1: None) -> list[HeldFrame]:
    """Every sample that can be read and localized, at temperature 1.

    Raises:
        ConfigError: the evaluation is not by the vehicle's protocol, has an orientation network, or holds more samples
            than fit into memory.
    """
    judge = evaluation.judge
    if not isinstance(judge, VehicleJudge):
        raise ConfigError("what is calibrated is a vehicle's answer; add --protocol vehicle to --calibrate")
    if judge.config.orientation_model is not None:
        raise ConfigError("a calibration belongs to one network; leave the orientation model out of --calibrate")
    frames: list[HeldFrame] = []
    held_bytes = 0
    with torch_threads(evaluation.threads):
        for index in range(len(judge)):
            frame = _frame(judge, index)
            if frame is not None:
                frames.append(frame)
                held_bytes += frame.log_likelihood.probability.nbytes
            if held_bytes > MOST_BYTES:
                raise ConfigError(
                    f"the heat maps of {len(frames)} samples fill {MOST_BYTES >> 30} GiB; calibrate on fewer: --limit"
                )
            step(1)
    return frames


def _frame(judge: VehicleJudge, index: int) -> HeldFrame | None:
    try:
        met = judge.load(index)
    except DatasetError:
        return None
    used = judge.localizer(met.map_name)
    plain = used.manifest.model_copy(update={"calibration": None})
    flat = Localizer(used.network, plain, used.source, replace(used.config, prior="flat"))
    case = met.case
    found = attempt(flat, met.image, case.prior)
    return None if isinstance(found, str) else HeldFrame.of(found, case.prior, case.truth, key=case.key)
