# SPDX-License-Identifier: Apache-2.0
"""What answers claim, frame by frame: size of the ellipses, protection levels, and the strata in which claims hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from geodistill_core.evaluation.calibration import reliability_curve
from geodistill_core.evaluation.consistency import ellipse_areas_m2
from geodistill_core.evaluation.frame_errors import FrameErrors, FrameResult, PoseAnswer, ellipse_quantile_sq, offset_m
from geodistill_core.evaluation.integrity import ALERT_LIMIT_M, Stanford
from geodistill_core.evaluation.strata import CONFIDENCE_EDGES, COVERED, PRIOR_EDGES_M, binned, summarize_strata
from geodistill_core.localization.protection import ProtectionLevel, protection_level


def protections(answers: Sequence[PoseAnswer]) -> list[ProtectionLevel]:
    """What each answer states, and of a normal error where it states none."""
    return [answer.protection or protection_level(answer.covariance, answer.yaw_enu_rad, None) for answer in answers]


def stanford(answers: Sequence[PoseAnswer], errors: Sequence[FrameErrors]) -> list[Stanford]:
    """Errors against protection levels along both axes of the vehicle."""
    stated = protections(answers)
    return [
        Stanford(
            axis,
            np.abs([getattr(error, f"{axis}_m") for error in errors]),
            np.array([getattr(level, f"{axis}_m") for level in stated], dtype=np.float64),
        )
        for axis in ALERT_LIMIT_M
    ]


def strata(judged: Sequence[FrameResult], errors: Sequence[FrameErrors]) -> list[dict[str, Any]]:
    """The `strata` of metrics.json: by confidence, error of the prior, status and road of scored frames."""
    prior_m = [math.hypot(*offset_m(*r.gnss, r.truth)) if r.gnss and r.truth else None for r in judged]
    labels = {
        "confidence": binned([r.confidence for r in judged], CONFIDENCE_EDGES),
        "prior error": binned(prior_m, PRIOR_EDGES_M, " m"),
        "status": [r.answer.status if r.answer else "" for r in judged],
        "road": [r.road for r in judged],
    }
    covered = np.array([e.position_mahalanobis_sq for e in errors]) <= ellipse_quantile_sq(COVERED)
    return summarize_strata(
        np.array([e.position_m for e in errors]), np.array([e.nees for e in errors]), covered, labels
    )


def hpd_curve(results: Sequence[FrameResult]) -> dict[str, Any]:
    """How often the truth lies in the heat map's densest cells that hold so much, and the largest deviation."""
    levels = [r.hpd_level for r in results if r.hpd_level is not None]
    curve = reliability_curve(levels)
    return {
        "frames": len(levels),
        "max_deviation": curve.max_deviation if levels else None,
        "curve": {f"{p:g}": share for p, share in zip(curve.nominal, curve.observed, strict=True)},
    }


def sharpness_m2(answers: Sequence[PoseAnswer]) -> float | None:
    """Mean area of the claimed 95 % ellipses: what a covariance pays for covering everything."""
    return float(ellipse_areas_m2(np.stack([a.covariance for a in answers])).mean()) if answers else None


def common_risk(answers: Sequence[PoseAnswer]) -> float | None:
    """The risk of all protection levels; None where there are none, or several risks."""
    risks = {level.risk for level in protections(answers)}
    return risks.pop() if len(risks) == 1 else None
