# SPDX-License-Identifier: Apache-2.0
"""Frozen backbones without their weights, for measurements: of the same cost, or of none."""

from __future__ import annotations

import torch
from torch import Tensor

from geodistill_core.models.backbones.dinov2 import FrozenDinov2, require_transformers
from geodistill_core.models.backbones.dpt import Tokens
from geodistill_core.models.backbones.patches import pad_to_patches

_PATCH = 14
_SEED = 11


class GivenTokens:
    """Noise in the shape of a backbone's tokens, drawn once for each size of picture."""

    def __init__(self, backbone: FrozenDinov2) -> None:
        self.blocks, self.channels = len(backbone.blocks), backbone.channels
        self._drawn: dict[tuple[int, ...], Tokens] = {}

    def tokens(self, images: Tensor) -> Tokens:
        """Tokens for images [B, 3, H, W], whatever they show."""
        rows, columns = (side // _PATCH for side in pad_to_patches(images, _PATCH).shape[-2:])
        shape = (len(images), rows, columns, self.channels)
        if shape not in self._drawn:
            draw = torch.Generator().manual_seed(_SEED)
            with torch.inference_mode(False):  # tensors made in inference mode could not serve training later
                patches = [torch.randn(shape, generator=draw) for _ in range(self.blocks)]
                classes = [torch.randn(shape[0], shape[-1], generator=draw) for _ in range(self.blocks)]
            self._drawn[shape] = Tokens(patches, classes)
        return self._drawn[shape]


def stand_in(backbone: FrozenDinov2, computed: bool) -> FrozenDinov2 | GivenTokens:
    """A backbone of the same architecture with random weights where it is to be computed, else given tokens.

    Raises:
        ConfigError: it is to be computed and transformers is not installed.
    """
    if not computed:
        return GivenTokens(backbone)
    require_transformers()
    from transformers import Dinov2Backbone, Dinov2Config

    layers = 3 * len(backbone.blocks) if backbone.channels <= 768 else 6 * len(backbone.blocks)
    config = Dinov2Config(
        hidden_size=backbone.channels,
        num_hidden_layers=layers,
        num_attention_heads=backbone.channels // 64,
        image_size=518,
        patch_size=_PATCH,
        out_indices=[block + 1 for block in backbone.blocks],
        apply_layernorm=False,
        reshape_hidden_states=False,
    )
    random = FrozenDinov2("random weights", backbone.channels, backbone.blocks, "library")
    random.adopt(Dinov2Backbone(config))
    return random
