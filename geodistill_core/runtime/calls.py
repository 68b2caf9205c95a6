# SPDX-License-Identifier: Apache-2.0
"""The three calls of a network as plain modules from tensors to tensors, which exporters can trace.

Features of a network are trees of dataclasses, mappings and tuples with tensors at their leaves. A call takes and
gives the leaves by name: an input's own tensors keep their names (`pixels`, `mount`, `valid`, ...) wherever they turn
up again, what a call computes is named by its path (`ground.features.2`). Of the ground, leaves that the match does
not look at are not computed; of the map, which is encoded once per tile, all are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from geodistill_core.models.base import AnyNetwork, GroundInput, MapInput
from geodistill_core.models.portable import PortableForm, portable
from geodistill_core.runtime.backend import CallName
from geodistill_core.runtime.network import tensors_of
from geodistill_core.runtime.profile import Profile

YAW = "yaw_enu_rad"
_CAMERA_HEIGHT_M = 1.8


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `module` takes tensors in the order of `inputs` (samples by name) and answers those named `outputs`."""

    name: CallName
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


class _Traced(nn.Module):
    """`function` of tensors by name, as a module in portable form that holds the network's weights."""

    def __init__(
        self,
        network: AnyNetwork,
        form: PortableForm,
        names: Iterable[str],
        function: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    ) -> None:
        super().__init__()
        self.network, self.form, self.names, self.function = network, form, tuple(names), function

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The function's answers, one after the other."""
        with portable(self.form):
            return tuple(self.function(dict(zip(self.names, tensors, strict=True))).values())


def sample_inputs(network: AnyNetwork, profile: Profile) -> tuple[GroundInput, MapInput]:
    """Inputs of the profile's shapes, the same every time; their values mean nothing."""
    generator = torch.Generator().manual_seed(0)
    (height, width), side = profile.ground_px, profile.tile_px
    camera = torch.tensor([[[width, 0.0, width / 2], [0.0, width, profile.horizon_px], [0.0, 0.0, 1.0]]])
    ground = GroundInput(
        torch.rand(1, 3, height, width, generator=generator),
        torch.ones(1, height, width),
        torch.tensor([[0.0, 0.0, _CAMERA_HEIGHT_M]]),
        camera if profile.kind == "pinhole" else None,
    )
    tiles = MapInput(
        torch.rand(1, 3, side, side, generator=generator),
        torch.ones(1, side, side),
        torch.tensor([network.metres_per_pixel], dtype=torch.float32),
    )
    return ground, tiles


@torch.no_grad()
def calls_of(network: AnyNetwork, profile: Profile) -> tuple[Call, Call, Call]:
    """The calls encode_map, encode_ground and match of a network in evaluation mode."""
    form = PortableForm(profile.horizon_px)
    ground, tiles = sample_inputs(network, profile)
    given = {**tensors_of(ground), **tensors_of(tiles)}
    own = {id(tensor): name for name, tensor in given.items()}
    with portable(form):
        seen, maps = network.encode_ground(ground), network.encode_map(tiles)
    of_ground, of_map = leaves("ground", seen, own), leaves("map", maps, own)

    def match(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return network.compare(
            with_leaves("ground", seen, named, own), with_leaves("map", maps, named, own), named[YAW]
        )

    everything = {**of_ground, **of_map, YAW: torch.zeros(1, profile.yaws)}
    with portable(form):
        compared = tuple(match(everything))
    used = _used(_Traced(network, form, everything, match), everything)
    inputs = {name: tensor for name, tensor in everything.items() if name in used}

    def encode(kind: str, encoder: Callable[[Any], Any], source: GroundInput | MapInput) -> Call:
        named = tensors_of(source)
        wanted = tuple(name for name in (of_map if kind == "map" else inputs) if name.startswith(f"{kind}."))

        def run(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            found = leaves(kind, encoder(type(source)(**tensors)), {})
            return {name: found[name] for name in wanted}

        name: CallName = "encode_map" if kind == "map" else "encode_ground"
        return Call(name, _Traced(network, form, named, run).eval(), named, wanted)

    return (
        encode("map", network.encode_map, tiles),
        encode("ground", network.encode_ground, ground),
        Call(
            "match",
            _Traced(network, form, inputs, lambda named: match({**everything, **named})).eval(),
            inputs,
            compared,
        ),
    )


def _used(module: nn.Module, inputs: Mapping[str, Tensor]) -> set[str]:
    """The names of inputs that the module's answer depends on."""
    graph = torch.export.export(module, tuple(inputs.values()), strict=False).graph
    placeholders = [node for node in graph.nodes if node.op == "placeholder"][-len(inputs) :]
    return {name for name, node in zip(inputs, placeholders, strict=True) if node.users}


def leaves(path: str, value: Any, own: Mapping[int, str]) -> dict[str, Tensor]:
    """The tensors of a tree by path, or by the name in `own` (identity to name)."""
    found: dict[str, Tensor] = {}

    def note(name: str, tensor: Tensor) -> Tensor:
        found[own.get(id(tensor), name)] = tensor
        return tensor

    _mapped(path, value, note)
    return found


def with_leaves(path: str, value: Any, tensors: Mapping[str, Tensor], own: Mapping[int, str]) -> Any:
    """The tree with other tensors at its leaves, named as `leaves` names them."""
    return _mapped(path, value, lambda name, tensor: tensors[own.get(id(tensor), name)])


def _mapped(path: str, value: Any, change: Callable[[str, Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(path, value)
    if isinstance(value, Mapping):
        return {key: _mapped(f"{path}.{key}", item, change) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_mapped(f"{path}.{i}", item, change) for i, item in enumerate(value))
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(
            **{f.name: _mapped(f"{path}.{f.name}", getattr(value, f.name), change) for f in fields(value)}
        )
    return value
