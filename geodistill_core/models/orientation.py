# SPDX-License-Identifier: Apache-2.0
"""`geodistill_orientation`: the heading as a class, from the tile and the ground image drawn as an overhead picture.

GeoDistill's orientation network: an EfficientNet-B0 trunk each for tile and picture, a 3x3 convolution that fuses
them, and a classifier over offsets from a *reference heading*. `prepare_ground` draws the picture north-up as if the
vehicle had the reference heading (the best guess, such as the prior's yaw; north unless told); the answer is how much
further counter-clockwise it really looks. The fusing convolution is linear in each of its halves, so each picture
brings its own half along, and the tile's is computed once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.ground_plane import camera_in_level
from geodistill_core.models.backbones.efficientnet import (
    BLOCK_CHANNELS,
    EFFICIENTNET_KEYS,
    EFFICIENTNET_UNUSED_HEAD,
    EfficientNet,
)
from geodistill_core.models.backbones.imagenet import imagenet_normalized
from geodistill_core.models.backbones.published_efficientnet import published_blocks
from geodistill_core.models.base import CrossViewNetwork, Geometry, GroundInput, MapInput
from geodistill_core.models.bev import exact_view, published_view
from geodistill_core.models.portable import is_portable
from geodistill_core.models.yaw_classes import PublishedYawClasses, YawClasses
from geodistill_core.types import GroundImage

PUBLISHED_KEYS: tuple[tuple[str, str], ...] = (
    (r"^sat_efficientnet\.", "map_trunk."),
    (r"^grd_efficientnet\.", "ground_trunk."),
    (r"^fusion_layer\.0\.", "fusion."),
    (r"^fusion_layer\.1\.", "fusion_norm."),
    (r"^fc\.", "classifier."),
    *EFFICIENTNET_KEYS,
)
UNUSED_KEYS: tuple[str, ...] = EFFICIENTNET_UNUSED_HEAD

_NORTH_RAD = math.pi / 2
_BLOCK = 14
_CHANNELS = BLOCK_CHANNELS[_BLOCK]
_TILE_PX = 512
_SCALE_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class OverheadPicture(GroundInput):
    """A ground image drawn north-up as if its heading were `reference_yaw_enu_rad` [B]."""

    reference_yaw_enu_rad: Tensor


@dataclass(frozen=True, slots=True)
class OrientationMap:
    """The tile's half of the fusing convolution [B, 192, 16, 16]."""

    half: Tensor


@dataclass(frozen=True, slots=True)
class OrientationGround:
    """The picture's half of the fusing convolution [B, 192, 16, 16], and the heading [B] it was drawn for."""

    half: Tensor
    reference_yaw_enu_rad: Tensor


class OrientationNetwork(CrossViewNetwork[OrientationMap, OrientationGround]):
    """See the module; `classes` headings over `range_deg` around the reference heading (360: the full circle).

    Position is not estimated: heat maps have one cell, as wide as the tile. `compat` reads raw 0..255 pixels, draws
    panoramas 170 degrees wide whatever the tile's scale, and has the published classes; `corrected` reads
    ImageNet-normalised pixels and pictures at the tile's `metres_per_pixel`.
    """

    map_size_px = _TILE_PX

    def __init__(
        self,
        geometry: Geometry = "corrected",
        metres_per_pixel: float = 0.126,
        classes: int = 90,
        range_deg: float = 90.0,
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.metres_per_pixel = metres_per_pixel
        self.metres_per_cell = self.template_extent_m = _TILE_PX * metres_per_pixel
        kind = PublishedYawClasses if geometry == "compat" else YawClasses
        self.classes = kind(classes, math.radians(range_deg))
        self.map_trunk = EfficientNet(head=False)
        self.ground_trunk = EfficientNet(head=False)
        self.fusion = nn.Conv2d(2 * _CHANNELS, _CHANNELS, 3, padding=1)
        self.fusion_norm = nn.BatchNorm2d(_CHANNELS)
        cells = (_TILE_PX // 32) ** 2
        self.classifier = nn.Sequential(
            nn.Linear(_CHANNELS * cells, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, classes)
        )

    def prepare_ground(self, image: GroundImage, reference_yaw_enu_rad: float = _NORTH_RAD) -> OverheadPicture:
        """The image as an overhead picture for the reference heading (ENU); black where the camera saw nothing."""
        if self.geometry == "compat":
            rgb, seen = published_view(image, reference_yaw_enu_rad, _TILE_PX)
        else:
            rgb, seen = exact_view(image, reference_yaw_enu_rad, self.metres_per_pixel, _TILE_PX)
        return OverheadPicture(
            torch.from_numpy(rgb).permute(2, 0, 1).unsqueeze(0).float() / 255.0,
            torch.from_numpy(seen).unsqueeze(0).float(),
            torch.from_numpy(camera_in_level(image)[1]).float().unsqueeze(0),
            reference_yaw_enu_rad=torch.tensor([reference_yaw_enu_rad], dtype=torch.float32),
        )

    def encode_map(self, tiles: MapInput) -> OrientationMap:
        """See the contract.

        Raises:
            ConfigError: the tiles have not the scale that ground images are drawn at (`corrected`).
        """
        scale = tiles.metres_per_pixel / self.metres_per_pixel
        if self.geometry == "corrected" and not is_portable() and bool(((scale - 1).abs() > _SCALE_TOLERANCE).any()):
            raise ConfigError(
                f"tiles of {[round(float(m), 4) for m in tiles.metres_per_pixel]} m per pixel do not fit pictures of "
                f"{self.metres_per_pixel} m per pixel; build the network with the tiles' metres_per_pixel"
            )
        return OrientationMap(self._half(self.map_features(tiles.rgb), 0))

    def encode_ground(self, ground: GroundInput) -> OrientationGround:
        """See the contract; a plain `GroundInput` is taken as drawn for a vehicle that heads north."""
        half = self._half(self.ground_features(ground.pixels), 1)
        return OrientationGround(half, self._reference(ground, len(half)).to(half))

    def map_features(self, rgb: Tensor) -> Tensor:
        """Features [B, 192, 16, 16] of tiles [B, 3, 512, 512] (RGB in 0..1)."""
        return self._features(self.map_trunk, rgb)

    def ground_features(self, pixels: Tensor) -> Tensor:
        """Features [B, 192, 16, 16] of overhead pictures [B, 3, 512, 512] (RGB in 0..1)."""
        return self._features(self.ground_trunk, pixels)

    def _features(self, trunk: EfficientNet, rgb: Tensor) -> Tensor:
        if self.geometry == "corrected":
            return trunk(imagenet_normalized(rgb), [_BLOCK])[0]  # type: ignore[no-any-return]
        run = trunk if self.training else partial(published_blocks, trunk)
        return run(rgb * 255.0, [_BLOCK])[0]

    def _half(self, features: Tensor, half: int) -> Tensor:
        """What the tile (0, which also brings the bias) or the picture (1) adds to the fusing convolution."""
        weight = self.fusion.weight[:, half * _CHANNELS : (half + 1) * _CHANNELS]
        return F.conv2d(features, weight, self.fusion.bias if half == 0 else None, padding=1)

    def fused(self, ground: OrientationGround, map_features: OrientationMap) -> Tensor:
        """What the classifier reads, [B, 192, 16, 16]."""
        return F.relu(self.fusion_norm(map_features.half + ground.half))

    def yaw_logits(self, ground: OrientationGround, map_features: OrientationMap) -> Tensor:
        """Class logits [B, N]; class k stands for `class_yaws()[k]`."""
        return torch.as_tensor(self.classifier(self.fused(ground, map_features).flatten(1)))

    def class_yaws(self) -> Tensor:
        """The classes' offsets [N] from the reference heading, radians counter-clockwise."""
        return self.classes.offset(torch.arange(self.classes.count))

    def yaw(self, ground: OrientationGround, map_features: OrientationMap) -> Tensor:
        """Most probable heading [B], radians ENU in [-pi, pi)."""
        yaw = ground.reference_yaw_enu_rad + self.classes.decode(self.yaw_logits(ground, map_features))
        return torch.remainder(yaw + math.pi, 2 * math.pi) - math.pi

    def match(self, ground: OrientationGround, map_features: OrientationMap, yaw_enu_rad: Tensor) -> Tensor:
        """Log-probabilities [B, Y, 1, 1] of headings [B, Y]; those of ignorance, 1/N, beyond the classes' range."""
        logits = self.yaw_logits(ground, map_features)
        return self._log_probability(logits, ground.reference_yaw_enu_rad, yaw_enu_rad)

    def compare(
        self, ground: OrientationGround, map_features: OrientationMap, yaw_enu_rad: Tensor
    ) -> dict[str, Tensor]:
        """See the contract; the classes' logits, which no hypothesis moves."""
        return {"classes": self.yaw_logits(ground, map_features)}

    def conclude(
        self, compared: Mapping[str, Tensor], settled: None, ground: GroundInput, tiles: MapInput, yaw_enu_rad: Tensor
    ) -> Tensor:
        """See the contract."""
        reference = self._reference(ground, len(yaw_enu_rad)).to(yaw_enu_rad)
        return self._log_probability(compared["classes"], reference, yaw_enu_rad)

    @staticmethod
    def _reference(ground: GroundInput, count: int) -> Tensor:
        if isinstance(ground, OverheadPicture):
            return ground.reference_yaw_enu_rad
        return torch.full((count,), _NORTH_RAD)

    def _log_probability(self, logits: Tensor, reference_yaw_enu_rad: Tensor, yaw_enu_rad: Tensor) -> Tensor:
        offset = yaw_enu_rad - reference_yaw_enu_rad.unsqueeze(1)
        return self.classes.log_probability(logits, offset)[..., None, None]
