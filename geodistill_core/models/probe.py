# SPDX-License-Identifier: Apache-2.0
"""A seeded input whose output every copy of a checkpoint must reproduce: catches wrong weights and back ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models.backbones.dinov2 import FrozenDinov2
from geodistill_core.models.backbones.dpt import Tokens
from geodistill_core.models.backbones.patches import pad_to_patches
from geodistill_core.models.base import AnyNetwork, GroundInput
from geodistill_core.models.orientation import OrientationNetwork
from geodistill_core.types import Array, CameraModel, GeoPoint, GroundImage, MapTile, forward_optical_mount

_VALUES = 16
_TILE_PX = 320
_PATCH = 14
_YAW_ENU_RAD = (0.0, 0.5)


def probe_output(network: AnyNetwork, seed: int) -> tuple[float, ...]:
    """Logits at fixed places for a seeded tile and ground image, where they are not -inf.

    A frozen backbone is no part of a checkpoint and need not be at hand: seeded tokens stand in for it.

    Raises:
        CheckpointError: the network rules out every position.
    """
    rng = np.random.default_rng(seed)
    side = network.map_size_px or _TILE_PX
    tile_rgb, panorama = _smooth_picture(rng, side, side), _smooth_picture(rng, 512, 1024)
    tile = MapTile(tile_rgb, np.ones((side, side), bool), GeoPoint(0, 0), network.metres_per_pixel, "probe")
    with torch.inference_mode(), _seeded_tokens(network, seed):
        ground = network.encode_ground(_ground_input(network, panorama))
        map_features = network.encode_map(network.prepare_map(tile))
        logits = network.match(ground, map_features, _yaws_enu_rad(network)).flatten()
    possible = logits[logits != -torch.inf]
    if not len(possible):
        raise CheckpointError("the network rules out every position of the probe; its weights are not usable")
    return tuple(float(v) for v in possible[torch.linspace(0, len(possible) - 1, _VALUES).long()])


def probe_deviation(found: tuple[float, ...], expected: tuple[float, ...]) -> float:
    """Largest difference, as a share of the largest expected magnitude."""
    return float(np.abs(np.subtract(found, expected)).max() / np.abs(expected).max())


def _yaws_enu_rad(network: AnyNetwork) -> Tensor:
    """Two headings [1, Y]; every class around north for a network that estimates the heading alone."""
    if isinstance(network, OrientationNetwork):
        return (network.class_yaws() + math.pi / 2).unsqueeze(0)
    return torch.tensor([_YAW_ENU_RAD])


def _smooth_picture(rng: np.random.Generator, height: int, width: int) -> Array:
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, height // 16, width // 16)))
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return fine[0].permute(1, 2, 0).round().byte().numpy()


def _ground_input(network: AnyNetwork, panorama: Array) -> GroundInput:
    """The picture as a panorama, or its middle rows as a pinhole image for networks that refuse panoramas."""
    try:
        return network.prepare_ground(GroundImage.panorama(panorama))
    except ConfigError:
        rgb = np.ascontiguousarray(panorama[128:384])
        height, width = rgb.shape[:2]
        camera = CameraModel(
            width, height, np.array([[width / 2, 0, width / 2], [0, width / 2, height / 2], [0, 0, 1]])
        )
        return network.prepare_ground(GroundImage(rgb, 0, forward_optical_mount(1.65), camera))


class _SeededTokens:
    """Noise in the shape of a vision transformer's tokens."""

    def __init__(self, backbone: FrozenDinov2, seed: int) -> None:
        self.blocks, self.channels = len(backbone.blocks), backbone.channels
        self.rng = np.random.default_rng(seed)

    def tokens(self, images: Tensor) -> Tokens:
        """Tokens for images [B, 3, H, W], whatever they show."""
        rows, columns = (side // _PATCH for side in pad_to_patches(images, _PATCH).shape[-2:])
        patches = [self._draw(len(images), rows, columns, self.channels) for _ in range(self.blocks)]
        return Tokens(patches, [self._draw(len(images), self.channels) for _ in range(self.blocks)])

    def _draw(self, *shape: int) -> Tensor:
        return torch.from_numpy(self.rng.standard_normal(shape, dtype=np.float32))


@contextmanager
def _seeded_tokens(network: AnyNetwork, seed: int) -> Iterator[None]:
    backbone = getattr(network, "backbone", None)
    if not isinstance(backbone, FrozenDinov2):
        yield
        return
    network.backbone = _SeededTokens(backbone, seed)  # type: ignore[assignment]  # no module
    try:
        yield
    finally:
        network.backbone = backbone  # type: ignore[assignment]  # no module
