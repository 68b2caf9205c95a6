# SPDX-License-Identifier: Apache-2.0
"""CCVPE and the adaptation paper's network in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.datasets.heatmap_targets import orientation_map
from geodistill_core.errors import ConfigError
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.ccvpe import Ccvpe, CcvpeGround, CcvpeMap
from geodistill_training.ccvpe_losses import ccvpe_loss
from geodistill_training.ccvpe_targets import angles_deg, camera_heatmaps, heading_volumes
from geodistill_training.data.examples import Batch
from geodistill_training.families.base import Family, Masked, hide
from geodistill_training.objectives.records import every_tensor
from geodistill_training.recipe.objectives import SupervisedRecipe
from geodistill_training.targets import refuse_outside

_TEMPERATURE = 0.1  # of the published InfoNCE: what makes the network's logits similarities like its scores
_LEAST_VALID = 0.5


class CcvpeFamily(Family[CcvpeMap, CcvpeGround]):
    """See `Family`; the six matching levels, then the decoded heat map.

    Scores of a level are read at the asked headings, between the two rolls beside each; they are those of the camera's
    place, the decoded heat map those of the base's. There is no batch-wise contrast.

    Raises:
        ConfigError: the network looks at some headings only; published trainings of such fail.
    """

    network: Ccvpe

    def __init__(self, network: Ccvpe, autocast: bool = False) -> None:
        super().__init__(network, autocast)
        if len(network.decoded) != network.sizes.rolls:
            raise ConfigError(
                f"the network decodes {len(network.decoded)} of {network.sizes.rolls} headings; train it without "
                "orientation_prior_deg: one checkpoint serves every prior"
            )

    def maps(self, tiles: MapInput, turn: int = 0) -> CcvpeMap:
        """See `Family`; scores are told directions, so that tiles cannot be turned."""
        if turn:
            raise ConfigError(f"{type(self.network).__name__} cannot turn its tiles; set turns: 1")
        with self.encoding(tiles.rgb.device):
            return every_tensor(self.network.encode_map(tiles), Tensor.float)

    def ground(self, ground: GroundInput) -> CcvpeGround:
        """See `Family`."""
        with self.encoding(ground.pixels.device):
            return every_tensor(self.network.encode_ground(ground), Tensor.float)

    def hidden_ground(self, ground: GroundInput, mask: Tensor, masked: Masked) -> CcvpeGround:
        """See `Family`; cells of the features keep the share of them that is visible."""
        pixels = hide(ground, mask, masked).pixels
        with self.encoding(ground.pixels.device):
            features = self.network.ground_features(pixels)
            if masked != "image":
                features = features * F.adaptive_avg_pool2d(mask[:, None], self.network.sizes.ground_cells)
            return every_tensor(self.network.described(features, ground.mount), Tensor.float)

    def activations(self, ground: GroundInput) -> Tensor:
        """See `Family`; a look does not count for the running statistics of batch norms."""
        trunk = self.network.ground_trunk
        training = trunk.training
        trunk.eval()
        try:
            return self.network.ground_features(ground.pixels)
        finally:
            trunk.train(training)

    def heatmaps(self, ground: CcvpeGround, maps: CcvpeMap, yaw_enu_rad: Tensor) -> tuple[Tensor, ...]:
        """See `Family`."""
        found = self.network.decode(ground, maps)
        scores = [self._at_yaws(volume, maps.valid, yaw_enu_rad) for volume in found.scores]
        return *scores, self.network.answer(found, ground, maps, yaw_enu_rad) * _TEMPERATURE

    def _at_yaws(self, volume: Tensor, valid: Tensor, yaw_enu_rad: Tensor) -> Tensor:
        """Scores [B, rolls, P, P] at headings [B, Y]; channel k stands for the angle -k turns / rolls from north."""
        rolls, cells = volume.shape[1], volume.shape[-1]
        turns = self.network.turn * (yaw_enu_rad / (2 * torch.pi) - 0.25)
        channel = torch.remainder(-turns * rolls, rolls)
        first = channel.floor()
        before, after = (
            volume.gather(1, ((first.long() + step) % rolls)[..., None, None].expand(-1, -1, cells, cells))
            for step in (0, 1)
        )
        found = torch.lerp(before, after, (channel - first)[..., None, None])
        return found.masked_fill(F.adaptive_avg_pool2d(valid[:, None], cells) < _LEAST_VALID, -torch.inf)

    def supervised_loss(self, batch: Batch, options: SupervisedRecipe, rngs: Sequence[np.random.Generator]) -> Tensor:
        """See `Family`; cross-entropy with a Gaussian at the camera, InfoNCE of every level, and the heading field."""
        refuse_outside(batch, batch.maps.rgb.shape[-1] / 2 * batch.maps.metres_per_pixel)
        output = self.network.decode(self.ground(batch.ground), self.maps(batch.maps))
        angles = angles_deg(self.network, batch)
        heatmaps = camera_heatmaps(self.network, batch, options.sigma_cells)
        volumes = heading_volumes(self.network, heatmaps, angles)
        field = torch.stack([orientation_map(angle, heatmaps.shape[-1]) for angle in angles]).to(heatmaps.device)
        return ccvpe_loss(output, heatmaps[:, None], volumes, field)
