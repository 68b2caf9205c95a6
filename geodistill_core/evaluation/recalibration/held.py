# SPDX-License-Identifier: Apache-2.0
"""Frames with known truth, kept so that they can be answered again at any temperature and scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from geodistill_core.datasets.truth import Truth
from geodistill_core.evaluation.calibration import (
    SMALLEST,
    CellCoordinate,
    HeatMapScore,
    cell_of,
    full_turn,
    nll_at,
    score_heatmap,
)
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization import EstimateConfig, Localizer
from geodistill_core.localization.covariance import CovarianceScale, published
from geodistill_core.localization.estimate import covariance_about, find_modes, posterior, status_of
from geodistill_core.models.manifest import Calibration
from geodistill_core.types import Array, Estimate, HeatMap, Prior


@dataclass(frozen=True)
class HeldFrame:
    """`log_likelihood` holds logarithms in place of probabilities, at temperature 1, without the prior.

    The posterior takes in the prior unless the frame is `flat`.
    """

    log_likelihood: HeatMap
    prior: Prior
    truth: Truth
    map_sigma_m: float = 0.0
    key: str = ""
    road: str = ""
    flat: bool = False

    @classmethod
    def of(
        cls, found: Estimate, prior: Prior, truth: Truth, *, key: str = "", road: str = "", flat: bool = False
    ) -> HeldFrame:
        """What an estimate without prior, of a network without calibration, says of the image."""
        probability = found.heatmap.probability.astype(np.float64)
        log_p = np.log(np.maximum(probability, SMALLEST)).astype(np.float32)
        return cls(replace(found.heatmap, probability=log_p), prior, truth, found.tile.map_sigma_m, key, road, flat)

    @cached_property
    def at(self) -> CellCoordinate | None:
        """Where the truth lies in the heat map; None outside."""
        return cell_of(self.log_likelihood, self.truth)

    def _log_posterior(self, temperature: float) -> Array:
        log_p = self.log_likelihood.probability / np.float32(temperature)
        return log_p if self.flat else sum(Localizer.log_prior(self.prior, self.log_likelihood), start=log_p)

    def nll(self, temperature: float) -> float:
        """Negative log of the posterior at the truth, which lies in the heat map, in nats per cell."""
        assert self.at is not None
        log_p = self._log_posterior(temperature)
        peak = float(log_p.max())
        mass = float(np.exp((log_p - peak).astype(np.float32)).sum(dtype=np.float64))
        periodic = full_turn(self.log_likelihood)
        return nll_at(log_p, self.at, yaw_periodic=periodic) + peak + math.log(mass)

    def answered(self, temperature: float, config: EstimateConfig) -> AnsweredFrame:
        """The pose at this temperature, before its covariance is scaled."""
        heatmap = posterior(self._log_posterior(temperature), self.log_likelihood)
        modes = find_modes(heatmap, config)
        best = modes[0]
        latitude, longitude = LocalFrame(heatmap.center).to_geodetic(best.east_m, best.north_m)
        moments = covariance_about(heatmap, best)
        unscaled = PoseAnswer(
            float(latitude), float(longitude), best.yaw_enu_rad, moments, status_of(heatmap, modes, config).value
        )
        return AnsweredFrame(self, unscaled, best.mass, score_heatmap(heatmap, self.truth))


@dataclass(frozen=True)
class AnsweredFrame:
    """`unscaled` has the heat map's second moments for its covariance; `score` is None where the truth is outside."""

    held: HeldFrame
    unscaled: PoseAnswer
    confidence: float
    score: HeatMapScore | None


def published_covariances(frames: Sequence[AnsweredFrame], config: EstimateConfig, scale: CovarianceScale) -> Array:
    """Covariances [N, 3, 3] as the localizer publishes them at this scale."""
    moments = np.stack([frame.unscaled.covariance for frame in frames])
    yaw = np.array([frame.unscaled.yaw_enu_rad for frame in frames])
    map_sigma_m = np.array([max(config.map_sigma_m, frame.held.map_sigma_m) for frame in frames])
    return published(moments, yaw, map_sigma_m, config.floor_sigmas, scale)


def frame_results(
    frames: Sequence[AnsweredFrame], config: EstimateConfig, calibration: Calibration | None
) -> list[FrameResult]:
    """The frames as an evaluation has them, under a calibration of the same temperature."""
    covariances = published_covariances(frames, config, CovarianceScale.of(calibration))
    return [_result(n, frame, P, calibration) for n, (frame, P) in enumerate(zip(frames, covariances, strict=True))]


def _result(number: int, frame: AnsweredFrame, P: Array, calibration: Calibration | None) -> FrameResult:
    answer = replace(frame.unscaled, covariance=P).protected(calibration)
    held = frame.held
    return FrameResult(
        number,
        held.truth,
        answer,
        (held.prior.latitude, held.prior.longitude),
        key=held.key,
        confidence=frame.confidence,
        hpd_level=frame.score.hpd_level if frame.score else None,
        road=held.road,
    )
