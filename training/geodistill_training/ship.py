# SPDX-License-Identifier: Apache-2.0
"""From a trained network to a calibrated checkpoint folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

from geodistill_core.datasets.synthcity import WORLD_VERSION
from geodistill_core.errors import ConfigError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.checkpoint import load_checkpoint, save_checkpoint
from geodistill_core.models.manifest import Manifest
from geodistill_training.calibrate import collect, fit_temperature
from geodistill_training.describe import describe
from geodistill_training.recipe.data import SynthData
from geodistill_training.recipe.recipe import Recipe


def ship(
    recipe: Recipe, network: AnyNetwork, output: Path, calibration_pairs: int, level: str = "standard"
) -> Manifest:
    """Write the checkpoint, with the temperature that its rounded weights earn on `calibration_pairs` held-out pairs.

    Pairs are SynthCity's; a network of another data set goes uncalibrated, with 0 pairs.

    Raises:
        ConfigError: pairs are asked for, and the network was not trained on SynthCity.
        CheckpointError: no temperature makes its covariances consistent; nothing is written.
    """
    description = describe(recipe, network)
    if calibration_pairs and not isinstance(recipe.data, SynthData):
        raise ConfigError(
            f"{calibration_pairs} SynthCity pairs cannot calibrate a network for {recipe.data.dataset}; set 0"
        )
    if not calibration_pairs:
        return save_checkpoint(output, network, description)
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), network, description)
        rounded, manifest = load_checkpoint(folder)
    calibration = fit_temperature(
        collect(rounded, manifest, calibration_pairs, level),
        f"SynthCity {WORLD_VERSION} validation style, level {level}",
    )
    return save_checkpoint(output, rounded, {**description, "calibration": calibration})
