# SPDX-License-Identifier: Apache-2.0
"""One step of CCVPE's decoders: deconvolution by two, the map's features beside it, two 3x3 convolutions.

Up to the first rectification a step is linear. So the share of the map's features is computed once per tile, and for
what changes with the frame the deconvolution (2x2, stride 2) and the 3x3 convolution are composed into one 2x2
convolution around each corner between coarse cells: the four fine pixels that meet there read the same four cells.
With gradients the steps are taken one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodistill_core.models import winograd
from geodistill_core.models.derived import Derived
from geodistill_core.models.portable import is_portable

Border = Literal["zeros", "reflect"]
_FEW_OUTPUTS = 2
_MANY_CHANNELS = 256


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
        self._composed, self._spread, self._portable_kernel = Derived(), Derived(), Derived()

    def _conv3(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), mode="reflect" if self.padding == "reflect" else "constant")
        if is_portable() or torch.is_grad_enabled() or len(weight) < _MANY_CHANNELS:
            return F.conv2d(x, weight, bias)
        return winograd.convolve(x.permute(0, 2, 3, 1), winograd.filters(weight), bias).permute(0, 3, 1, 2)

    def _two_steps(self, z: Tensor, up_weight: Tensor) -> Tensor:
        return self._conv3(F.conv_transpose2d(z, up_weight, None, 2), self.mix.weight[:, : self.up.out_channels], None)

    def _bias_row(self) -> Tensor:
        assert self.up.bias is not None
        return self.up.bias.view(1, -1, 1, 1).expand(1, -1, 2, 2)

    def _frame_weight(self) -> Tensor:
        weight = self.up.weight[: self.from_frame]
        return weight if self.from_frame < self.up.in_channels else torch.cat([weight, self._bias_row()])

    def map_term(self, skip: Tensor, from_map: Tensor | None = None) -> Tensor:
        """The map's share of the first convolution: features beside, bias, and `from_map`.

        [B, mixed, 2h + 2, 2w + 2], with a border of zeros.
        """
        term = self._conv3(skip, self.mix.weight[:, self.up.out_channels :], self.mix.bias)
        if from_map is not None:
            weight = torch.cat([self.up.weight[self.from_frame :], self._bias_row()])
            term = term + self._two_steps(with_ones(from_map), weight)
        return F.pad(term, (1, 1, 1, 1)).contiguous(memory_format=torch.channels_last)

    def _compose(self) -> tuple[Tensor, ...]:
        # A coarse cell's 2x2 block reaches 4x4 fine pixels; those split into the corners (2, 2) beside the cell.
        reach = F.conv2d(self._frame_weight(), self.mix.weight[:, : self.up.out_channels], padding=2).contiguous()
        corners = reach.view(*reach.shape[:2], 2, 2, 2, 2).flip(2, 4)
        kernel = corners.permute(3, 5, 1, 0, 2, 4).reshape(-1, reach.shape[0], 2, 2)
        if is_portable():
            return (kernel,)
        many = kernel.shape[1] >= _MANY_CHANNELS
        return (winograd.filters(kernel) if many else kernel.contiguous(memory_format=torch.channels_last),)

    def _composed_of(self) -> list[Tensor]:
        return [self.up.weight, self.mix.weight, *(p for p in (self.up.bias,) if p is not None)]

    def _corners(self, z: Tensor, bias: Tensor | None) -> Tensor:
        """Four fine pixels around each corner, [B, h + 1, w + 1, 4 * mixed]."""
        (kernel,) = self._composed.get(self._composed_of(), self._compose)
        z, (h, w) = z.contiguous(memory_format=torch.channels_last), z.shape[2:]
        reflect, many = self.padding == "reflect", kernel.dim() == 3
        if reflect or many:  # reflected fine pixels belong to a repeated coarse cell
            after = 2 if many else 1
            z = F.pad(z, (1, after, 1, after), mode="replicate" if reflect else "constant")
        if many:
            return winograd.convolve(z.permute(0, 2, 3, 1), kernel, bias)[:, : h + 1, : w + 1].contiguous()
        return F.conv2d(z, kernel, bias, padding=0 if reflect else 1).permute(0, 2, 3, 1).contiguous()

    def _mixed(self, z: Tensor, term: Tensor | None) -> Tensor:
        """Rectified first convolution with the second one's border, [B, 2h + 2, 2w + 2, mixed]."""
        (B, _, h, w), mixed = z.shape, self.mix.out_channels
        bias = self.mix.bias.repeat(4) if term is None and self.mix.bias is not None else None
        corners = self._corners(z, bias).view(B, h + 1, w + 1, 2, 2 * mixed).transpose(2, 3)
        fine = corners.new_empty(B, h + 1, 2, w + 1, 2 * mixed)
        if term is None:
            torch.clamp_min(corners, 0.0, out=fine)
        else:
            torch.add(corners, term.permute(0, 2, 3, 1).view_as(fine), out=fine).relu_()
        return self._bordered(fine.view(B, 2 * h + 2, 2 * w + 2, mixed))

    def _bordered(self, x: Tensor) -> Tensor:
        """In place: the outermost ring becomes what the next convolution's padding would be."""
        for rows in (x, x.transpose(1, 2)):
            rows[:, 0] = rows[:, 2] if self.padding == "reflect" else 0.0
            rows[:, -1] = rows[:, -3] if self.padding == "reflect" else 0.0
        return x

    def _convolved(self, x: Tensor) -> Tensor:
        if self.refine.out_channels < _MANY_CHANNELS:
            return F.conv2d(x.permute(0, 3, 1, 2), self.refine.weight, self.refine.bias)
        (spread,) = self._spread.get([self.refine.weight], lambda: (winograd.filters(self.refine.weight),))
        return winograd.convolve(x, spread, self.refine.bias).permute(0, 3, 1, 2)

    def _refined(self, x: Tensor) -> Tensor:
        """The second convolution of [B, H + 2, W + 2, mixed]; few outputs are nine shifted sums of one product."""
        outputs, (B, rows, columns, mixed) = self.refine.out_channels, x.shape
        if outputs > _FEW_OUTPUTS:
            return self._convolved(x)
        weight = self.refine.weight.permute(0, 2, 3, 1).reshape(1, -1, mixed).expand(B, -1, -1)
        taps = torch.bmm(weight, x.view(B, -1, mixed).transpose(1, 2)).view(B, outputs, 9, rows, columns)
        assert self.refine.bias is not None
        y = self.refine.bias.view(1, -1, 1, 1).repeat(B, 1, rows - 2, columns - 2)
        for tap in range(9):
            y += taps[:, :, tap, tap // 3 : tap // 3 + rows - 2, tap % 3 : tap % 3 + columns - 2]
        return y

    def _portable(self, z: Tensor, term: Tensor | None) -> Tensor:
        """The composed convolution as one of the library's, and the second one."""
        (kernel,) = self._portable_kernel.get(self._composed_of(), self._compose)
        (B, _, h, w), mixed = z.shape, self.mix.out_channels
        padded = F.pad(z, (1, 1, 1, 1), mode="replicate" if self.padding == "reflect" else "constant")
        corners = F.conv2d(padded, kernel).view(B, 2, 2, mixed, h + 1, w + 1)
        fine = corners.permute(0, 3, 4, 1, 5, 2).reshape(B, mixed, 2 * h + 2, 2 * w + 2)
        assert self.mix.bias is not None
        fine = F.relu(fine + (self.mix.bias.view(1, -1, 1, 1) if term is None else term))
        return self._conv3(fine[..., 1:-1, 1:-1], self.refine.weight, self.refine.bias)

    def forward(self, z: Tensor, term: Tensor | None) -> Tensor:
        """The frame's channels and the map's term (None where no features lie beside) to the stage's output."""
        if is_portable():
            return self._portable(z, term)
        if not torch.is_grad_enabled():
            return self._refined(self._mixed(z, term))
        linear = self._two_steps(z, self._frame_weight())
        assert self.mix.bias is not None
        linear = linear + (self.mix.bias.view(1, -1, 1, 1) if term is None else term[..., 1:-1, 1:-1])
        return self._conv3(F.relu(linear), self.refine.weight, self.refine.bias)


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


def with_ones(*parts: Tensor) -> Tensor:
    """The parts [B, C, h, w] one after the other, and a last channel of ones; channels last in memory."""
    pixels = [part.permute(0, 2, 3, 1) for part in parts]
    ones = pixels[0].new_ones(1, 1, 1, 1).expand(*pixels[0].shape[:3], 1)
    return torch.cat([*pixels, ones], dim=3).permute(0, 3, 1, 2)
