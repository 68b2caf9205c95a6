# SPDX-License-Identifier: Apache-2.0
"""A network's calibration, fitted to frames with known truth, and what it changes.

First the temperature: least mean negative log-likelihood of the truth in the heat map. Then, at that temperature, one
factor on sigma for each axis of the vehicle, so that errors over published sigmas have a mean square of 1 (see
`scales`). Last the multiples of these sigmas that hold the errors at the stated risk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.evaluation.calibration import fit_temperature, summarize_heatmaps
from geodistill_core.evaluation.metrics import errors_of, summarize
from geodistill_core.evaluation.recalibration.held import (
    AnsweredFrame,
    HeldFrame,
    frame_results,
    published_covariances,
)
from geodistill_core.evaluation.recalibration.scales import fit_scale, least_samples, protection_factor
from geodistill_core.localization import EstimateConfig
from geodistill_core.localization.covariance import CovarianceScale, vehicle_axes
from geodistill_core.localization.protection import DEFAULT_RISK, axis_sigmas_m
from geodistill_core.models.manifest import Calibration
from geodistill_core.types import Array

LEAST_SAMPLES = 50
"""So few errors give a scale to 10 %, one standard deviation."""
TEMPERATURES = (0.05, 8.0)
_AXES = ("across", "along", "yaw")
_SWEEPS = 3
_CLAIMS = ("nees", "coverage", "coverage_bounds", "sharpness_m2", "protection", "position_error_m", "strata")


@dataclass(frozen=True)
class Recalibration:
    """A fitted calibration, and claims (see `claims`) of all frames `before` and `after` it.

    `held_out` are those of the second half of the frames under a calibration fitted to the first.
    """

    calibration: Calibration
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    held_out: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "calibration": self.calibration.model_dump(mode="json"),
            "before": dict(self.before),
            "after": dict(self.after),
            "held_out": dict(self.held_out),
        }


def recalibrate(
    frames: Sequence[HeldFrame],
    fitted_on: str,
    *,
    date: str | None = None,
    before: Calibration | None = None,
    risk: float = DEFAULT_RISK,
    config: EstimateConfig | None = None,
) -> Recalibration:
    """Fit a calibration to frames whose neighbours stand together; `before` is the one that they are compared with.

    Raises:
        ConfigError: there are too few frames for a scale, or for a protection level at this risk.
        CheckpointError: no temperature within `TEMPERATURES` is the best one.
    """
    config = config or EstimateConfig()
    check_samples(len(frames), risk)
    calibration, after = _fit(frames, fitted_on, date, risk, config)
    half = len(frames) // 2
    learned, _ = _fit(frames[:half], fitted_on, date, risk, config)
    return Recalibration(
        calibration,
        claims(_answered(frames, before.temperature if before else 1.0, config), config, before),
        claims(after, config, calibration),
        claims(_answered(frames[half:], learned.temperature, config), config, learned),
    )


def fit_calibration(
    frames: Sequence[HeldFrame],
    fitted_on: str,
    *,
    date: str | None = None,
    risk: float = DEFAULT_RISK,
    config: EstimateConfig | None = None,
) -> Calibration:
    """The calibration alone; raises as `recalibrate`."""
    check_samples(len(frames), risk)
    return _fit(frames, fitted_on, date, risk, config or EstimateConfig())[0]


def check_samples(count: int, risk: float) -> None:
    """Raises ConfigError for fewer samples than a calibration takes."""
    least = max(LEAST_SAMPLES, least_samples(risk))
    if count < least:
        raise ConfigError(
            f"{count} samples are too few to calibrate on at a risk of {risk:g}: take at least {least}"
            + (", or state a larger --risk" if least > LEAST_SAMPLES else "")
        )


def claims(frames: Sequence[AnsweredFrame], config: EstimateConfig, calibration: Calibration | None) -> dict[str, Any]:
    """What frames claim under a calibration, named as in metrics.json, with `nll_mean` and others of the heat map."""
    summary = summarize(frame_results(frames, config, calibration), model="", map_name="")
    return {
        "temperature": calibration.temperature if calibration else 1.0,
        **summarize_heatmaps([frame.score for frame in frames]),
        **{key: summary[key] for key in _CLAIMS},
    }


def _answered(frames: Sequence[HeldFrame], temperature: float, config: EstimateConfig) -> list[AnsweredFrame]:
    return [frame.answered(temperature, config) for frame in frames]


def _fit(
    frames: Sequence[HeldFrame], fitted_on: str, date: str | None, risk: float, config: EstimateConfig
) -> tuple[Calibration, list[AnsweredFrame]]:
    inside = [frame for frame in frames if frame.at is not None]
    temperature = _temperature(inside)
    answered = _answered(frames, temperature, config)
    scale = _scale(answered, config)
    factors = _protection(answered, config, scale, risk)
    calibration = Calibration(
        temperature=temperature,
        samples=len(frames),
        fitted_on=fitted_on,
        nll_before=_mean_nll(inside, 1.0),
        nll_after=_mean_nll(inside, temperature),
        scale_across=scale.across,
        scale_along=scale.along,
        scale_yaw=scale.yaw,
        protection_lateral=factors[0],
        protection_longitudinal=factors[1],
        risk=risk,
        date=date,
    )
    return calibration, answered


def _mean_nll(frames: Sequence[HeldFrame], temperature: float) -> float:
    return float(np.mean([frame.nll(temperature) for frame in frames]))


def _temperature(inside: Sequence[HeldFrame]) -> float:
    if not inside:
        raise CheckpointError("no true position lies in its heat map; check the truth, or calibrate with better priors")
    low, high = TEMPERATURES
    found = fit_temperature(lambda temperature: _mean_nll(inside, temperature), low, high)
    if not 1.05 * low < found < high / 1.05:
        raise CheckpointError(
            f"the likelihood of {len(inside)} frames has no maximum at a temperature in {low:g}..{high:g}: "
            "the network tells nothing of where they were taken"
        )
    return found


def _errors(frames: Sequence[AnsweredFrame]) -> Array:
    """Answer minus truth [N, 3], east m, north m, yaw rad."""
    # the errors do not depend on the covariance, which need not be publishable yet
    plain = [replace(frame.unscaled, covariance=np.eye(3)) for frame in frames]
    found = errors_of(plain, [frame.held.truth for frame in frames])
    return np.array([(error.east_m, error.north_m, error.yaw_rad) for error in found])


def _scale(frames: Sequence[AnsweredFrame], config: EstimateConfig) -> CovarianceScale:
    """Each axis in turn: floors and the map's sigma act on east and north, and so on both axes of the vehicle."""
    turned = vehicle_axes(np.array([frame.unscaled.yaw_enu_rad for frame in frames]))
    errors = np.einsum("nij,nj->ni", turned, _errors(frames))
    scale = CovarianceScale()
    for _ in range(_SWEEPS):
        for axis, name in enumerate(_AXES):

            def standardised(
                factor: float, axis: int = axis, name: str = name, scale: CovarianceScale = scale
            ) -> Array:
                P = published_covariances(frames, config, replace(scale, **{name: factor}))
                variance = np.einsum("ni,nij,nj->n", turned[:, axis], P, turned[:, axis])
                return np.asarray(errors[:, axis] / np.sqrt(variance))

            scale = replace(scale, **{name: fit_scale(standardised)})
    return scale


def _protection(
    frames: Sequence[AnsweredFrame], config: EstimateConfig, scale: CovarianceScale, risk: float
) -> tuple[float | None, float | None]:
    """Factors across and along; None where the frames are too few for this risk."""
    if len(frames) < least_samples(risk):
        return None, None
    covariances = published_covariances(frames, config, scale)
    sigmas = np.array(
        [axis_sigmas_m(P, frame.unscaled.yaw_enu_rad) for P, frame in zip(covariances, frames, strict=True)]
    )
    plain = [replace(frame.unscaled, covariance=P) for P, frame in zip(covariances, frames, strict=True)]
    errors = errors_of(plain, [frame.held.truth for frame in frames])
    lateral, longitudinal = (
        protection_factor(np.array([getattr(error, f"{axis}_m") for error in errors]) / sigmas[:, column], risk)
        for column, axis in enumerate(("lateral", "longitudinal"))
    )
    return lateral, longitudinal
