# SPDX-License-Identifier: Apache-2.0
"""The EfficientNet trunk one operation at a time, as the published code runs it.

Where a network feeds raw pixels, saturated gates let rounding grow ten-thousandfold from block to block. There the
order of operations and the layout in memory are part of the published numbers: nothing is folded, channels come first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.models.backbones.efficientnet import ConvNorm, EfficientNet, MBConv, SpatialConv


def published_blocks(trunk: EfficientNet, x: Tensor, blocks: Sequence[int]) -> list[Tensor]:
    """Outputs of the listed blocks for [B, 3, H, W], zero padding, evaluation mode; see `EfficientNet.forward`."""
    x = _swish(_spatial(trunk.stem, x.contiguous()))
    outputs = []
    for index, block in enumerate(trunk.blocks[: max(blocks) + 1]):
        x = _block(block, x)  # type: ignore[arg-type]  # a ModuleList forgets the type
        if index in blocks:
            outputs.append(x)
    return outputs


def _swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def _normalized(layer: ConvNorm, x: Tensor) -> Tensor:
    conv, norm = layer.conv, layer.norm
    y = F.conv2d(x, _channels_first(conv.weight), None, conv.stride, 0, 1, conv.groups)
    return F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def _spatial(layer: SpatialConv, x: Tensor) -> Tensor:
    return _normalized(layer, F.pad(x, (layer.before, layer.after, layer.before, layer.after)))


def _block(block: MBConv, x: Tensor) -> Tensor:
    y = x if block.expand is None else _swish(_normalized(block.expand, x))
    y = _swish(_spatial(block.depthwise, y))
    squeezed = _swish(_pointwise(block.squeeze, F.adaptive_avg_pool2d(y, 1)))
    y = _normalized(block.project, torch.sigmoid(_pointwise(block.excite, squeezed)) * y)
    return y + x if block.skips else y


def _pointwise(conv: torch.nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, _channels_first(conv.weight), conv.bias)


def _channels_first(weight: Tensor) -> Tensor:
    """Contiguous, with the strides to prove it: those of 1x1 kernels may claim either layout."""
    return weight.contiguous().flatten().view(weight.shape)
