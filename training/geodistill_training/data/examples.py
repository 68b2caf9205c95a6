# SPDX-License-Identifier: Apache-2.0
"""One training example as a network reads it, and batches of them.

Every data set becomes `Example`s through the network's own `prepare_map` and `prepare_ground`, so an objective never
knows where its data came from, and any network trains on any data set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from geodistill_core.models.base import AnyNetwork, GroundInput, MapInput
from geodistill_core.models.orientation import OrientationNetwork
from geodistill_core.types import Array, GroundImage, MapTile


@dataclass(frozen=True, slots=True)
class Example:
    """Pictures as uint8 and numbers as float32.

    `tile` [H, W, 3] and `valid` [H, W] (0..255) of `metres_per_pixel`; `pixels` [h, w, 3] and `visible` [h, w] (0..255)
    of the ground image; `mount` [3] forward, left, height in metres; `intrinsics` [3, 3] or None for a panorama;
    `yaw_enu_rad` is the heading prior. `truth` [3] is the base's place (metres east and north of the tile's centre) and
    yaw, None unless labels were asked for. `key` names the example in messages.
    """

    key: str
    tile: Array
    valid: Array
    metres_per_pixel: float
    pixels: Array
    visible: Array
    mount: Array
    intrinsics: Array | None
    yaw_enu_rad: float
    truth: Array | None = None


class ExampleSet(Protocol):
    """A random-access set of examples.

    `groups[i]` names the plane (a city, a drive) on which `places_m[i]` (metres east and north, a prior, not a label)
    lies: two examples of one group closer than a tile may show the same ground. `looks[i]` names what examples of one
    appearance share (a style, a city).
    """

    @property
    def groups(self) -> Sequence[str]:
        """Group of every example."""

    @property
    def looks(self) -> Sequence[str]:
        """Appearance of every example."""

    @property
    def places_m(self) -> Array:
        """Approximate place of every example, [N, 2]."""

    def __len__(self) -> int: ...

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """Example `index`; whatever is random about it comes from `rng`.

        Raises:
            DatasetError: its files are missing or broken; the message names them.
        """


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples stacked for a network; `truth` [B, 3] or None; `rows` [B] are the rows of the global batch held here.

    `maps` and `ground` are what is learned from, augmented if the recipe says so; `teacher_maps` and `teacher_ground`
    are the same pictures as they are, since a teacher that is confused teaches confusion.
    `broken` says which examples could not be read and were replaced by others.
    """

    step: int
    keys: tuple[str, ...]
    rows: Tensor
    maps: MapInput
    ground: GroundInput
    teacher_maps: MapInput
    teacher_ground: GroundInput
    yaw_enu_rad: Tensor
    truth: Tensor | None
    broken: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device."""
        truth = None if self.truth is None else self.truth.to(device)
        return replace(
            self,
            maps=_moved(self.maps, device),
            ground=_moved(self.ground, device),
            teacher_maps=_moved(self.teacher_maps, device),
            teacher_ground=_moved(self.teacher_ground, device),
            yaw_enu_rad=self.yaw_enu_rad.to(device),
            truth=truth,
        )

    def select(self, kept: Tensor) -> Batch:
        """The examples `kept` [n], indices in rising order on the batch's device."""
        truth = None if self.truth is None else self.truth[kept]
        chosen = kept.cpu()
        return replace(
            self,
            keys=tuple(self.keys[i] for i in chosen.tolist()),
            rows=self.rows[chosen],
            maps=_chosen(self.maps, kept),
            ground=_chosen(self.ground, kept),
            teacher_maps=_chosen(self.teacher_maps, kept),
            teacher_ground=_chosen(self.teacher_ground, kept),
            yaw_enu_rad=self.yaw_enu_rad[kept],
            truth=truth,
        )


_Input = TypeVar("_Input", GroundInput, MapInput)


def _moved(record: _Input, device: torch.device | str) -> _Input:
    return _each(record, lambda tensor: tensor.to(device))


def _chosen(record: _Input, kept: Tensor) -> _Input:
    return _each(record, lambda tensor: tensor[kept])


def _each(record: _Input, function: Callable[[Tensor], Tensor]) -> _Input:
    tensors = {field.name: getattr(record, field.name) for field in fields(record)}
    return replace(record, **{name: function(value) for name, value in tensors.items() if value is not None})


def prepare(
    network: AnyNetwork, image: GroundImage, tile: MapTile, yaw_enu_rad: float, truth: Array | None, key: str
) -> Example:
    """An example of what `network` reads of an image and a tile; the orientation network's picture is the prior's."""
    ground: GroundInput
    if isinstance(network, OrientationNetwork):
        ground = network.prepare_ground(image, yaw_enu_rad)
    else:
        ground = network.prepare_ground(image)
    maps = network.prepare_map(tile)
    return Example(
        key=key,
        tile=_bytes(maps.rgb[0].permute(1, 2, 0)),
        valid=_bytes(maps.valid[0]),
        metres_per_pixel=float(maps.metres_per_pixel[0]),
        pixels=_bytes(ground.pixels[0].permute(1, 2, 0)),
        visible=_bytes(ground.visible[0]),
        mount=ground.mount[0].numpy().astype(np.float32),
        intrinsics=None if ground.intrinsics is None else ground.intrinsics[0].numpy().astype(np.float32),
        yaw_enu_rad=yaw_enu_rad,
        truth=None if truth is None else np.asarray(truth, np.float32),
    )


def collate(
    examples: Sequence[Example], step: int, rows: Sequence[int], plain: Sequence[Example] | None = None
) -> Batch:
    """Stack examples; all must have the same sizes, and all or none a truth. `plain` are they before augmentation."""
    ground = GroundInput(
        _pictures([e.pixels for e in examples]),
        _shares([e.visible for e in examples]),
        torch.from_numpy(np.stack([e.mount for e in examples])),
        _stacked([e.intrinsics for e in examples]),
    )
    maps = MapInput(
        _pictures([e.tile for e in examples]),
        _shares([e.valid for e in examples]),
        torch.tensor([e.metres_per_pixel for e in examples], dtype=torch.float32),
    )
    return Batch(
        step=step,
        keys=tuple(e.key for e in examples),
        rows=torch.tensor(list(rows)),
        maps=maps,
        ground=ground,
        teacher_maps=maps if plain is None else replace(maps, rgb=_pictures([e.tile for e in plain])),
        teacher_ground=ground if plain is None else replace(ground, pixels=_pictures([e.pixels for e in plain])),
        yaw_enu_rad=torch.tensor([e.yaw_enu_rad for e in examples], dtype=torch.float32),
        truth=_stacked([e.truth for e in examples]),
    )


def _stacked(arrays: Sequence[Array | None]) -> Tensor | None:
    given = [np.asarray(x, np.float32) for x in arrays if x is not None]
    assert len(given) in {0, len(arrays)}
    return torch.from_numpy(np.stack(given)) if given else None


def _bytes(x: Tensor) -> Array:
    return np.asarray((x * 255.0).round().clamp(0, 255).byte().contiguous().numpy())


def _pictures(pictures: Sequence[Array]) -> Tensor:
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255.0))


def _shares(shares: Sequence[Array]) -> Tensor:
    return torch.from_numpy(np.stack(shares).astype(np.float32) / np.float32(255.0))
