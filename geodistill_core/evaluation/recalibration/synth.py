# SPDX-License-Identifier: Apache-2.0
"""SynthCity's pairs as frames to calibrate on."""

from __future__ import annotations

from collections.abc import Callable

from geodistill_core.datasets.synthcity import WORLD_VERSION
from geodistill_core.evaluation.attempt import attempt
from geodistill_core.evaluation.recalibration.held import HeldFrame
from geodistill_core.evaluation.synth_eval import SynthSplit, key_of, localizer_of, road_of
from geodistill_core.localization import LocalizerConfig
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.manifest import Manifest


def synth_frames(
    network: AnyNetwork,
    manifest: Manifest,
    wanted: SynthSplit,
    *,
    flat: bool = False,
    step: Callable[..., None] = lambda count=1: None,
) -> list[HeldFrame]:
    """Every pair that can be localized, at temperature 1; `flat` leaves the prior out of what is calibrated."""
    plain = manifest.model_copy(update={"calibration": None})
    frames = []
    for pair in wanted.drawn(network.metres_per_pixel):
        found = attempt(localizer_of(pair, network, plain, LocalizerConfig(prior="flat")), pair.ground, pair.prior)
        if not isinstance(found, str):
            key, road = key_of(pair), road_of(pair)
            frames.append(HeldFrame.of(found, pair.prior, pair.truth, key=key, road=road, flat=flat))
        step()
    return frames


def synth_name(wanted: SynthSplit) -> str:
    """What a manifest says of where its calibration was fitted."""
    return f"SynthCity {WORLD_VERSION}, {wanted.split} styles, level {wanted.level}, from seed {wanted.first_seed}"
