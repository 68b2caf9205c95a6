# SPDX-License-Identifier: Apache-2.0
"""One temperature for the heat map, fitted on held-out pairs by the likelihood of the true pose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from rich.progress import track
from scipy.ndimage import map_coordinates
from scipy.optimize import minimize_scalar

from geodistill_core.datasets.synthcity import VALIDATION_STYLES, sample_pair
from geodistill_core.datasets.synthcity.map_source import REACH_M, SynthCityMap
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.localizer import Localizer, LocalizerConfig
from geodistill_core.models.base import CrossViewNetwork
from geodistill_core.models.manifest import Calibration, Manifest
from geodistill_core.types import Array, HeatMap, Prior

FIRST_SEED = 10_000
_SMALLEST_LOG = -60.0


@dataclass(frozen=True)
class HeldOut:
    """A frame's log-likelihood volume at temperature 1, its log prior, and the truth in cell coordinates (y, r, c)."""

    log_likelihood: Array
    log_prior: Array
    truth: Array

    def negative_log_likelihood(self, temperature: float) -> float:
        """-log of the posterior's density at the truth, per cell volume, interpolated between cells."""
        log_p = self.log_likelihood / temperature + self.log_prior
        log_p = log_p - log_p.max()
        log_z = math.log(np.exp(log_p).sum())
        at_truth = map_coordinates(np.exp(log_p), self.truth[:, None], order=1, mode="nearest")[0]
        return log_z - math.log(max(float(at_truth), math.exp(_SMALLEST_LOG)))


def truth_cell(heatmap: HeatMap, latitude: float, longitude: float, yaw_enu_rad: float) -> Array:
    """Fractional index (yaw, row, column) of a pose in a heat map."""
    east, north = LocalFrame(heatmap.center).to_enu(latitude, longitude)
    _, height, width = heatmap.probability.shape
    row = height / 2 - 0.5 - float(north) / heatmap.metres_per_cell
    column = width / 2 - 0.5 + float(east) / heatmap.metres_per_cell
    yaw = float(wrap(yaw_enu_rad - heatmap.yaw_enu_rad[0])) % (2 * math.pi)
    return np.array([(yaw if yaw < math.pi * 1.99 else 0.0) / max(heatmap.yaw_step_rad, 1e-9), row, column])


def collect(network: CrossViewNetwork, manifest: Manifest, pairs: int, level: str) -> list[HeldOut]:
    """Likelihood volumes of validation pairs, through the localizer with a flat prior."""
    plain = manifest.model_copy(update={"calibration": None})
    frames, cities = [], max(1, pairs // 25)
    for k in track(range(pairs), description="calibrating"):
        style, seed = VALIDATION_STYLES[k % len(VALIDATION_STYLES)], FIRST_SEED + k * cities // pairs
        pair = sample_pair(style, seed, k, level, tile_extent_m=REACH_M)
        localizer = Localizer(network, plain, SynthCityMap(pair), LocalizerConfig(prior="flat"))
        heatmap = localizer.locate(pair.ground, pair.prior).heatmap
        log_likelihood = np.log(np.maximum(heatmap.probability.astype(np.float64), 1e-45))
        truth = truth_cell(heatmap, pair.truth.latitude, pair.truth.longitude, pair.truth.yaw_enu_rad)
        frames.append(HeldOut(log_likelihood, log_prior(pair.prior, heatmap), truth))
    return frames


def log_prior(prior: Prior, heatmap: HeatMap) -> Array:
    """The localizer's own log prior on a heat map's cells."""
    return Localizer.log_prior(prior, heatmap)


def fit_temperature(frames: list[HeldOut], fitted_on: str) -> Calibration:
    """The temperature with the smallest mean negative log-likelihood."""

    def mean_nll(log_temperature: float) -> float:
        return float(np.mean([frame.negative_log_likelihood(math.exp(log_temperature)) for frame in frames]))

    best = minimize_scalar(mean_nll, bounds=(math.log(0.05), math.log(20.0)), method="bounded", options={"xatol": 0.01})
    return Calibration(
        temperature=math.exp(best.x),
        samples=len(frames),
        fitted_on=fitted_on,
        nll_before=mean_nll(0.0),
        nll_after=float(best.fun),
    )
