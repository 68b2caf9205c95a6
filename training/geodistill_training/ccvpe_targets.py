# SPDX-License-Identifier: Apache-2.0
"""CCVPE's dense targets from poses of the vehicle's base."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geodistill_core.datasets.heatmap_targets import gaussian, heading_volume
from geodistill_core.models.base import Geometry
from geodistill_core.models.ccvpe import Ccvpe
from geodistill_training.data.examples import Batch


def camera_heatmaps(network: Ccvpe, batch: Batch, sigma_px: float) -> Tensor:
    """Gaussians [B, H, W] with a peak of one at the camera, which stands where the mount says beside the base.

    Published labels are whole pixels, rounded on VIGOR and cut towards zero on KITTI (`compat`).
    """
    assert batch.truth is not None
    geometry: Geometry = "compat" if any(network.heatmap_shift_cells) else "corrected"
    heatmaps, size = [], batch.maps.rgb.shape[-1]
    for truth, mount, scale in zip(batch.truth, batch.ground.mount, batch.maps.metres_per_pixel, strict=True):
        (east_m, north_m, yaw), (forward_m, left_m, _), c = truth.tolist(), mount.tolist(), float(scale)
        camera_east_m = east_m + forward_m * math.cos(yaw) - left_m * math.sin(yaw)
        camera_north_m = north_m + forward_m * math.sin(yaw) + left_m * math.cos(yaw)
        south_px, east_px = -camera_north_m / c, camera_east_m / c
        if geometry == "compat":
            south_px, east_px = (_whole(x, cut=batch.ground.intrinsics is not None) for x in (south_px, east_px))
        heatmaps.append(gaussian(south_px, east_px, size=size, sigma_px=sigma_px, geometry=geometry))
    return torch.stack(heatmaps).to(batch.truth.device)


def _whole(pixels: float, cut: bool) -> float:
    """Whole pixels; what only float32 metres keep from being whole counts as such."""
    near = round(pixels, 3)
    return float(int(near) if cut else round(near))


def angles_deg(network: Ccvpe, batch: Batch) -> list[float]:
    """The headings as the network counts them: from north, in its own sense of rotation."""
    assert batch.truth is not None
    return [network.turn * (math.degrees(yaw) - 90.0) for yaw in batch.truth[:, 2].tolist()]


def heading_volumes(network: Ccvpe, heatmaps: Tensor, angle_deg: list[float]) -> Tensor:
    """Heat maps [B, H, W] shared between heading channels: [B, rolls, H, W]."""
    pairs = zip(heatmaps, angle_deg, strict=True)
    return torch.stack([heading_volume(heatmap, angle, network.sizes.rolls) for heatmap, angle in pairs])
