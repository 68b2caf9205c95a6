# SPDX-License-Identifier: Apache-2.0
"""The gate that every build passes or is not used: a compiled network finds the poses that the eager one finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from geodistill_core.geometry.angles import wrap
from geodistill_core.localization.estimate import EstimateConfig, estimate
from geodistill_core.localization.heights import log_likelihood
from geodistill_core.models.base import AnyNetwork
from geodistill_core.runtime.backend import Precision
from geodistill_core.types import Array, Estimate, GroundImage, HeatMap, MapTile

POSITION_M, YAW_DEG, HEATMAP = 0.05, 0.1, 1e-3
"""The most that a build may differ from eager: pose, and any probability of the heat map."""
HEATMAP_INT8 = 0.03
"""The same of the heat map in int8, whose rounding sharpens or blurs a heat map while its pose stays in place."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A ground image, a tile that it is matched with and the headings [Y] that are tried."""

    image: GroundImage
    tile: MapTile
    yaw_enu_rad: Array


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest differences over the probes: of poses, and of any one probability of the heat maps."""

    position_m: float
    yaw_deg: float
    heatmap: float
    heatmap_limit: float = HEATMAP

    @property
    def holds(self) -> bool:
        """Whether all are within the limits; NaN is not."""
        return self.position_m <= POSITION_M and self.yaw_deg <= YAW_DEG and self.heatmap <= self.heatmap_limit

    def __str__(self) -> str:
        """The differences beside their limits."""
        return (
            f"position {self.position_m:.4f} m (limit {POSITION_M:g}), yaw {self.yaw_deg:.4f} degrees (limit "
            f"{YAW_DEG:g}), heat map {self.heatmap:.2e} (limit {self.heatmap_limit:g})"
        )


def check(
    eager: AnyNetwork,
    compiled: AnyNetwork,
    probes: Sequence[Probe],
    temperature: float = 1.0,
    precision: Precision = "fp32",
) -> Parity:
    """How far a compiled network's answers are from those of the network it stands for.

    Raises:
        RuntimeBackendError: a network's answer is no distribution, or the engine failed.
    """
    both = [[answer(network, probe, temperature) for network in (eager, compiled)] for probe in probes]
    position_m, yaw_deg, heatmap = np.max([_difference(one, other) for one, other in both], axis=0).tolist()
    return Parity(position_m, yaw_deg, heatmap, HEATMAP_INT8 if precision == "int8" else HEATMAP)


@torch.inference_mode()
def answer(network: AnyNetwork, probe: Probe, temperature: float) -> Estimate:
    """The pose of one probe without a prior: likelihood, soft-max and moments as the localizer takes them."""
    map_features = network.encode_map(network.prepare_map(probe.tile))
    log_p = log_likelihood(network, probe.image, map_features, probe.yaw_enu_rad, temperature)
    probability = np.exp(log_p - log_p.max())
    probability = (probability / probability.sum()).astype(np.float32)
    heatmap = HeatMap(probability, probe.tile.center, network.metres_per_cell, probe.yaw_enu_rad)
    return estimate(heatmap, probe.tile, 0, EstimateConfig())


def _difference(a: Estimate, b: Estimate) -> tuple[float, float, float]:
    one, other = a.modes[0], b.modes[0]
    return (
        math.hypot(one.east_m - other.east_m, one.north_m - other.north_m),
        math.degrees(abs(float(wrap(one.yaw_enu_rad - other.yaw_enu_rad)))),
        float(np.abs(a.heatmap.probability - b.heatmap.probability).max()),
    )
