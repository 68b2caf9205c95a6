# SPDX-License-Identifier: Apache-2.0
"""The pose at the mode of a heat map, as the localizer finds it."""

from __future__ import annotations

from torch import Tensor

from geodistill_core.localization.estimate import EstimateConfig, find_modes
from geodistill_core.models.base import AnyNetwork
from geodistill_core.types import GeoPoint, HeatMap
from geodistill_training.objectives.pyramid import level_cells_m

_ONE_MODE = EstimateConfig(max_modes=1)
_NOWHERE = GeoPoint(0.0, 0.0)


def modes(
    network: AnyNetwork, logits: Tensor, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
) -> list[tuple[float, float, float, float]]:
    """East and north of the tile's centre, yaw, and the mass around it, for logits [B, Y, P, P] at yaws [B, Y].

    `metres_per_pixel` [B] is that of the tiles.
    """
    probability = logits.flatten(1).double().softmax(dim=1).view_as(logits).float().cpu().numpy()
    cells_m = level_cells_m(network, metres_per_pixel)[-1].tolist()
    east, south = network.heatmap_shift_cells
    poses = []
    for p, cell_m, yaws in zip(probability, cells_m, yaw_enu_rad.double().cpu().numpy(), strict=True):
        mode = find_modes(HeatMap(p, _NOWHERE, cell_m, yaws), _ONE_MODE)[0]
        poses.append((mode.east_m + east * cell_m, mode.north_m - south * cell_m, mode.yaw_enu_rad, mode.mass))
    return poses
