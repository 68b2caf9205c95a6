# SPDX-License-Identifier: Apache-2.0
"""The gate that every build passes or is not used: a compiled network finds the poses that the eager one finds."""

from __future__ import annotations

from dataclasses import dataclass

POSITION_M, YAW_DEG, HEATMAP = 0.05, 0.1, 1e-3
"""The most that a build may differ from eager: pose, and any probability of the heat map."""


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest differences over the probes: of poses, and of any one probability of the heat maps."""

    position_m: float
    yaw_deg: float
    heatmap: float

    @property
    def holds(self) -> bool:
        """Whether all are within the limits; NaN is not."""
        return self.position_m <= POSITION_M and self.yaw_deg <= YAW_DEG and self.heatmap <= HEATMAP

    def __str__(self) -> str:
        """The differences beside their limits."""
        return (
            f"position {self.position_m:.4f} m (limit {POSITION_M:g}), yaw {self.yaw_deg:.4f} degrees (limit "
            f"{YAW_DEG:g}), heat map {self.heatmap:.2e} (limit {HEATMAP:g})"
        )
