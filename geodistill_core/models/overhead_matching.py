# SPDX-License-Identifier: Apache-2.0
"""Ground features laid on the ground and slid over map features: what G2SWeakly's and GeoDistill's networks share.

A network adds its two encoders and its constants. `template` lays the ground features out as an overhead view for
each heading, `similarity` correlates it with the map (GeoDistill, section 3.1; G2SWeakly, section 3.2), `match`
divides by the temperature of the heat map.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import CrossViewNetwork, Geometry, GroundInput, MapInput
from geodistill_core.models.correlation import Correlation, CorrelationMap, correlate, correlation_map
from geodistill_core.models.exact_overhead import (
    FeatureCells,
    lies_inside,
    panorama_pixels,
    pinhole_pixels,
    sample_bilinear,
    template_points,
)
from geodistill_core.models.published_overhead import panorama_uv, pinhole_uv
from geodistill_core.models.sampling import sample_published
from geodistill_core.models.views import Resize, panorama_view, pinhole_view
from geodistill_core.types import GroundImage

_MIN_VALID_SHARE = 0.35
_REACH_MARGIN = 1.06


@dataclass(frozen=True, slots=True)
class OverheadMap:
    """Per level: `features` [B, C, A, A] and their `correlation` spectra; `metres_per_pixel` [B] of the tiles."""

    features: Mapping[int, Tensor]
    correlation: Mapping[int, CorrelationMap]
    metres_per_pixel: Tensor


@dataclass(frozen=True, slots=True)
class OverheadGround:
    """Per level: `features` [B, C, h, w] and `confidence` [B, 1, h, w] (or None), rows from `first_row` on.

    `reach_m` is how far from the camera's foot the rows that were encoded show the ground.
    """

    features: Mapping[int, Tensor]
    confidence: Mapping[int, Tensor | None]
    first_row: Mapping[int, int]
    source: GroundInput
    reach_m: float


@dataclass(frozen=True, slots=True)
class Level:
    """Geometry of one feature level.

    `map_cells` A of the tile's feature map, `map_stride` tile pixels per cell, `ground` the ground view's cells and
    `ground_size` (h, w) its feature map; `template` cells are matched; the published projection draws its overhead
    view on `drawn_cells` cells, each `drawn_stride` tile pixels wide.
    """

    map_cells: int
    map_stride: float
    ground: FeatureCells
    ground_size: tuple[int, int]
    template: int
    drawn_cells: int
    drawn_stride: float


class OverheadMatcher(CrossViewNetwork[OverheadMap, OverheadGround]):
    """See the module. `levels` are trained on, the last one is matched."""

    panoramic: bool
    image_size: tuple[int, int]
    resize: Resize
    temperature: float
    similarity_floor: float | None = None
    levels: tuple[int, ...] = (0, 2)

    def __init__(self, geometry: Geometry, metres_per_pixel: float) -> None:
        super().__init__()
        self.geometry = geometry
        self.metres_per_pixel = metres_per_pixel

    @abstractmethod
    def level(self, number: int) -> Level:
        """Geometry of a level."""

    @abstractmethod
    def map_levels(self, rgb: Tensor, levels: tuple[int, ...]) -> dict[int, Tensor]:
        """Features [B, C, A, A] of tiles [B, 3, H, W] (RGB in 0..1) at the asked levels."""

    @abstractmethod
    def ground_levels(
        self, pixels: Tensor, first_row: Mapping[int, int]
    ) -> dict[int, tuple[Tensor, Tensor | None]]:
        """Features and confidence of ground images at the levels in `first_row`, from that feature row on."""

    def _set_cells(self) -> None:
        """Derive the contract's sizes from the matched level; a network calls it once its constants stand."""
        matched = self.level(self.levels[-1])
        self.metres_per_cell = matched.map_stride * self.metres_per_pixel
        self.template_extent_m = matched.template * self.metres_per_cell

    def prepare_ground(self, image: GroundImage) -> GroundInput:
        """See the contract."""
        view = panorama_view if self.panoramic else pinhole_view
        return view(image, *self.image_size, self.resize)

    def encode_map(self, tiles: MapInput) -> OverheadMap:
        """See the contract; only the matched level."""
        return self.map_features(tiles, self.levels[-1:])

    def map_features(self, tiles: MapInput, levels: tuple[int, ...]) -> OverheadMap:
        """Features and spectra of the asked levels."""
        features = self.map_levels(tiles.rgb, levels)
        weights = {number: self._valid_cells(tiles.valid, x.shape[-1]) for number, x in features.items()}
        spectra = {number: correlation_map(x.unsqueeze(1), weights[number]) for number, x in features.items()}
        return OverheadMap(features, spectra, tiles.metres_per_pixel)

    @staticmethod
    def _valid_cells(valid: Tensor, cells: int) -> Tensor | None:
        """Share of valid pixels per feature cell [B, 1, A, A], None where all are."""
        return None if bool(valid.all()) else F.adaptive_avg_pool2d(valid.unsqueeze(1), cells)

    def encode_ground(self, ground: GroundInput) -> OverheadGround:
        """See the contract; only the matched level, and only the rows that its template can show."""
        number = self.levels[-1]
        reach_m = self._reach_m(number, self.metres_per_pixel) * _REACH_MARGIN
        return self._encoded(ground, {number: self._first_row(number, ground, reach_m)}, reach_m)

    def ground_features(self, ground: GroundInput, levels: tuple[int, ...]) -> OverheadGround:
        """All rows of the asked levels."""
        return self._encoded(ground, dict.fromkeys(levels, 0), math.inf)

    def _encoded(self, ground: GroundInput, first_row: dict[int, int], reach_m: float) -> OverheadGround:
        found = self.ground_levels(ground.pixels, first_row)
        features = {number: pair[0] for number, pair in found.items()}
        confidence = {number: pair[1] for number, pair in found.items()}
        return OverheadGround(features, confidence, first_row, ground, reach_m)

    def _reach_m(self, number: int, metres_per_pixel: float) -> float:
        """Distance from the base to the farthest corner of the template."""
        level = self.level(number)
        stride = level.drawn_stride if self.geometry == "compat" else level.map_stride
        return (level.template / 2 + 1) * stride * metres_per_pixel * math.sqrt(2)

    def _first_row(self, number: int, ground: GroundInput, reach_m: float) -> int:
        """First feature row at which ground within reach can be sampled (flat ground, level camera)."""
        far = reach_m + float(ground.mount[:, :2].norm(dim=1).max())
        height = float(ground.mount[:, 2].min())
        if ground.intrinsics is None:
            row = self.image_size[0] * (0.5 + math.atan2(height, far) / math.pi)
        else:
            row = float((ground.intrinsics[:, 1, 2] + ground.intrinsics[:, 1, 1] * height / far).min())
        cells = self.level(number).ground
        return max(0, min(math.floor((row + cells.pad_top) / cells.stride) - 2, self.level(number).ground_size[0] - 8))

    def template(
        self, ground: OverheadGround, number: int, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Overhead features [B, Y, C, k, k] and confidence [B, Y, k, k] for yaws [B, Y], north-up around the base.

        The confidence is None where the published correlation weighs every cell by one.

        Raises:
            ConfigError: the map is so coarse that the template reaches beyond the rows that were encoded.
        """
        reach_m = self._reach_m(number, float(metres_per_pixel.max()))
        if reach_m > ground.reach_m:
            raise ConfigError(
                f"tiles of {float(metres_per_pixel.max()):.4f} m per pixel make the template reach {reach_m:.1f} m, "
                f"the ground was encoded up to {ground.reach_m:.1f} m; build the network with that metres_per_pixel"
            )
        if self.geometry == "compat":
            return self._published_template(ground, number, yaw_enu_rad, metres_per_pixel)
        return self._exact_template(ground, number, yaw_enu_rad, metres_per_pixel)

    def _exact_template(
        self, ground: OverheadGround, number: int, yaw: Tensor, metres_per_pixel: Tensor
    ) -> tuple[Tensor, Tensor]:
        level, source = self.level(number), ground.source
        height = source.mount[:, 2].view(-1, 1, 1, 1)
        forward, left = template_points(level.template, level.map_stride * metres_per_pixel, yaw, source.mount)
        if source.intrinsics is None:
            column, row = panorama_pixels(forward, left, height, self.image_size)
        else:
            column, row = pinhole_pixels(forward, left, height, source.intrinsics)
        seen = lies_inside(column, row, self.image_size).float()
        if not bool(source.visible.all()):
            seen = seen * sample_bilinear(source.visible.unsqueeze(1), column, row)[:, :, 0]
        column, row = level.ground.index(column, row)
        row = row - ground.first_row[number]
        features, confidence = ground.features[number], ground.confidence[number]
        if confidence is None:
            return sample_bilinear(features, column, row), seen
        volume = sample_bilinear(torch.cat([features, confidence], dim=1), column, row)
        return volume[:, :, :-1], volume[:, :, -1] * seen

    def _published_template(
        self, ground: OverheadGround, number: int, yaw: Tensor, metres_per_pixel: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The published masks weigh template and confidence alike, before the correlation squares the latter."""
        features, confidence = ground.features[number], ground.confidence[number]
        mask = self._published_mask(ground, number)
        volume = torch.cat([x for x in (features, confidence, mask) if x is not None], dim=1)
        uv, seen = self._published_uv(ground, number, yaw, metres_per_pixel)
        laid = sample_published(volume, uv - uv.new_tensor([0.0, ground.first_row[number]]))
        laid = (laid if seen is None else laid * seen.unsqueeze(1)).transpose(1, 2)
        channels = features.shape[1]
        template, weight = laid[:, :, :channels], None if confidence is None else laid[:, :, channels]
        if mask is not None:
            projected = laid[:, :, -1]
            template = template * projected.unsqueeze(2)
            weight = projected if weight is None else weight * projected
        return template, weight

    def _published_mask(self, ground: OverheadGround, number: int) -> Tensor | None:
        """Visible pixels at feature size [B, 1, h, w] from `first_row` on; panoramas' masks are rounded to 0 or 1."""
        visible = ground.source.visible
        if bool(visible.all()):
            return None
        mask = F.interpolate(visible.unsqueeze(1), size=self.level(number).ground_size, mode="bilinear")
        return (mask.round() if self.panoramic else mask)[..., ground.first_row[number] :, :]

    def _published_uv(
        self, ground: OverheadGround, number: int, yaw: Tensor, metres_per_pixel: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Feature coordinates [B, Y, k, k, 2] of the template's cells, and for pinhole images which are visible."""
        level, source = self.level(number), ground.source
        metres_per_cell = (level.drawn_stride * metres_per_pixel).view(-1, 1)
        height = source.mount[:, 2:3]
        offset: tuple[Tensor | float, Tensor | float] = (0.0, 0.0)
        if bool(source.mount[:, :2].any()):
            c, s = torch.cos(yaw), torch.sin(yaw)
            forward, left = source.mount[:, 0:1], source.mount[:, 1:2]
            offset = (c * forward - s * left, s * forward + c * left)
        if source.intrinsics is not None:
            return pinhole_uv(
                level.drawn_cells,
                metres_per_cell,
                level.ground_size,
                source.intrinsics,
                self.image_size,
                height_m=height,
                heading_rad=yaw,
                shift_m=offset,
                crop=level.template,
            )
        quarter = metres_per_cell * (level.drawn_cells / 4)
        shift = offset if isinstance(offset[0], float) else (offset[0] / quarter, -offset[1] / quarter)
        uv = panorama_uv(
            level.drawn_cells,
            metres_per_cell,
            level.ground_size,
            height_m=height,
            rotation_rad=yaw - math.pi / 2,
            shift=shift,
            crop=level.template,
        )
        return uv, None

    def correlation(
        self, ground: OverheadGround, map_features: OverheadMap, yaw_enu_rad: Tensor, number: int
    ) -> Correlation:
        """Numerator and norms [B, Y, P, P] of one level."""
        template, confidence = self.template(ground, number, yaw_enu_rad, map_features.metres_per_pixel)
        return correlate(map_features.correlation[number], template, confidence)

    def similarity(
        self, ground: OverheadGround, map_features: OverheadMap, yaw_enu_rad: Tensor, number: int | None = None
    ) -> Tensor:
        """Cosine similarity [B, Y, P, P] of the matched (or a given) level."""
        number = self.levels[-1] if number is None else number
        return self.correlation(ground, map_features, yaw_enu_rad, number).similarity(self.similarity_floor)

    def match(self, ground: OverheadGround, map_features: OverheadMap, yaw_enu_rad: Tensor) -> Tensor:
        """See the contract: similarity / temperature."""
        found = self.correlation(ground, map_features, yaw_enu_rad, self.levels[-1])
        logits = found.similarity(self.similarity_floor) / self.temperature
        if map_features.correlation[self.levels[-1]].weight is None:
            return logits
        return logits.masked_fill(found.ground_energy < _MIN_VALID_SHARE * found.ground_total, -torch.inf)
