# SPDX-License-Identifier: Apache-2.0
"""One temperature for the heat map, fitted on held-out pairs so that the published covariance is consistent.

The temperature is the one at which the squared Mahalanobis distance of the true pose averages to its three degrees of
freedom (NEES = 3). The negative log-likelihood of the heat map at the truth is recorded beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console
from rich.progress import track
from scipy.ndimage import map_coordinates
from scipy.optimize import brentq

from geodistill_core.datasets.synthcity import VALIDATION_STYLES, sample_pair
from geodistill_core.datasets.synthcity.map_source import REACH_M, SynthCityMap
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import CheckpointError
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.estimate import EstimateConfig, find_modes, published_covariance
from geodistill_core.localization.localizer import Localizer, LocalizerConfig
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.manifest import Calibration, Manifest
from geodistill_core.types import Array, HeatMap

FIRST_SEED = 10_000
_SMALLEST_LOG = -60.0
_TEMPERATURE_LIMITS = (0.05, 5.0)
_ESTIMATE = EstimateConfig()


@dataclass(frozen=True)
class HeldOut:
    """A frame's log-likelihood volume at temperature 1, its log prior, and the truth.

    `truth` is in cell coordinates (yaw, row, column), `offset` in metres east and north of `grid`'s centre and radians.
    """

    log_likelihood: Array
    log_prior: Array
    truth: Array
    grid: HeatMap
    offset: Array

    def _posterior(self, temperature: float) -> Array:
        log_p = self.log_likelihood / temperature + self.log_prior
        p = np.exp(log_p - log_p.max())
        return np.asarray(p / p.sum())

    def nees(self, temperature: float) -> float:
        """Normalised estimation error squared of the pose and covariance that this temperature publishes."""
        heatmap = replace(self.grid, probability=self._posterior(temperature).astype(np.float32))
        mode = find_modes(heatmap, _ESTIMATE)[0]
        error = self.offset - np.array([mode.east_m, mode.north_m, mode.yaw_enu_rad])
        error[2] = wrap(error[2])
        return float(error @ np.linalg.solve(published_covariance(heatmap, mode, _ESTIMATE), error))

    def negative_log_likelihood(self, temperature: float) -> float:
        """-log of the posterior's density at the truth, per cell volume, interpolated between cells."""
        at_truth = map_coordinates(self._posterior(temperature), self.truth[:, None], order=1, mode="nearest")[0]
        return -math.log(max(float(at_truth), math.exp(_SMALLEST_LOG)))


def truth_offset(heatmap: HeatMap, truth: Truth) -> Array:
    """Metres east and north of a heat map's centre, and yaw in radians."""
    east_m, north_m = LocalFrame(heatmap.center).to_enu(truth.latitude, truth.longitude)
    return np.array([float(east_m), float(north_m), truth.yaw_enu_rad])


def truth_cell(heatmap: HeatMap, offset: Array) -> Array:
    """Fractional index (yaw, row, column) of an offset pose in a heat map."""
    _, height, width = heatmap.probability.shape
    row = height / 2 - 0.5 - offset[1] / heatmap.metres_per_cell
    column = width / 2 - 0.5 + offset[0] / heatmap.metres_per_cell
    middle = heatmap.yaw_enu_rad[len(heatmap.yaw_enu_rad) // 2]
    yaw = (len(heatmap.yaw_enu_rad) - 1) / 2 + float(wrap(offset[2] - middle)) / heatmap.yaw_step_rad
    return np.array([yaw, row, column])


def collect(network: AnyNetwork, manifest: Manifest, pairs: int, level: str) -> list[HeldOut]:
    """Likelihood volumes of validation pairs, through the localizer with a flat prior."""
    plain = manifest.model_copy(update={"calibration": None})
    frames, cities = [], max(1, pairs // 25)
    console = Console(stderr=True)
    for k in track(range(pairs), "calibrating", console=console, disable=not console.is_terminal):
        style, seed = VALIDATION_STYLES[k % len(VALIDATION_STYLES)], FIRST_SEED + k * cities // pairs
        pair = sample_pair(style, seed, k, level, tile_extent_m=REACH_M)
        localizer = Localizer(network, plain, SynthCityMap(pair), LocalizerConfig(prior="flat"))
        heatmap = localizer.locate(pair.ground, pair.prior).heatmap
        log_likelihood = np.log(np.maximum(heatmap.probability.astype(np.float64), 1e-45))
        offset = truth_offset(heatmap, pair.truth)
        cell = truth_cell(heatmap, offset)
        frames.append(HeldOut(log_likelihood, Localizer.log_prior(pair.prior, heatmap), cell, heatmap, offset))
    return frames


def fit_temperature(frames: list[HeldOut], fitted_on: str) -> Calibration:
    """The temperature with a mean NEES of 3.

    Raises:
        CheckpointError: no temperature within the limits is consistent, so the network is not ready to ship.
    """

    def mean_nll(temperature: float) -> float:
        return float(np.mean([frame.negative_log_likelihood(temperature) for frame in frames]))

    def excess(log_temperature: float) -> float:
        return math.log(np.mean([frame.nees(math.exp(log_temperature)) for frame in frames]) / 3)

    low, high = (math.log(limit) for limit in _TEMPERATURE_LIMITS)
    if not excess(high) < 0 < excess(low):
        raise CheckpointError(
            f"no temperature in {_TEMPERATURE_LIMITS} gives a mean NEES of 3 over {len(frames)} frames"
        )
    temperature = math.exp(brentq(excess, low, high, xtol=0.01))
    return Calibration(
        temperature=temperature,
        samples=len(frames),
        fitted_on=fitted_on,
        nll_before=mean_nll(1.0),
        nll_after=mean_nll(temperature),
    )
