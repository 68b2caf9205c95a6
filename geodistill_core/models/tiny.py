# SPDX-License-Identifier: Apache-2.0
"""`tiny`: two small U-nets, ground-plane projection and normalised cross-correlation over rotated hypotheses.

The method of G2SWeakly (two encoders, projection of confident ground features, correlation) with the yaw search made
part of the match: the ground strip is encoded once, its features are laid on the ground for each yaw hypothesis, and
every layout is correlated with the map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodistill_core.geometry.ground_plane import camera_in_level
from geodistill_core.models.backbones.unet import UNet
from geodistill_core.models.base import (
    CrossViewNetwork,
    GroundFeatures,
    GroundInput,
    MapFeatures,
    MapInput,
    mount_at_height,
)
from geodistill_core.models.correlation import CorrelationMap, correlation_map, normalized
from geodistill_core.models.portable import is_portable
from geodistill_core.models.sampling import sample_hypotheses
from geodistill_core.models.seam import across_seam
from geodistill_core.models.strip import StripGeometry, ground_strip, strip_coordinates
from geodistill_core.types import GroundImage

_MIN_VISIBLE_SHARE = 0.35
_WHOLE = 1.0 + 1e-4


class Tiny(CrossViewNetwork[MapFeatures, GroundFeatures]):
    """See the module; `widths` are the U-nets' channels, `channels` the feature's, `cells` the template's width."""

    metres_per_pixel = 0.25
    metres_per_cell = 0.5
    compared_by_torch = True
    east_m: Tensor
    north_m: Tensor
    in_disc: Tensor
    row_code: Tensor

    def __init__(self, channels: int = 8, widths: tuple[int, ...] = (24, 48, 96, 128), cells: int = 97) -> None:
        super().__init__()
        self.strip = StripGeometry()
        self.map_encoder = UNet(3, widths, channels)
        self.ground_encoder = UNet(5, widths, channels + 1)
        self.log_scale = nn.Parameter(torch.tensor(3.0))
        self.set_template(cells)
        rows = (torch.arange(self.strip.height) + 0.5) / self.strip.height * 2 - 1
        self.register_buffer("row_code", rows.view(1, 1, -1, 1), persistent=False)

    def set_template(self, cells: int) -> None:
        """Match a disc of ground `cells` (odd) wide; no weight depends on it."""
        self.cells = cells
        self.template_extent_m = cells * self.metres_per_cell
        axis = (torch.arange(cells) - cells // 2) * self.metres_per_cell
        self.register_buffer("east_m", axis.view(1, -1).expand(cells, -1).clone(), persistent=False)
        self.register_buffer("north_m", -axis.view(-1, 1).expand(-1, cells).clone(), persistent=False)
        in_disc = self.east_m.square() + self.north_m.square() <= (self.template_extent_m / 2) ** 2
        self.register_buffer("in_disc", in_disc.float(), persistent=False)

    def prepare_ground(self, image: GroundImage) -> GroundInput:
        """See the contract; the pixels are those of the canonical strip."""
        rgb, visible = ground_strip(image, self.strip)
        # not torch: its threads spin for milliseconds after every operation, beside those of another runtime
        pixels = np.divide(rgb.transpose(2, 0, 1), 255.0, dtype=np.float32)
        mount = torch.from_numpy(camera_in_level(image)[1].astype(np.float32))
        return GroundInput(
            torch.from_numpy(pixels).unsqueeze(0), torch.from_numpy(visible).unsqueeze(0), mount.unsqueeze(0)
        )

    def encode_map(self, tiles: MapInput) -> MapFeatures:
        """See the contract; H and W divisible by 16. Where no gradient is asked for, many images will share the map's
        transforms."""
        valid = tiles.valid.unsqueeze(1)
        x = ((tiles.rgb - 0.5) * 4.0 * valid).contiguous(memory_format=torch.channels_last)
        found = MapFeatures(self.map_encoder(x), F.avg_pool2d(valid, 2).squeeze(1))
        once = torch.is_grad_enabled() or is_portable()
        return found if once else replace(found, correlation=self._correlation_map(found))

    def encode_ground(self, ground: GroundInput) -> GroundFeatures:
        """See the contract; the strip is padded around its seam, so that the encoder sees across it."""
        rgb, visible = ground.pixels, ground.visible.unsqueeze(1)
        x = torch.cat([(rgb - 0.5) * 4.0 * visible, visible, self.row_code.expand_as(visible)], dim=1)
        pad = 16
        x = across_seam(x, pad).contiguous(memory_format=torch.channels_last)
        y = self.ground_encoder(x)[..., pad // 2 : -pad // 2]
        seen = F.avg_pool2d(visible, 2)
        confidence = torch.sigmoid(y[:, -1:].float()) * seen
        return GroundFeatures(y[:, :-1], confidence.squeeze(1), ground.mount)

    def at_height(self, ground: GroundFeatures, height_m: float) -> GroundFeatures:
        """See the contract; the strip holds every depression, so that any height will do."""
        return replace(ground, mount=mount_at_height(ground.mount, height_m))

    def lay_out(self, ground: GroundFeatures, yaw_enu_rad: Tensor) -> tuple[Tensor, Tensor]:
        """Ground features as north-up templates [B, Y, C, k, k] and confidences [B, Y, k, k] for yaws [B, Y]."""
        B = len(yaw_enu_rad)
        c, s = torch.cos(yaw_enu_rad)[..., None, None], torch.sin(yaw_enu_rad)[..., None, None]
        forward_m = c * self.east_m + s * self.north_m - ground.mount[:, 0].view(B, 1, 1, 1)
        left_m = c * self.north_m - s * self.east_m - ground.mount[:, 1].view(B, 1, 1, 1)
        column, row = strip_coordinates(forward_m, left_m, ground.mount[:, 2].view(B, 1, 1, 1), self.strip)
        volume = torch.cat([ground.features.float(), ground.confidence.unsqueeze(1)], dim=1)
        width = volume.shape[-1]
        volume = across_seam(volume, 1)
        grid = torch.stack([(column - 0.5) * (2 * width / (width + 2)), row * 2 - 1], dim=-1)
        laid = sample_hypotheses(volume, grid, "zeros")
        return laid[:, :, :-1], laid[:, :, -1] * self.in_disc

    def similarity(
        self, ground: GroundFeatures, map_features: MapFeatures, yaw_enu_rad: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cosine similarity [B, Y, P, P], -inf where too little of the template lies on valid map, and that share.

        The share is [B, Y, 1, 1] where the whole map is valid.
        """
        template, confidence = self.lay_out(ground, yaw_enu_rad)
        return self._similarity(self._correlation_map(map_features), template, confidence)

    @staticmethod
    def _correlation_map(maps: MapFeatures) -> CorrelationMap:
        if maps.correlation is not None:
            return maps.correlation
        whole = bool((maps.valid == 1).all())  # the common case, and a fifth of the transforms less
        return correlation_map(maps.features.float().unsqueeze(1), None if whole else maps.valid.unsqueeze(1))

    @staticmethod
    def _similarity(maps: CorrelationMap, template: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
        similarity, share = normalized(maps, template, confidence)
        return similarity.masked_fill(share < _MIN_VISIBLE_SHARE, -torch.inf), share

    def match(self, ground: GroundFeatures, map_features: MapFeatures, yaw_enu_rad: Tensor) -> Tensor:
        """See the contract.

        The logits shrink with the share of the template that lies on valid map. The similarity is a mean over what is
        seen, a log-likelihood is a sum: half the ground is half the evidence, for or against, and chance gives small
        templates high similarities more often. Where the map is whole nothing changes.
        """
        return self._logits(*self.similarity(ground, map_features, yaw_enu_rad))

    def compare(self, ground: GroundFeatures, map_features: MapFeatures, yaw_enu_rad: Tensor) -> dict[str, Tensor]:
        """See the contract; templates and confidences, as `lay_out` gives them."""
        return self._templates(ground, yaw_enu_rad)

    def compare_named(self, named: Mapping[str, Tensor], ground: GroundInput, yaw_enu_rad: Tensor) -> dict[str, Tensor]:
        """See the contract."""
        seen = GroundFeatures(named["ground.features"], named["ground.confidence"], ground.mount)
        return self._templates(seen, yaw_enu_rad)

    def _templates(self, ground: GroundFeatures, yaw_enu_rad: Tensor) -> dict[str, Tensor]:
        template, confidence = self.lay_out(ground, yaw_enu_rad)
        return {"template": template, "confidence": confidence}

    def settle_map(self, named: Mapping[str, Tensor], tiles: MapInput) -> CorrelationMap:
        """See the contract."""
        return self._correlation_map(MapFeatures(named["map.features"], named["map.valid"]))

    def conclude(
        self,
        compared: Mapping[str, Tensor],
        settled: CorrelationMap,
        ground: GroundInput,
        tiles: MapInput,
        yaw_enu_rad: Tensor,
    ) -> Tensor:
        """See the contract."""
        return self._logits(*self._similarity(settled, compared["template"], compared["confidence"]))

    def _logits(self, similarity: Tensor, share: Tensor) -> Tensor:
        # rounding of the share must not touch what lies wholly on the map, and -inf must stay what it is
        return similarity * (self.log_scale.exp() * (share * _WHOLE).clamp(_MIN_VISIBLE_SHARE, 1.0))
