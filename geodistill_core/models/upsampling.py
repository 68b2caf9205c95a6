# SPDX-License-Identifier: Apache-2.0
"""One step of CCVPE's decoders: deconvolution by two, the map's features beside it, two 3x3 convolutions.

Up to the first rectification a step is linear. So the share of the map's features is computed once per tile, and for
what changes with the frame the deconvolution (2x2, stride 2) and the 3x3 convolution are composed into one 2x2
convolution around each corner between coarse cells: the four fine pixels that meet there read the same four cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodistill_core.models.derived import Derived

Border = Literal["zeros", "reflect"]


class UpStage(nn.Module):
    """[B, C, h, w] to [B, out, 2h, 2w]; see the module.

    The input's last channel is all ones: its weight is the deconvolution's bias, so that composition keeps exact
    borders. The first stage of a decoder instead has `from_map` channels (after those of the frame) that only
    depend on the map; they, and the ones, are then part of the map's term.
    """

    def __init__(
        self,
        channels_in: int,
        up: int,
        skip: int,
        mixed: int,
        out: int,
        padding: Border,
        from_map: int = 0,
    ) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels_in, up, 2, 2)
        self.mix = nn.Conv2d(up + skip, mixed, 3)
        self.refine = nn.Conv2d(mixed, out, 3)
        self.padding = padding
        self.skip = skip
        self.from_frame = channels_in - from_map
        self._composed = Derived()

    def _conv3(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding == "reflect":
            return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias)
        return F.conv2d(x, weight, bias, padding=1)

    def _two_steps(self, z: Tensor, up_weight: Tensor) -> Tensor:
        return self._conv3(F.conv_transpose2d(z, up_weight, None, 2), self.mix.weight[:, : self.up.out_channels], None)

    def _bias_row(self) -> Tensor:
        assert self.up.bias is not None
        return self.up.bias.view(1, -1, 1, 1).expand(1, -1, 2, 2)

    def _frame_weight(self) -> Tensor:
        weight = self.up.weight[: self.from_frame]
        return weight if self.from_frame < self.up.in_channels else torch.cat([weight, self._bias_row()])

    def map_term(self, skip: Tensor, from_map: Tensor | None = None) -> Tensor:
        """The map's share of the first convolution [B, mixed, 2h, 2w]: features beside, bias, and `from_map`."""
        term = self._conv3(skip, self.mix.weight[:, self.up.out_channels :], self.mix.bias)
        if from_map is None:
            return term
        weight = torch.cat([self.up.weight[self.from_frame :], self._bias_row()])
        return term + self._two_steps(with_ones(from_map), weight)

    def _compose(self) -> tuple[Tensor, ...]:
        # A coarse cell's 2x2 block reaches 4x4 fine pixels; those split into the corners (2, 2) beside the cell.
        reach = F.conv2d(self._frame_weight(), self.mix.weight[:, : self.up.out_channels], padding=2).contiguous()
        corners = reach.view(*reach.shape[:2], 2, 2, 2, 2).flip(2, 4)
        kernel = corners.permute(3, 5, 1, 0, 2, 4).reshape(-1, reach.shape[0], 2, 2)
        return (kernel.contiguous(memory_format=torch.channels_last),)

    def _one_step(self, z: Tensor) -> Tensor:
        sources = [self.up.weight, self.mix.weight, *(p for p in (self.up.bias,) if p is not None)]
        (kernel,) = self._composed.get(sources, self._compose)
        z = z.contiguous(memory_format=torch.channels_last)
        if self.padding == "reflect":  # reflected fine pixels belong to a repeated coarse cell
            return F.conv2d(F.pad(z, (1, 1, 1, 1), mode="replicate"), kernel)
        return F.conv2d(z, kernel, padding=1)

    def _mixed(self, z: Tensor, term: Tensor) -> Tensor:
        """Rectified sum of the term and of what the corners give, [B, mixed, 2h, 2w]."""
        (B, _, h, w), mixed = z.shape, self.mix.out_channels
        corners = self._one_step(z).permute(0, 2, 3, 1).reshape(B, h + 1, w + 1, 2, 2, mixed)
        fine = corners.new_empty(B, 2 * h, 2 * w, mixed)
        beside = term.permute(0, 2, 3, 1).expand_as(fine)
        for a in (0, 1):
            for b in (0, 1):
                part = corners[:, 1 - a : h + 1 - a, 1 - b : w + 1 - b, a, b]
                torch.add(part, beside[:, 1 - a :: 2, 1 - b :: 2], out=fine[:, 1 - a :: 2, 1 - b :: 2])
        return torch.relu_(fine).permute(0, 3, 1, 2)

    def forward(self, z: Tensor, term: Tensor | None) -> Tensor:
        """The frame's channels and the map's term (None where no features lie beside) to the stage's output."""
        if term is None:
            assert self.mix.bias is not None
            term = self.mix.bias.view(1, -1, 1, 1)
        if torch.is_grad_enabled():
            mixed = F.relu(self._two_steps(z, self._frame_weight()) + term)
        else:
            mixed = self._mixed(z, term)
        return self._conv3(mixed, self.refine.weight, self.refine.bias)


class Decoder(nn.ModuleList):
    """Stages from the coarsest to the finest; map features lie beside all but the last."""

    def _stage(self, index: int) -> UpStage:
        return cast(UpStage, self[index])

    def map_terms(self, skips: Sequence[Tensor], from_map: Tensor) -> tuple[Tensor | None, ...]:
        """Every stage's map term, from the coarsest features [B, C, h, w] to the finest, and None for the last."""
        first = self._stage(0).map_term(skips[0], from_map)
        return first, *(self._stage(i).map_term(skip) for i, skip in enumerate(skips[1:], start=1)), None

    def step(self, index: int, z: Tensor, terms: Sequence[Tensor | None]) -> Tensor:
        """Output of one stage."""
        return torch.as_tensor(self._stage(index)(z, terms[index]))


def with_ones(x: Tensor) -> Tensor:
    """[B, C, h, w] with a last channel of ones."""
    return F.pad(x, (0, 0, 0, 0, 0, 1), value=1.0)
