# SPDX-License-Identifier: Apache-2.0
"""A network whose three calls run on a back end; everything else is that of the network it stands for."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.models.base import AnyNetwork, CrossViewNetwork, GroundInput, MapInput, mount_at_height
from geodistill_core.runtime.backend import CallName, CompiledCall
from geodistill_core.runtime.profile import Profile
from geodistill_core.types import GroundImage, MapTile

_LOG = logging.getLogger(__name__)
_SCALE_TOLERANCE = 0.02
Input = TypeVar("Input", GroundInput, MapInput)


@dataclass(slots=True)
class Encoded(Generic[Input]):
    """An input and what became of it.

    `named` are the input's own tensors and those that the back end made of them; None where the input does not fit
    the profile. Then, and for whatever is matched with it, `eager` are the network's own features. `settled` is what
    the end of the match wants to know of a tile.
    """

    source: Input
    named: dict[str, Tensor] | None = None
    eager: Any = None
    settled: Any = None


CompiledMap = Encoded[MapInput]
CompiledGround = Encoded[GroundInput]


class CompiledNetwork(CrossViewNetwork[CompiledMap, CompiledGround]):
    """The contract of `network`, its calls run by `calls` with the shapes of `profile`.

    Where `calls` have no match, torch compares what they encoded (`compare_named`).
    Fewer hypotheses than the profile's are padded by repeating the last one, more take several calls. Inputs of
    another size are refused; with `eager_fallback` the network itself serves them, which is logged once.
    """

    def __init__(
        self,
        network: AnyNetwork,
        profile: Profile,
        calls: Mapping[CallName, CompiledCall],
        *,
        eager_fallback: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.profile, self.calls = network, profile, dict(calls)
        self.eager_fallback, self._told = eager_fallback, False
        self.metres_per_pixel, self.metres_per_cell = network.metres_per_pixel, network.metres_per_cell
        self.template_extent_m, self.map_size_px = network.template_extent_m, network.map_size_px
        self.heatmap_shift_cells = network.heatmap_shift_cells
        self.eval()

    def prepare_map(self, tile: MapTile) -> MapInput:
        """See the contract."""
        return self.network.prepare_map(tile)

    def prepare_ground(self, image: GroundImage, *args: Any) -> GroundInput:
        """See the contract and the network's own."""
        return self.network.prepare_ground(image, *args)

    def encode_map(self, tiles: MapInput) -> CompiledMap:
        """See the contract; a batch of one.

        Raises:
            RuntimeBackendError: the tile has not the size of the profile, or the engine failed.
        """
        if problem := self._tile_problem(tiles):
            self._refuse(problem)
            return Encoded(tiles, eager=self.network.encode_map(tiles))
        named = self._encoded("encode_map", tiles)
        return Encoded(tiles, named, settled=self.network.settle_map(named, tiles))

    def encode_ground(self, ground: GroundInput) -> CompiledGround:
        """See the contract; a batch of one.

        Raises:
            RuntimeBackendError: the image has not the size of the profile, or the engine failed.
        """
        if problem := self._ground_problem(ground):
            self._refuse(problem)
            return Encoded(ground, eager=self.network.encode_ground(ground))
        return Encoded(ground, self._encoded("encode_ground", ground))

    def at_height(self, ground: CompiledGround, height_m: float) -> CompiledGround | None:
        """See the contract; the height is an input of the compiled match."""
        if type(self.network).at_height is CrossViewNetwork.at_height:
            return None
        mount = mount_at_height(ground.source.mount, height_m)
        eager = None if ground.eager is None else self.network.at_height(ground.eager, height_m)
        named = None if ground.named is None else {**ground.named, "mount": mount}
        return Encoded(replace(ground.source, mount=mount), named, eager)

    def match(self, ground: CompiledGround, map_features: CompiledMap, yaw_enu_rad: Tensor) -> Tensor:
        """See the contract.

        Raises:
            RuntimeBackendError: the engine failed.
        """
        if ground.named is None or map_features.named is None:
            return self._eager_match(ground, map_features, yaw_enu_rad)
        named = {**ground.named, **map_features.named}
        if "match" in self.calls:
            compared = self._compared(self.calls["match"], named, yaw_enu_rad)
        else:
            compared = self.network.compare_named(named, ground.source, yaw_enu_rad)
        return self.network.conclude(compared, map_features.settled, ground.source, map_features.source, yaw_enu_rad)

    def _compared(self, call: CompiledCall, named: dict[str, Tensor], yaw_enu_rad: Tensor) -> dict[str, Tensor]:
        """Answers to hypotheses [1, Y], each piece of which has its hypotheses in its second axis."""
        if "yaw_enu_rad" not in call.inputs:
            return call(named)
        parts = [call({**named, "yaw_enu_rad": yaw}) for yaw in self._in_calls(yaw_enu_rad)]
        count = yaw_enu_rad.shape[1]
        return {name: torch.cat([part[name] for part in parts], dim=1)[:, :count] for name in call.outputs}

    def _in_calls(self, yaw_enu_rad: Tensor) -> list[Tensor]:
        """Hypotheses [1, Y] in pieces of the profile's number, the last one repeated to fill the last piece."""
        yaws, count = self.profile.yaws, yaw_enu_rad.shape[1]
        missing = -count % yaws
        padded = torch.cat([yaw_enu_rad, yaw_enu_rad[:, -1:].expand(-1, missing)], dim=1)
        return [piece.contiguous() for piece in torch.split(padded, yaws, dim=1)]

    def _encoded(self, name: CallName, source: GroundInput | MapInput) -> dict[str, Tensor]:
        named = tensors_of(source)
        return {**named, **self.calls[name](named)}

    def _eager_match(self, ground: CompiledGround, maps: CompiledMap, yaw_enu_rad: Tensor) -> Tensor:
        if maps.eager is None:
            maps.eager = self.network.encode_map(maps.source)
        if ground.eager is None:
            ground.eager = self.network.encode_ground(ground.source)
        return self.network.match(ground.eager, maps.eager, yaw_enu_rad)

    def _tile_problem(self, tiles: MapInput) -> str | None:
        size, side = tuple(tiles.rgb.shape), self.profile.tile_px
        if size != (1, 3, side, side):
            return f"a batch of {size[0]} tiles of {size[3]} x {size[2]} px, compiled for 1 of {side} x {side} px"
        scale = float(tiles.metres_per_pixel[0]) / self.metres_per_pixel
        if abs(scale - 1) > _SCALE_TOLERANCE:
            return (
                f"a tile of {float(tiles.metres_per_pixel[0]):.4f} m per pixel, compiled for "
                f"{self.metres_per_pixel:.4f}"
            )
        return None

    def _ground_problem(self, ground: GroundInput) -> str | None:
        (height, width), size = self.profile.ground_px, tuple(ground.pixels.shape)
        kind = "panorama" if ground.intrinsics is None else "pinhole"
        if size != (1, 3, height, width) or kind != self.profile.kind:
            return (
                f"a batch of {size[0]} {kind} images of {size[3]} x {size[2]} px, compiled for 1 {self.profile.kind} "
                f"image of {width} x {height} px"
            )
        if ground.intrinsics is not None:
            horizon = math.floor(float(ground.intrinsics[0, 1, 2]))
            if horizon < self.profile.horizon_px:
                return f"a horizon in pixel row {horizon}, compiled for {self.profile.horizon_px} or further down"
        return None

    def _refuse(self, problem: str) -> None:
        if not self.eager_fallback:
            raise RuntimeBackendError(
                f"the compiled network was given {problem}; compile it for this camera and map, or allow the eager "
                "network to serve what does not fit"
            )
        if not self._told:
            _LOG.warning("the eager network serves what the compiled one cannot: %s", problem)
            self._told = True


def tensors_of(source: GroundInput | MapInput) -> dict[str, Tensor]:
    """The tensors of an input by name."""
    found = {field.name: getattr(source, field.name) for field in fields(source)}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}
