# SPDX-License-Identifier: Apache-2.0
"""A small U-net whose output has half the input's resolution."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TrainedNorm(nn.GroupNorm):
    """Group normalisation over eight groups; in training in the layout whose backward pass is ten times faster."""

    def __init__(self, channels: int) -> None:
        super().__init__(8, channels)

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape, channels last."""
        if not input.requires_grad:
            return super().forward(input)
        return super().forward(input.contiguous()).contiguous(memory_format=torch.channels_last)


class ResidualBlock(nn.Module):
    """Group normalisation and two 3x3 convolutions around an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = TrainedNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape."""
        residual = self.conv1(F.relu(self.norm(x)))
        return torch.as_tensor(x + self.conv2(F.relu(residual)))


class UNet(nn.Module):
    """[B, in, H, W] with H, W divisible by 16 to [B, out, H/2, W/2]."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], out_channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, widths[0], 6, stride=2, padding=2)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths))
        self.encode = nn.ModuleList(ResidualBlock(width) for width in widths)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.head = nn.Sequential(TrainedNorm(widths[0]), nn.ReLU(), nn.Conv2d(widths[0], out_channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.encode[0](self.stem(x))
        skips = [x]
        for down, encode in zip(self.down, self.encode[1:], strict=True):
            x = encode(down(x))
            skips.append(x)
        for up, decode, skip in zip(reversed(self.up), reversed(self.decode), reversed(skips[:-1]), strict=True):
            x = decode(F.interpolate(up(x), scale_factor=2.0, mode="bilinear", align_corners=False) + skip)
        return torch.as_tensor(self.head(x))
