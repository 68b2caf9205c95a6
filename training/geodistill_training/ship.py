# SPDX-License-Identifier: Apache-2.0
"""From a trained network to a calibrated checkpoint folder."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path

from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.recalibration.fit import check_samples, fit_calibration
from geodistill_core.evaluation.recalibration.synth import synth_frames, synth_name
from geodistill_core.evaluation.synth_eval import SynthSplit
from geodistill_core.localization.protection import DEFAULT_RISK
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.checkpoint import load_checkpoint, save_checkpoint
from geodistill_core.models.manifest import Manifest
from geodistill_training.describe import describe
from geodistill_training.recipe.data import SynthData
from geodistill_training.recipe.recipe import Recipe


def check_pairs(recipe: Recipe, calibration_pairs: int) -> None:
    """Raises ConfigError where so many pairs cannot calibrate what the recipe trains."""
    if not calibration_pairs:
        return
    if not isinstance(recipe.data, SynthData):
        raise ConfigError(
            f"{calibration_pairs} SynthCity pairs cannot calibrate a network for {recipe.data.dataset}; set 0"
        )
    check_samples(calibration_pairs, DEFAULT_RISK)


def ship(
    recipe: Recipe, network: AnyNetwork, output: Path, calibration_pairs: int, level: str = "standard"
) -> Manifest:
    """Write the checkpoint, with the calibration that its rounded weights earn on `calibration_pairs` held-out pairs.

    Pairs are SynthCity's; a network of another data set goes uncalibrated, with 0 pairs.

    Raises:
        ConfigError: pairs are asked for, and they are too few, or the network was not trained on SynthCity.
        CheckpointError: its likelihoods are best at no temperature; nothing is written.
    """
    check_pairs(recipe, calibration_pairs)
    description = describe(recipe, network)
    if not calibration_pairs:
        return save_checkpoint(output, network, description)
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), network, description)
        rounded, manifest = load_checkpoint(folder)
    held_out = SynthSplit("validation", level, calibration_pairs)
    calibration = fit_calibration(
        synth_frames(rounded, manifest, held_out), synth_name(held_out), date=datetime.date.today().isoformat()
    )
    return save_checkpoint(output, rounded, {**description, "calibration": calibration})
