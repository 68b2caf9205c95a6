# SPDX-License-Identifier: Apache-2.0
"""A heading as one of N classes: offsets from a reference heading to classes and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from geodistill_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class YawClasses:
    """`count` classes of equal width that tile `range_rad`, centred on the reference heading; 2 pi is the circle.

    Offsets are radians from the reference heading, counter-clockwise. Class positions are fractional class indices:
    class k is the offset at its middle, so a label at any position decodes to the offset it was made from.

    Raises:
        ConfigError: fewer than 3 classes or a range outside (0, 2 pi].
    """

    count: int = 90
    range_rad: float = math.pi / 2

    def __post_init__(self) -> None:
        if self.count < 3:
            raise ConfigError(f"{self.count} yaw classes are too few to interpolate between; use 3 or more")
        if not 0.0 < self.range_rad <= 2 * math.pi + 1e-9:
            raise ConfigError(f"a yaw range of {math.degrees(self.range_rad):.1f} degrees is outside 0..360")

    @property
    def circular(self) -> bool:
        """Whether the last class is the first one's neighbour."""
        return self.range_rad > 2 * math.pi - 1e-6

    def offset(self, position: Tensor) -> Tensor:
        """Offsets (rad) of class positions."""
        return (position + 0.5) / self.count * self.range_rad - self.range_rad / 2

    def position(self, offset_rad: Tensor) -> Tensor:
        """Class positions of offsets (rad), -0.5 to `count` - 0.5 within the range."""
        return (offset_rad + self.range_rad / 2) / self.range_rad * self.count - 0.5

    def label(self, offset_rad: Tensor) -> Tensor:
        """Class position at which the label of an offset (rad) peaks."""
        return self.position(offset_rad)

    def decode(self, logits: Tensor) -> Tensor:
        """Most probable offset (rad) [...] of class logits [..., N].

        The vertex of the parabola through the log-probabilities of the mode and its neighbours: exact for Gaussian
        labels of any width up to the ends of the range, where a mean over classes would be pulled inwards.
        """
        mode = logits.argmax(dim=-1, keepdim=True)
        middle = mode if self.circular else mode.clamp(1, self.count - 2)
        left, top, right = (logits.gather(-1, (middle + step) % self.count) for step in (-1, 0, 1))
        bend = 2 * top - left - right
        vertex = middle + 0.5 * (right - left) / bend
        # A flat or hollow triple (all mass in the range's last class) has no vertex: the mode itself is the answer.
        vertex = torch.where((bend > 0) & vertex.isfinite(), vertex, mode.to(logits.dtype))
        return self.offset(vertex.clamp(mode - 0.5, mode + 0.5)).squeeze(-1)

    def log_probability(self, logits: Tensor, offset_rad: Tensor) -> Tensor:
        """Log-probabilities [B, Y] of offsets [B, Y], linear between the classes of logits [B, N].

        Of offsets beyond the range the classes know nothing: neither supported nor ruled out, they have 1/N.
        """
        log_p = logits.log_softmax(dim=-1)
        offset = torch.remainder(offset_rad + math.pi, 2 * math.pi) - math.pi
        position = self.position(offset)
        if not self.circular:
            position = position.clamp(0, self.count - 1)
        lower = position.floor()
        share = position - lower
        below, above = (log_p.gather(-1, (lower.long() + step) % self.count) for step in (0, 1))
        unknown = offset.abs() > self.range_rad / 2 + 1e-6
        return torch.lerp(below, above, share).masked_fill(unknown, -math.log(self.count))


class PublishedYawClasses(YawClasses):
    """The published code's classes: labels are squeezed by (N - 1)/N, decoding is not, and nothing wraps.

    A perfect classifier decodes one degree too low on average (90 classes over +-45 degrees).
    """

    __slots__ = ()

    @property
    def circular(self) -> bool:
        """Never: the published code knows only a window around the reference heading."""
        return False

    def offset(self, position: Tensor) -> Tensor:
        """Published code: class index - 45 degrees."""
        return position / self.count * self.range_rad - self.range_rad / 2

    def position(self, offset_rad: Tensor) -> Tensor:
        """Inverse of `offset`."""
        return (offset_rad + self.range_rad / 2) / self.range_rad * self.count

    def label(self, offset_rad: Tensor) -> Tensor:
        """Published code: floor((degrees + 45) / 90 * 89)."""
        degrees, span = torch.rad2deg(offset_rad), math.degrees(self.range_rad)
        return torch.floor((degrees + span / 2) / span * (self.count - 1))

    def decode(self, logits: Tensor) -> Tensor:
        """Published code: the class of the largest logit."""
        return self.offset(logits.argmax(dim=-1).to(logits.dtype))
