# SPDX-License-Identifier: Apache-2.0
"""Protection levels against errors: how often one is passed, and how often it is small enough to be of use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodistill_core.types import Array

ALERT_LIMIT_M = {"lateral": 0.5, "longitudinal": 1.0}
"""The error that is dangerous for the vehicle."""
ZONES = ("available", "unavailable", "misleading", "hazardous")


@dataclass(frozen=True)
class Stanford:
    """Errors [N] along one axis of the vehicle against the protection levels [N] that were claimed, metres."""

    axis: str
    error_m: Array
    protection_m: Array

    @property
    def alert_limit_m(self) -> float:
        """The error that is dangerous."""
        return ALERT_LIMIT_M[self.axis]

    def zones(self) -> dict[str, int]:
        """How many frames lie in each zone.

        Available: error <= protection level <= alert limit. Unavailable: the protection level says that the alert
        limit may be passed. Misleading: the error is beyond the protection level, and hazardous where it is also
        beyond the alert limit while the protection level is not.
        """
        beyond = self.error_m > self.protection_m
        available = self.protection_m <= self.alert_limit_m
        hazardous = beyond & available & (self.error_m > self.alert_limit_m)
        counts = (~beyond & available, ~beyond & ~available, beyond & ~hazardous, hazardous)
        return {name: int(mask.sum()) for name, mask in zip(ZONES, counts, strict=True)}

    def summary(self) -> dict[str, Any]:
        """How often the protection level was passed, and the share of frames that it lets be used."""
        count, violations = len(self.error_m), int((self.error_m > self.protection_m).sum())
        return {
            "violations": violations,
            "share": violations / count if count else None,
            "alert_limit_m": self.alert_limit_m,
            "availability": float((self.protection_m <= self.alert_limit_m).mean()) if count else None,
            "median_m": float(np.median(self.protection_m)) if count else None,
            "zones": self.zones(),
        }


def summarize_protection(diagrams: Sequence[Stanford], risk: float | None) -> dict[str, Any]:
    """The `protection` entry of metrics.json; the risk is None where there is no frame, or frames state several."""
    frames = len(diagrams[0].error_m)
    return {"risk": risk, "frames": frames} | {diagram.axis: diagram.summary() for diagram in diagrams}
