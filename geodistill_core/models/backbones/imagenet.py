# SPDX-License-Identifier: Apache-2.0
"""The colour statistics of ImageNet, which backbones pre-trained on it expect to be taken off."""

from __future__ import annotations

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def imagenet_normalized(rgb: Tensor) -> Tensor:
    """[B, 3, H, W] RGB in 0..1 to zero mean and unit variance per colour."""
    mean, std = (
        torch.tensor(v, device=rgb.device, dtype=rgb.dtype).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (rgb - mean) / std
