# SPDX-License-Identifier: Apache-2.0
"""The VGG U-net of G2SWeakly, GeoDistill and GGCVT: seven VGG-16 convolutions, and a decoder that computes on demand.

Only the levels that are asked for are computed, and of an image only the rows that they need: every map knows the row
of the full grid that it starts at (`Band`), and a convolution on a band loses the row whose neighbours are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodistill_core.errors import ConfigError
from geodistill_core.models.backbones.fast_convolution import convolve
from geodistill_core.models.portable import is_portable

NARROW = ((128, 64), (64, 16), (64, 4))
"""Hidden and output channels of the decoder's stages (levels 1, 2, 3) in G2SWeakly and GeoDistill."""
WIDE = ((128, 128), (64, 64), (32, 16))
"""The same in GGCVT, which uses the first two."""
LEVEL_0_CHANNELS = 256
_SKIP_CHANNELS = (128, 64, 64)
_ENCODER_MARGIN_ROWS = 18
_STRIP_ROWS = 32
_WIDE_KERNELS = 128 * 256  # from here on fewer multiplications pay for the traffic of the transformed maps

VGG_UNET_KEYS: tuple[tuple[str, str], ...] = (
    (r"\.(conv\d+)\.(weight|bias)$", r".encoder.\1.\2"),
    (r"\.conv_dec(\d)\.1\.", r".decoders.\1.fuse."),
    (r"\.conv_dec(\d)\.3\.", r".decoders.\1.refine."),
    (r"\.conf(\d)\.1\.", r".confidence.\1."),
)
"""Published key to ours, for a U-net at any prefix."""


@dataclass(frozen=True, slots=True)
class Band:
    """A map [B, C, h, W] that holds the full grid's rows from `top` down."""

    values: Tensor
    top: int = 0

    def below(self, row: int) -> Tensor:
        """The values from the full grid's `row` down."""
        return self.values[:, :, row - self.top :]


@dataclass(frozen=True, slots=True)
class VggLevel:
    """`features` [B, C, h, W], neither rectified nor normalised, and `confidence` [B, 1, h, W] if it was asked for."""

    features: Tensor
    confidence: Tensor | None


@dataclass(frozen=True, slots=True)
class VggMaps:
    """The encoder's maps at 1/8 (256 channels, not rectified), 1/4 (128), 1/2 (64) and 1/1 (64, not rectified).

    Those at 1/4 and 1/2 are rectified: whatever reads them rectifies first.
    """

    eighth: Band
    quarter: Band
    half: Band
    full: Band | None

    def skip(self, level: int) -> Band:
        """What the decoder of a level concatenates, rectified."""
        if level == 3:
            assert self.full is not None
            return Band(F.relu(self.full.values), self.full.top)
        return self.quarter if level == 1 else self.half


def unit_norm(features: Tensor) -> Tensor:
    """Features [B, C, H, W] scaled to unit length over C, H and W of each sample (floor 1e-12)."""
    length = features.flatten(1).norm(dim=1)  # rounds with the order of summation: channels outermost, as published
    return torch.as_tensor(features / length.clamp(min=1e-12).view(-1, 1, 1, 1))


def conv3x3(in_channels: int, out_channels: int, *, bias: bool = False) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, skip: int) -> Tensor:
    """A 3x3 convolution without its first `skip` (0, 1) rows, the way that is fastest for its width.

    In portable form the row is not padded for instead of taken away: engines pad while they convolve, but copy slices.
    """
    if is_portable():
        return F.conv2d(F.pad(x, (1, 1, 1 - skip, 1)), weight, bias)
    if weight.shape[0] * weight.shape[1] < _WIDE_KERNELS:
        return F.conv2d(x, weight, bias, padding=1)[:, :, skip:]
    return convolve(x.permute(0, 2, 3, 1), weight, bias, skip).permute(0, 3, 1, 2)


def _enlarging(weight: Tensor) -> Tensor:
    """The transposed convolution [in, out, 4, 4] that is a doubling (nearest) followed by a convolution by `weight`."""
    spread = weight.flip(2, 3).transpose(0, 1)
    return sum((F.pad(spread, (i, 1 - i, j, 1 - j)) for i in (0, 1) for j in (0, 1)), start=weight.new_zeros(()))


def _convolve(layer: nn.Conv2d, band: Band) -> Band:
    lost = min(band.top, 1)
    return Band(_convolution(band.values, layer.weight, layer.bias, lost), band.top + lost)


def _rectify_in_place(band: Band) -> Band:
    return Band(F.relu(band.values, inplace=not is_portable()), band.top)


def _pool(band: Band) -> Band:
    return Band(F.max_pool2d(band.values, 2), band.top // 2)


class VggEncoder(nn.Module):
    """The first seven convolutions of VGG-16; pooling acts on what is not rectified yet, as published.

    Bands of images start at row 0 or at a row 8 j - 18, so that every pooling starts on an even row.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv0, self.conv2 = conv3x3(3, 64, bias=True), conv3x3(64, 64, bias=True)
        self.conv5, self.conv7 = conv3x3(64, 128, bias=True), conv3x3(128, 128, bias=True)
        self.conv10, self.conv12 = conv3x3(128, 256, bias=True), conv3x3(256, 256, bias=True)
        self.conv14 = conv3x3(256, 256, bias=True)

    def forward(self, image: Band, *, full: bool) -> VggMaps:
        """Maps of images [B, 3, H, W] in 0..1, H and W divisible by 8; the one at 1/1 only if `full`."""
        unpooled = self._full(image) if full else None
        if unpooled is None and is_portable():
            unpooled = self._full(image)
        half = _rectify_in_place(self._pooled_in_strips(image) if unpooled is None else _pool(unpooled))
        quarter = _rectify_in_place(_pool(self._chain(half, self.conv5, self.conv7)))
        return VggMaps(_pool(self._chain(quarter, self.conv10, self.conv12, self.conv14)), quarter, half, unpooled)

    def _full(self, image: Band) -> Band:
        return self._chain(image, self.conv0, self.conv2)

    def _pooled_in_strips(self, image: Band) -> Band:
        """The first block pooled, strip by strip: maps of the image's size are too large for the caches."""
        end, first = image.top + image.values.shape[2], image.top + 2 * (image.top > 0)
        pooled = []
        for row in range(first, end, _STRIP_ROWS):
            top = max(row - 2, image.top)
            strip = image.below(top)[:, :, : row + _STRIP_ROWS + 2 - top]
            pooled.append(F.max_pool2d(self._full(Band(strip, top)).below(row)[:, :, :_STRIP_ROWS], 2))
        return Band(torch.cat(pooled, dim=2), first // 2)

    @staticmethod
    def _chain(band: Band, first: nn.Conv2d, *others: nn.Conv2d) -> Band:
        band = _convolve(first, band)
        for layer in others:
            band = _convolve(layer, _rectify_in_place(band))
        return band


class VggDecoder(nn.Module):
    """Enlarge the deeper map, set the skip beside it, and twice: rectify and convolve. A stage of the decoder.

    The first convolution is the sum of its two inputs' shares; the deeper map's is had without enlarging it.
    """

    def __init__(self, deep_channels: int, skip_channels: int, hidden_channels: int, out_channels: int) -> None:
        super().__init__()
        self.deep_channels = deep_channels
        self.fuse = conv3x3(deep_channels + skip_channels, hidden_channels)
        self.refine = conv3x3(hidden_channels, out_channels)

    def forward(self, deep: Band, skip: Band) -> Band:
        """Rectified maps [B, deep, h, w] and [B, skip, 2h, 2w] to [B, out, 2h, 2w], not rectified."""
        top = max(2 * deep.top, skip.top)
        top += top % 2
        lost = min(top, 1)
        of_deep, of_skip = self.fuse.weight[:, : self.deep_channels], self.fuse.weight[:, self.deep_channels :]
        enlarged = F.conv_transpose2d(deep.below(top // 2), _enlarging(of_deep), stride=2, padding=1)[:, :, lost:]
        fused = enlarged + _convolution(skip.below(top), of_skip, None, lost)
        return _convolve(self.refine, _rectify_in_place(Band(fused, top + lost)))


class VggUNet(nn.Module):
    """`stages`: channels of each decoder stage (levels 1, 2, ...); `confidence`: whether levels have heads for it."""

    def __init__(self, stages: Sequence[tuple[int, int]] = NARROW, *, confidence: bool = True) -> None:
        super().__init__()
        self.encoder = VggEncoder()
        self.stages = len(stages)
        channels = [LEVEL_0_CHANNELS, *(out for _, out in stages)]
        self.decoders = nn.ModuleDict(
            {
                str(level): VggDecoder(channels[level - 1], _SKIP_CHANNELS[level - 1], hidden, out)
                for level, (hidden, out) in enumerate(stages, start=1)
            }
        )
        self.confidence = nn.ModuleList(conv3x3(c, 1) for c in channels) if confidence else None

    def forward(
        self,
        image: Tensor,
        levels: Sequence[int],
        *,
        confidence: bool = False,
        first_rows: Mapping[int, int] | None = None,
    ) -> dict[int, VggLevel]:
        """Levels of images [B, 3, H, W] in 0..1, H and W divisible by 8; level l has H / 2^(3 - l) rows.

        With `first_rows` a level holds its rows from `first_rows[level]` down, equal to those rows of the full level,
        and no image row that they do not depend on is read.

        Raises:
            ConfigError: a level has no stage, or confidence is asked of a network without its heads.
        """
        self._check(levels, confidence)
        firsts = dict.fromkeys(levels, 0) if first_rows is None else first_rows
        top = min(_first_image_row(level, firsts[level] - confidence) for level in levels)
        maps = self.encoder(Band(image[:, :, top:], top), full=max(levels) == 3)
        found: dict[int, VggLevel] = {}
        band, rectified = maps.eighth, Band(F.relu(maps.eighth.values), maps.eighth.top)
        for level in range(max(levels) + 1):
            if level > 0:
                band = self.decoders[str(level)](rectified, maps.skip(level))
                rectified = Band(F.relu(band.values), band.top)
            if level in levels:
                share = self._confidence(level, rectified).below(firsts[level]) if confidence else None
                found[level] = VggLevel(band.below(firsts[level]), share)
        return found

    def _check(self, levels: Sequence[int], confidence: bool) -> None:
        if not levels or not set(levels) <= set(range(self.stages + 1)):
            raise ConfigError(f"levels are {list(levels)}; this network has levels 0 to {self.stages}: ask for those")
        if confidence and self.confidence is None:
            raise ConfigError("this network has no confidence heads; build it with confidence=True")

    def _confidence(self, level: int, rectified: Band) -> Band:
        assert self.confidence is not None
        score = _convolve(self.confidence[level], rectified)  # type: ignore[arg-type]
        return Band(torch.sigmoid(-torch.sigmoid(score.values)), score.top)


def _first_image_row(level: int, row: int) -> int:
    """The first image row that `row` of a level depends on (0 where that is above the image)."""
    for _ in range(level):
        row = (row - 2) // 2
    return max(8 * row - _ENCODER_MARGIN_ROWS, 0)
