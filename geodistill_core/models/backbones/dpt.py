# SPDX-License-Identifier: Apache-2.0
"""The dense head of GeoDistill's DINOv2 networks: four blocks' tokens become features at 2, 4 and 8 times their grid.

From the deepest block up, each block's map is refined and merged with what came before (DPT, section 3.1); the second,
third and fourth merger give levels 0, 1 and 2. The evaluation computes only what is asked for: no level that is not
used, no row above the first one wanted beyond what 3x3 windows need, and nothing per position for the class token,
which is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from geodistill_core.models.backbones.fast_convolution import convolve, convolve_upsampled
from geodistill_core.models.portable import is_portable

_WIDTH = 512
_OUTLETS = ((256, 256), (128, 64), (64, 16))
_DEEPEST = 3

DPT_KEYS: tuple[tuple[str, str], ...] = (
    (r"\.conv_(\d)\.", r".mergers.\1.reduce."),
    (r"\.ref_(\d)\.resConfUnit1\.conv\.0\.", r".mergers.\1.own.first."),
    (r"\.ref_(\d)\.resConfUnit1\.conv\.2\.", r".mergers.\1.own.second."),
    (r"\.ref_(\d)\.resConfUnit2\.conv\.0\.", r".mergers.\1.joint.first."),
    (r"\.ref_(\d)\.resConfUnit2\.conv\.2\.", r".mergers.\1.joint.second."),
    (r"\.out_conv_1\.0\.", r".outlets.0.hidden."),
    (r"\.out_conv_1\.2\.", r".outlets.0.output."),
    (r"\.out_conv_2\.0\.", r".outlets.1.hidden."),
    (r"\.out_conv_2\.2\.", r".outlets.1.output."),
    (r"\.out_conv_3\.0\.", r".outlets.2.hidden."),
    (r"\.out_conv_3\.2\.", r".outlets.2.output."),
)
"""Published keys of a head, below its prefix."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Four blocks of a vision transformer: `patches`, each [B, h, w, D], and their `classes`, each [B, D]."""

    patches: Sequence[Tensor]
    classes: Sequence[Tensor]


@dataclass(frozen=True, slots=True)
class _Rows:
    """A map [B, H, W, C] without its rows before `first`."""

    x: Tensor
    first: int = 0

    def since(self, first: int) -> _Rows:
        first = max(first, 0)
        return _Rows(self.x[:, first - self.first :], first)

    def convolved(self, layer: nn.Conv2d, first: int) -> _Rows:
        source, first = self.since(first - 1), max(first, 0)
        return _Rows(convolve(source.x, layer.weight, layer.bias, skip=first - source.first), first)

    def enlarged(self, factor: int, first: int) -> _Rows:
        source = self.since(first // factor)
        x = source.x.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)
        return _Rows(x, source.first * factor).since(first)

    def enlarged_convolved(self, factor: int, layer: nn.Conv2d, first: int) -> _Rows:
        """As `enlarged`, then `convolved`."""
        source = self.since((first - 1) // factor)
        x = convolve_upsampled(source.x, layer.weight, layer.bias, factor)
        return _Rows(x, source.first * factor).since(first)

    def rectified(self) -> _Rows:
        return _Rows(F.relu(self.x, inplace=not is_portable()), self.first)

    def __add__(self, other: _Rows) -> _Rows:
        return _Rows(self.x + other.since(self.first).x, self.first)


class _Residual(nn.Module):
    """y + ReLU(conv(ReLU(conv(y)))); a row of it needs two rows more on either side."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.second = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)

    def forward(self, y: _Rows, first: int) -> _Rows:
        inner = y.convolved(self.first, first - 1).rectified()
        return inner.convolved(self.second, first).rectified() + y

    def of_enlarged(self, y: _Rows, first: int) -> _Rows:
        """The same for y enlarged twice, computed from the small y."""
        inner = y.enlarged_convolved(2, self.first, first - 1).rectified()
        return inner.convolved(self.second, first).rectified() + y.enlarged(2, first)


class _Merger(nn.Module):
    """One block's tokens, refined and merged with what came from deeper blocks; the deepest has nothing to merge."""

    def __init__(self, channels: int, deepest: bool) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(2 * channels, _WIDTH, 1)
        self.own = None if deepest else _Residual()
        self.joint = _Residual()

    def forward(self, patches: Tensor, class_token: Tensor, deeper: _Rows | None, first: int) -> _Rows:
        """Rows from `first` on, at twice the tokens' grid."""
        if self.own is None or deeper is None:
            return self.joint.of_enlarged(self._reduced(patches, class_token, first), first)
        y = self.own.of_enlarged(self._reduced(patches, class_token, first - 2), first - 2) + deeper
        merged: _Rows = self.joint(y, first)
        return merged

    def _reduced(self, patches: Tensor, class_token: Tensor, first: int) -> _Rows:
        """The 1x1 convolution of [patch, class token], the rows that row `first` of an enlarged residual needs."""
        on_patch, on_class = self.reduce.weight[:, :, 0, 0].chunk(2, dim=1)
        rows = _Rows(patches).since((first - 2) // 2)
        bias = F.linear(class_token, on_class, self.reduce.bias)
        return _Rows(F.linear(rows.x, on_patch) + bias[:, None, None], rows.first)


class _Outlet(nn.Module):
    """The features of one level from a merged map, enlarged `factor` times."""

    def __init__(self, factor: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.factor = factor
        self.hidden = nn.Conv2d(_WIDTH, hidden, 3, padding=1)
        self.output = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, merged: _Rows, first: int) -> Tensor:
        """Features [B, C, H, W] from row `first` on."""
        if self.factor == 1:
            hidden = merged.convolved(self.hidden, first - 1)
        else:
            hidden = merged.enlarged_convolved(self.factor, self.hidden, first - 1)
        return hidden.rectified().convolved(self.output, first).x.permute(0, 3, 1, 2)


class DptHead(nn.Module):
    """See the module; `channels` D of a token. Levels 0, 1 and 2 have 256, 64 and 16 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mergers = nn.ModuleList(_Merger(channels, deepest=k == _DEEPEST) for k in range(_DEEPEST + 1))
        self.outlets = nn.ModuleList(_Outlet(2**level, *widths) for level, widths in enumerate(_OUTLETS))

    def forward(self, tokens: Tokens, first_row: Mapping[int, int]) -> dict[int, Tensor]:
        """Features [B, C, 2^(level+1) h, 2^(level+1) w] of the levels in `first_row`, each from that row on.

        Rows are those of the whole map; they are not normalised.
        """
        first_merged = self._first_merged_rows(first_row)
        found: dict[int, Tensor] = {}
        merged: _Rows | None = None
        for k in sorted(first_merged, reverse=True):
            merged = self.mergers[k](tokens.patches[k], tokens.classes[k], merged, first_merged[k])
            if (level := _DEEPEST - 1 - k) in first_row:
                found[level] = self.outlets[level](merged, first_row[level])
        return found

    @staticmethod
    def _first_merged_rows(first_row: Mapping[int, int]) -> dict[int, int]:
        """The first row needed of each merger that the levels in `first_row` build on."""
        needed: dict[int, int] = {}
        for k in range(_DEEPEST + 1):
            level = _DEEPEST - 1 - k
            wanted = [needed[k - 1] - 2] if k - 1 in needed else []
            if level in first_row:
                wanted.append((first_row[level] - 2) // 2**level)
            if wanted:
                needed[k] = max(min(wanted), 0)
        return needed
