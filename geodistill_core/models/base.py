# SPDX-License-Identifier: Apache-2.0
"""The contract that every network implements: encode the map, encode the ground image, match."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from geodistill_core.errors import ConfigError
from geodistill_core.models.correlation import CorrelationMap
from geodistill_core.types import GroundImage, MapTile

Geometry = Literal["compat", "corrected"]
"""`compat` reproduces the published code's conventions (published weights need it), `corrected` is exact."""


@dataclass(frozen=True, slots=True)
class MapInput:
    """Network-ready tiles: `rgb` [B, 3, H, W] in 0..1, `valid` [B, H, W] in 0..1, `metres_per_pixel` [B], float32."""

    rgb: Tensor
    valid: Tensor
    metres_per_pixel: Tensor


@dataclass(frozen=True, slots=True)
class GroundInput:
    """Network-ready ground images, float32.

    `pixels` [B, 3, H, W] RGB in 0..1; `visible` [B, H, W] in 0..1, the share of each pixel that a camera saw;
    `mount` [B, 3], the camera's offset from the base in the level frame: forward, left and height in metres;
    `intrinsics` [B, 3, 3], the camera matrix for these pixels (pixel centres at integers), None for a panorama.
    """

    pixels: Tensor
    visible: Tensor
    mount: Tensor
    intrinsics: Tensor | None = None


@dataclass(frozen=True, slots=True)
class MapFeatures:
    """`features` [B, C, A, A] and `valid` [B, A, A] in 0..1, north-up; what a one-level network knows of a map.

    `correlation` are their transforms, where they were made ahead of the match.
    """

    features: Tensor
    valid: Tensor
    correlation: CorrelationMap | None = None


@dataclass(frozen=True, slots=True)
class GroundFeatures:
    """`features` [B, C, h, w] and `confidence` [B, h, w] on the ground view's grid, with the camera's `mount`."""

    features: Tensor
    confidence: Tensor
    mount: Tensor


def mount_at_height(mount: Tensor, height_m: float) -> Tensor:
    """Offsets [B, 3] (forward, left, height) with another height."""
    height = mount.new_full((len(mount), 1), height_m)
    return torch.cat([mount[:, :2], height], dim=1)


MapT = TypeVar("MapT")
GroundT = TypeVar("GroundT")


class CrossViewNetwork(nn.Module, ABC, Generic[MapT, GroundT]):
    """A network over map tiles that answers with logits over (yaw, north, east).

    `metres_per_pixel` is the resolution of the tiles it reads and `map_size_px` their width, None where any width does
    (then positions lie within half of tile extent minus `template_extent_m`, the width of ground it matches).
    Cells of the answer are `metres_per_cell` wide; their grid is centred `heatmap_shift_cells` (columns east, rows
    south) from the tile's centre, which is (0, 0) unless published conventions are reproduced. With
    `headings_apart` each hypothesis of yaw costs as much as the first. With `compared_by_torch` no engine of a
    processor does `compare` faster than torch: it is left to torch there, by `compare_named`.
    """

    metres_per_pixel: float
    metres_per_cell: float
    template_extent_m: float
    map_size_px: int | None = None
    heatmap_shift_cells: tuple[float, float] = (0.0, 0.0)
    headings_apart: bool = False
    compared_by_torch: bool = False

    def prepare_map(self, tile: MapTile) -> MapInput:
        """The tile as the network reads it (batch of one).

        Raises:
            ConfigError: the tile has not the size that the network reads.
        """
        height, width = tile.valid.shape
        if self.map_size_px is not None and (height, width) != (self.map_size_px, self.map_size_px):
            raise ConfigError(
                f"the tile is {width} x {height} px; this network reads {self.map_size_px} x {self.map_size_px} px: "
                f"ask the map for an extent of {self.map_size_px} times the metres per pixel"
            )
        rgb = torch.from_numpy(tile.rgb).permute(2, 0, 1).unsqueeze(0).float() / 255.0
        valid = torch.from_numpy(tile.valid).unsqueeze(0).float()
        return MapInput(rgb, valid, torch.tensor([tile.metres_per_pixel], dtype=torch.float32))

    @abstractmethod
    def prepare_ground(self, image: GroundImage) -> GroundInput:
        """The ground image as the network reads it (batch of one)."""

    @abstractmethod
    def encode_map(self, tiles: MapInput) -> MapT:
        """Everything about the tiles that does not depend on a ground image."""

    @abstractmethod
    def encode_ground(self, ground: GroundInput) -> GroundT:
        """Everything about the ground images that depends neither on a map nor on a heading."""

    def at_height(self, ground: GroundT, height_m: float) -> GroundT | None:
        """The same ground features for a camera that stood `height_m` above the ground, without encoding them again.

        None, as here, where neither features nor match depend on the height. A network whose match does overrides
        this; it must serve every height from the encoded one upwards (a lower camera sees the same ground closer to
        the horizon, in rows that may not have been encoded).

        Raises:
            ConfigError: the encoded features do not show enough ground from that height.
        """
        return None

    @abstractmethod
    def match(self, ground: GroundT, map_features: MapT, yaw_enu_rad: Tensor) -> Tensor:
        """Logits [B, Y, P, P] for yaw hypotheses [B, Y] at every position; -inf where the map is not valid."""

    def compare(self, ground: GroundT, map_features: MapT, yaw_enu_rad: Tensor) -> dict[str, Tensor]:
        """The part of `match` that is compiled where a network is.

        Soft-max and Fourier transforms are left to `conclude`. What depends on yaws has them in its second axis, and
        hypotheses know nothing of each other here: a compiled call compares a fixed number of them.
        """
        return {"logits": self.match(ground, map_features, yaw_enu_rad)}

    def settle_map(self, named: Mapping[str, Tensor], tiles: MapInput) -> Any:
        """What `conclude` wants to know of tiles, once per tile.

        `named` are the tensors in the portable form's map features by their path: `map.features.2`.
        """
        return None

    def compare_named(self, named: Mapping[str, Tensor], ground: GroundInput, yaw_enu_rad: Tensor) -> dict[str, Tensor]:
        """`compare` where only torch does it, of a network that is `compared_by_torch`.

        `named` are the tensors in the portable form's ground features by their path: `ground.features`.
        """
        raise NotImplementedError(f"{type(self).__name__} is compared by its back end")

    def conclude(
        self, compared: Mapping[str, Tensor], settled: Any, ground: GroundInput, tiles: MapInput, yaw_enu_rad: Tensor
    ) -> Tensor:
        """What `match` answers, from what `compare` gave for all hypotheses [B, Y] and `settle_map` for the tiles."""
        return compared["logits"]


AnyNetwork: TypeAlias = CrossViewNetwork[Any, Any]
