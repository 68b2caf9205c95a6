# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-B0 with fixed "same" padding: zeros, wrapped around a panorama's seam, or reflected.

Padding commutes with pointwise layers, so outside training the narrow input of a block is padded (circular, reflect)
instead of its sixfold expansion, and batch normalisation is folded into the convolutions.
Source: EfficientNet, table 1 (B0); paddings as in CCVPE's and the adaptation paper's published code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodistill_core.models.derived import Derived
from geodistill_core.models.portable import is_portable

Padding = Literal["zeros", "circular", "reflect"]
BLOCK_CHANNELS = (16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320)
HEAD_CHANNELS = 1280
# repeats, kernel, stride of the first, expansion, output channels
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_DROP_CONNECT = 0.2

EFFICIENTNET_KEYS: tuple[tuple[str, str], ...] = (
    (r"_conv_stem\.", "stem.conv."),
    (r"(?<!\d\.)_bn0\.", "stem.norm."),
    (r"_conv_head\.", "head.conv."),
    (r"(?<!\d\.)_bn1\.", "head.norm."),
    (r"_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.conv."),
    (r"_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.conv."),
    (r"_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
    (r"_blocks\.(\d+)\._se_reduce\.", r"blocks.\1.squeeze."),
    (r"_blocks\.(\d+)\._se_expand\.", r"blocks.\1.excite."),
    (r"_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.conv."),
    (r"_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
)
"""Published key of a trunk to ours; a network puts its own prefix rule before these."""

EFFICIENTNET_UNUSED: tuple[str, ...] = (r"(^|\.)_fc\.",)
EFFICIENTNET_UNUSED_HEAD: tuple[str, ...] = (r"(^|\.)_conv_head\.", r"(?<!\d\.)_bn1\.")
"""Published keys of the head convolution, for networks that build the trunk with `head=False`."""


def _silu(x: Tensor) -> Tensor:
    return F.silu(x, inplace=not (x.requires_grad or is_portable()))


class ConvNorm(nn.Module):
    """A convolution without bias and its batch normalisation, folded into one convolution outside training."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, eps=1e-3, momentum=0.01)
        self._folded = Derived()

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias that do both."""
        norm = self.norm
        sources = (self.conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
        weight, bias = self._folded.get([s for s in sources if s is not None], self._fold)
        return weight, bias

    def _fold(self) -> tuple[Tensor, ...]:
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return self.conv.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale

    def pointwise(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """A 1 x 1 convolution outside training as a product of rows of pixels; `gate` [B, in, 1, 1] scales its input.

        The gate is laid on the weights, which are fewer than the pixels. In portable form it is a plain convolution.
        """
        if is_portable():
            return F.conv2d(x if gate is None else x * gate, *self.folded())
        (B, C, H, W), (weight, bias) = x.shape, self.folded()
        rows, columns = x.permute(0, 2, 3, 1).reshape(B, H * W, C), weight.flatten(1).t().expand(B, C, -1)
        columns = columns if gate is None else columns * gate.view(B, C, 1)
        return torch.baddbmm(bias, rows, columns).view(B, H, W, -1).permute(0, 3, 1, 2)

    def forward(self, x: Tensor, padding: tuple[int, int] = (0, 0)) -> Tensor:
        """[B, in, H, W] to [B, out, H', W'] with `padding` zeros (rows, columns) on either side."""
        conv = self.conv
        if not self.norm.training and conv.kernel_size == (1, 1):
            return self.pointwise(x)
        if self.norm.training:
            y = F.conv2d(x, conv.weight, None, conv.stride, padding, 1, conv.groups)
            return torch.as_tensor(self.norm(y))
        weight, bias = self.folded()
        return F.conv2d(x, weight, bias, conv.stride, padding, 1, conv.groups)


class SpatialConv(ConvNorm):
    """A k x k convolution with EfficientNet's padding: k - stride in all, the smaller half before."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, groups: int, mode: Padding
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, groups)
        self.mode = mode
        self.before = (kernel - stride) // 2
        self.after = kernel - stride - self.before

    def pad(self, x: Tensor) -> Tensor:
        """Everything that is not a zero; zeros are left to the convolution."""
        before, after = self.before, self.after
        if self.mode == "circular":
            return torch.cat([x[..., x.shape[-1] - before :], x, x[..., :after]], dim=-1)
        if self.mode == "reflect":
            return F.pad(x, (before, after, before, after), mode="reflect")
        return x

    def on_padded(self, x: Tensor) -> Tensor:
        """The convolution of what `pad` made of its input."""
        if self.mode == "reflect":
            return torch.as_tensor(self(x))
        columns = self.mode == "zeros"
        if is_portable():
            sides = (self.before, self.after)
            return torch.as_tensor(self(F.pad(x, (*(sides if columns else (0, 0)), *sides))))
        if self.before == self.after:
            return torch.as_tensor(self(x, (self.before, self.before * columns)))
        # One output more than asked for at the start gives the uneven padding without a padded copy.
        rows, columns_out = x.shape[-2] // 2, (x.shape[-1] - (0 if columns else self.before + self.after)) // 2
        zeros = self.before + 2
        y = torch.as_tensor(self(x, (zeros, zeros * columns)))
        return y[..., 1 : 1 + rows, columns : columns + columns_out]


class MBConv(nn.Module):
    """Expansion, depthwise convolution, squeeze and excitation, projection, around an identity where shapes allow."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, expand: int, drop: float, mode: Padding
    ) -> None:
        super().__init__()
        width, squeezed = channels_in * expand, max(1, channels_in // 4)
        self.expand = ConvNorm(channels_in, width) if expand > 1 else None
        self.depthwise = SpatialConv(width, width, kernel, stride, width, mode)
        self.squeeze = nn.Conv2d(width, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, width, 1)
        self.project = ConvNorm(width, channels_out)
        self.skips = stride == 1 and channels_in == channels_out
        self.drop = drop

    def _spatial(self, x: Tensor) -> Tensor:
        if self.expand is None:
            return self.depthwise.on_padded(self.depthwise.pad(x))
        if self.training:  # batch statistics must not count padding
            return self.depthwise.on_padded(self.depthwise.pad(_silu(self.expand(x))))
        return self.depthwise.on_padded(_silu(self.expand(self.depthwise.pad(x))))

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] to [B, out, H / stride, W / stride]."""
        wide = _silu(self._spatial(x))
        gate = torch.sigmoid(self.excite(_silu(self.squeeze(wide.mean(dim=(2, 3), keepdim=True)))))
        y = self.project(wide * gate) if self.training else self.project.pointwise(wide, gate)
        if not self.skips:
            return torch.as_tensor(y)
        if self.training and self.drop > 0:
            kept = torch.rand(len(y), 1, 1, 1, device=y.device, dtype=y.dtype) >= self.drop
            y = y * kept / (1 - self.drop)
        return torch.as_tensor(y + x if y.requires_grad or is_portable() else y.add_(x))


class EfficientNet(nn.Module):
    """The B0 trunk over ImageNet-normalised pixels; sides divide by 32 unless the network says otherwise.

    `padding` is that of every spatial convolution: zeros, circular (columns wrap around, rows get zeros) or reflect.
    Block outputs used by networks: 0 (16 channels, /2), 2 (24, /4), 4 (40, /8), 10 (112, /16), 14 (192, /32),
    15 (320, /32). `head=False` leaves out the 1x1 convolution to 1280 channels.
    """

    def __init__(self, padding: Padding = "zeros", head: bool = True) -> None:
        super().__init__()
        self.stem = SpatialConv(3, 32, 3, 2, 1, padding)
        blocks: list[nn.Module] = []
        width = 32
        for repeats, kernel, stride, expand, out in _STAGES:
            for i in range(repeats):
                drop = _DROP_CONNECT * len(blocks) / len(BLOCK_CHANNELS)
                blocks.append(MBConv(width, out, kernel, stride if i == 0 else 1, expand, drop, padding))
                width = out
        self.blocks = nn.ModuleList(blocks)
        self.head = ConvNorm(width, HEAD_CHANNELS) if head else None

    def forward(self, x: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """[B, 3, H, W] to the outputs of the listed blocks, in rising order; nothing beyond the last is computed."""
        x = x.contiguous(memory_format=torch.channels_last)
        x = _silu(self.stem.on_padded(self.stem.pad(x)))
        outputs = []
        for index, block in enumerate(self.blocks[: max(blocks) + 1]):
            x = block(x)
            if index in blocks:
                outputs.append(x)
        return outputs

    def features(self, block15: Tensor) -> Tensor:
        """The last block's output [B, 320, h, w] to [B, 1280, h, w] by the head."""
        assert self.head is not None, "this trunk was built with head=False"
        return _silu(self.head(block15))
