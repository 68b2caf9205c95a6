# SPDX-License-Identifier: Apache-2.0
"""CCVPE and the adaptation paper's network: descriptors matched at six resolutions, decoded to position and heading.

A ground descriptor is compared with every cell's descriptor for every heading; the best similarity and the map's own
features are decoded to the next resolution, six times from 8 x 8 to 512 x 512 cells. A second decoder turns the
similarities of the coarsest level into a field of headings. Source: CCVPE, section 3; published code for the sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodistill_core.errors import ConfigError
from geodistill_core.models.backbones.efficientnet import (
    EFFICIENTNET_KEYS,
    EFFICIENTNET_UNUSED,
    HEAD_CHANNELS,
    EfficientNet,
    Padding,
)
from geodistill_core.models.backbones.imagenet import imagenet_normalized
from geodistill_core.models.base import CrossViewNetwork, Geometry, GroundInput, MapInput
from geodistill_core.models.heading_field import heading_log_share, move_to_base
from geodistill_core.models.rolled_matching import GroundDescriptors, RolledMatching, unit_cells
from geodistill_core.models.upsampling import Border, Decoder, UpStage, with_ones
from geodistill_core.models.views import panorama_view
from geodistill_core.types import GroundImage

LEVELS = 6
_TILE_PX = 512
_SKIP_BLOCKS = (0, 2, 4, 10, 15)
_SKIPS = (320, 112, 40, 24, 16, 0)
_UP_FIRST = 1024
_LAST = 16
_SHORTEST = 1e-12
_HEADING_UP = (_UP_FIRST, 256, 128, 64, 32, _LAST)


def _decoder_keys(suffix: str, name: str) -> Iterator[tuple[str, str]]:
    for number in range(1, LEVELS + 1):
        stage = f"{name}.{LEVELS - number}"
        yield rf"^deconv{number}{suffix}\.", f"{stage}.up."
        yield rf"^conv{number}{suffix}\.0\.", f"{stage}.mix."
        yield rf"^conv{number}{suffix}\.2\.", f"{stage}.refine."


def _descriptor_keys() -> Iterator[tuple[str, str]]:
    for number in range(1, LEVELS + 1):
        yield rf"^grd_feature_to_descriptor{number}\.0\.", f"descriptors.project.{number - 1}."
        yield rf"^grd_feature_to_descriptor{number}\.2\.", f"descriptors.collapse.{number - 1}."


PUBLISHED_KEYS: tuple[tuple[str, str], ...] = (
    (r"^grd_efficientnet\.", "ground_trunk."),
    (r"^sat_efficientnet\.", "map_trunk."),
    *EFFICIENTNET_KEYS,
    (r"^sat_feature_to_descriptors\.1\.", "map_descriptor."),
    *_descriptor_keys(),
    *_decoder_keys("", "location"),
    *_decoder_keys("_ori", "heading"),
)
UNUSED_KEYS = EFFICIENTNET_UNUSED


@dataclass(frozen=True, slots=True)
class CcvpeSizes:
    """What differs between data sets.

    `ground_size` (rows, columns) of the image in pixels, `ground_cells` of its features; `descriptor_channels` per
    column of the ground descriptors; `map_channels` of the six matched maps; `up_channels` of the location decoder's
    deconvolutions; `steps` by which one roll moves at each level, as published; `rolls` to a full turn.
    """

    ground_size: tuple[int, int]
    ground_cells: tuple[int, int]
    descriptor_channels: tuple[int, ...]
    map_channels: tuple[int, ...]
    up_channels: tuple[int, ...]
    heading_first: int
    steps: tuple[int, ...]
    rolls: int


@dataclass(frozen=True, slots=True)
class CcvpeMap:
    """What depends on the tiles alone.

    `unit` [B, C, 8, 8] descriptors of norm 1 and the norms of their windows (None: 1), both decoders' map terms,
    `valid` [B, 512, 512] in 0..1 and `metres_per_pixel` [B].
    """

    unit: Tensor
    norms: Tensor | None
    location: tuple[Tensor | None, ...]
    heading: tuple[Tensor | None, ...]
    valid: Tensor
    metres_per_pixel: Tensor


@dataclass(frozen=True, slots=True)
class CcvpeGround:
    """`templates` of the six levels [B, rolls, channels] and the camera's `mount` [B, 3]."""

    templates: tuple[Tensor, ...]
    mount: Tensor


@dataclass(frozen=True, slots=True)
class CcvpeOutput:
    """`logits` [B, 512, 512] over positions of the camera, `field` [B, 2, 512, 512] (cosine and sine of the heading
    angle) and `scores`, six volumes of similarities [B, rolls, cells, cells].
    """

    logits: Tensor
    field: Tensor
    scores: tuple[Tensor, ...]

    @property
    def heatmap(self) -> Tensor:
        """Probabilities [B, 512, 512] of positions."""
        return torch.softmax(self.logits.flatten(1), dim=1).view_as(self.logits)


class Ccvpe(CrossViewNetwork[CcvpeMap, CcvpeGround]):
    """See the module; data sets subclass it.

    `rolls` are the headings that decoding takes the best of (None: all). `turn` is +1 where the heading angle grows
    counter-clockwise from north and -1 where it grows clockwise. The answer's distribution over yaw at each position
    is a von Mises around the field's heading with `concentration` (50: about 8 degrees), normalised over the
    hypotheses. In `compat` a pixel's index counts from index 256, in `corrected` from the tile's centre.
    """

    map_size_px = _TILE_PX
    template_extent_m = 0.0

    def __init__(
        self,
        sizes: CcvpeSizes,
        *,
        geometry: Geometry,
        metres_per_pixel: float,
        ground_padding: Padding,
        map_padding: Padding,
        turn: int,
        concentration: float,
        rolls: Sequence[int] | None = None,
        steps: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if not concentration >= 0:
            raise ConfigError(f"concentration {concentration} is negative; 0 makes every yaw equally likely")
        self.sizes, self.turn, self.concentration = sizes, turn, concentration
        self.metres_per_pixel = self.metres_per_cell = metres_per_pixel
        self.heatmap_shift_cells = (-0.5, -0.5) if geometry == "compat" else (0.0, 0.0)
        self.ground_trunk, self.map_trunk = EfficientNet(ground_padding), EfficientNet(map_padding)
        self.descriptors = GroundDescriptors(HEAD_CHANNELS, sizes.descriptor_channels, sizes.ground_cells[0])
        self.map_descriptor = nn.Linear(HEAD_CHANNELS * 4, sizes.map_channels[0])
        self._build_matching(range(sizes.rolls) if rolls is None else rolls, steps or sizes.steps)
        self._build_decoders("reflect" if map_padding == "reflect" else "zeros")

    def _build_matching(self, rolls: Sequence[int], steps: Sequence[int]) -> None:
        self.decoded = [roll % self.sizes.rolls for roll in rolls]
        self.matching = nn.ModuleList()
        for level in range(LEVELS):
            length = self.sizes.ground_cells[1] * self.sizes.descriptor_channels[level]
            used = rolls if level else range(self.sizes.rolls)
            self.matching.append(RolledMatching(self.sizes.map_channels[level], length, steps[level], used))

    def _matching(self, level: int) -> RolledMatching:
        return cast(RolledMatching, self.matching[level])

    def _build_decoders(self, border: Border) -> None:
        sizes = self.sizes
        outs = (*sizes.map_channels[1:], 1)
        widths = zip(sizes.map_channels, sizes.up_channels, _SKIPS, (*outs[:-1], _LAST), outs, strict=True)
        self.location = Decoder(
            UpStage(1 + c, up, skip, mixed, out, border, from_map=0 if i else c)
            for i, (c, up, skip, mixed, out) in enumerate(widths)
        )
        first = sizes.map_channels[0]
        chain = (sizes.rolls + first, sizes.heading_first, *_HEADING_UP[1:-1], 2)
        self.heading = Decoder(
            UpStage(c, up, skip, _LAST if out == 2 else out, out, border, from_map=0 if i else first)
            for i, ((c, out), up, skip) in enumerate(zip(pairwise(chain), _HEADING_UP, _SKIPS, strict=True))
        )

    def prepare_ground(self, image: GroundImage) -> GroundInput:
        """See the contract; a level panorama."""
        return panorama_view(image, *self.sizes.ground_size)

    def encode_ground(self, ground: GroundInput) -> CcvpeGround:
        """See the contract."""
        return self.described(self.ground_features(ground.pixels), ground.mount)

    def ground_features(self, pixels: Tensor) -> Tensor:
        """Features [B, 1280, rows, columns] of ground images [B, 3, H, W] (RGB in 0..1)."""
        trunk = self.ground_trunk
        return trunk.features(trunk(imagenet_normalized(pixels), (15,))[0])

    def described(self, features: Tensor, mount: Tensor) -> CcvpeGround:
        """The templates of ground features."""
        templates = (self._matching(level).templates(d) for level, d in enumerate(self.descriptors(features)))
        return CcvpeGround(tuple(templates), mount)

    def encode_map(self, tiles: MapInput) -> CcvpeMap:
        """See the contract; the 2 x 2 cells that share a descriptor are one strided convolution."""
        blocks = self.map_trunk(imagenet_normalized(tiles.rgb), _SKIP_BLOCKS)
        features = self.map_trunk.features(blocks[-1])
        linear = self.map_descriptor
        weight = linear.weight.view(linear.out_features, -1, 2, 2)
        unit = unit_cells(F.conv2d(features, weight, linear.bias, stride=2))
        location, heading = (decoder.map_terms(blocks[::-1], unit) for decoder in (self.location, self.heading))
        norms = self._matching(0).window_norms(unit)
        return CcvpeMap(unit, norms, location, heading, tiles.valid, tiles.metres_per_pixel)

    def decode(self, ground: CcvpeGround, maps: CcvpeMap) -> CcvpeOutput:
        """Both decoders."""
        scores = [self._matching(0)(ground.templates[0], maps.unit, maps.norms)]
        x = self.location.step(0, scores[0][:, self.decoded].amax(dim=1, keepdim=True), maps.location)
        for level in range(1, LEVELS):
            matching, unit = self._matching(level), unit_cells(x)
            scores.append(matching(ground.templates[level], unit, matching.window_norms(unit)))
            best = scores[-1].amax(dim=1, keepdim=True)
            x = self.location.step(level, with_ones(best, unit), maps.location)
        field = self.heading.step(0, scores[0], maps.heading)
        for level in range(1, LEVELS):
            field = self.heading.step(level, with_ones(field), maps.heading)
        length = torch.hypot(field[:, :1], field[:, 1:]).clamp(min=_SHORTEST)
        return CcvpeOutput(x.squeeze(1), field / length, tuple(scores))

    def forward_all(self, ground: GroundInput, tiles: MapInput) -> CcvpeOutput:
        """Everything that training and evaluation of the published network look at."""
        return self.decode(self.encode_ground(ground), self.encode_map(tiles))

    def match(self, ground: CcvpeGround, map_features: CcvpeMap, yaw_enu_rad: Tensor) -> Tensor:
        """See the contract."""
        return self.answer(self.decode(ground, map_features), ground, map_features, yaw_enu_rad)

    def compare(self, ground: CcvpeGround, map_features: CcvpeMap, yaw_enu_rad: Tensor) -> dict[str, Tensor]:
        """See the contract; both decoders, which no hypothesis moves."""
        found = self.decode(ground, map_features)
        return {"logits": found.logits, "field": found.field}

    def conclude(
        self, compared: Mapping[str, Tensor], settled: None, ground: GroundInput, tiles: MapInput, yaw_enu_rad: Tensor
    ) -> Tensor:
        """See the contract."""
        found = CcvpeOutput(compared["logits"], compared["field"], ())
        return self.answer(found, ground, tiles, yaw_enu_rad)

    def answer(
        self, found: CcvpeOutput, ground: CcvpeGround | GroundInput, tiles: CcvpeMap | MapInput, yaw_enu_rad: Tensor
    ) -> Tensor:
        """What `match` answers once both decoders have run."""
        share = heading_log_share(found.field, yaw_enu_rad, self.turn, self.concentration)
        logits = found.logits.unsqueeze(1) + share
        logits = move_to_base(logits, ground.mount, yaw_enu_rad, tiles.metres_per_pixel)
        return logits.masked_fill(tiles.valid.unsqueeze(1) < 0.5, -torch.inf)
