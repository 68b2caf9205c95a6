# SPDX-License-Identifier: Apache-2.0
"""The contract that every network implements: encode the map, encode the ground image, match."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from geodistill_core.types import GroundImage, MapTile


@dataclass(frozen=True, slots=True)
class MapFeatures:
    """`features` [B, C, A, A] and `valid` [B, A, A] in 0..1, north-up, on cells of `metres_per_cell`."""

    features: Tensor
    valid: Tensor


@dataclass(frozen=True, slots=True)
class GroundFeatures:
    """`features` [B, C, h, w] and `confidence` [B, h, w] on the ground view's grid, with the camera's `mount` [B, 3].

    `mount` is the camera's offset from the base in the level frame: forward, left and height in metres.
    """

    features: Tensor
    confidence: Tensor
    mount: Tensor


@dataclass(frozen=True, slots=True)
class GroundInput:
    """A network-ready ground image: `pixels` [B, K, H, W] float32 and `mount` [B, 3] (see GroundFeatures)."""

    pixels: Tensor
    mount: Tensor


class CrossViewNetwork(nn.Module, ABC):
    """A network over map tiles of any size that answers with a similarity volume over (yaw, north, east).

    `metres_per_pixel` is the resolution of the tiles it reads, `metres_per_cell` that of its similarity volume, and
    `template_extent_m` the width of ground it matches: a tile of extent E gives positions within +-(E - template)/2.
    """

    metres_per_pixel: float
    metres_per_cell: float
    template_extent_m: float

    @abstractmethod
    def prepare_map(self, tile: MapTile) -> tuple[Tensor, Tensor]:
        """The tile as [1, 3, H, W] float32 and its validity as [1, H, W] float32."""

    @abstractmethod
    def prepare_ground(self, image: GroundImage) -> GroundInput:
        """The ground image as the network reads it (batch of one)."""

    @abstractmethod
    def encode_map(self, rgb: Tensor, valid: Tensor) -> MapFeatures:
        """Features of prepared tiles."""

    @abstractmethod
    def encode_ground(self, ground: GroundInput) -> GroundFeatures:
        """Features of prepared ground images."""

    @abstractmethod
    def match(self, ground: GroundFeatures, map_features: MapFeatures, yaw_enu_rad: Tensor) -> Tensor:
        """Logits [B, Y, P, P] for yaw hypotheses [B, Y] at every position; -inf where the map is not valid."""
