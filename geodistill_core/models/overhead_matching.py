# SPDX-License-Identifier: Apache-2.0
"""Ground features laid on the ground and slid over map features: what G2SWeakly's and GeoDistill's networks share.

A network adds its two encoders and its constants. `template` lays the ground features out as an overhead view for
each heading, `similarity` correlates it with the map (GeoDistill, section 3.1; G2SWeakly, section 3.2), `match`
divides by the temperature of the heat map.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.resize import Resize
from geodistill_core.models.base import CrossViewNetwork, Geometry, GroundInput, MapInput, mount_at_height
from geodistill_core.models.correlation import Correlation, CorrelationMap, correlate, correlation_map
from geodistill_core.models.exact_overhead import FeatureCells
from geodistill_core.models.overhead_features import Level, OverheadGround, OverheadMap
from geodistill_core.models.portable import is_portable, portable_form
from geodistill_core.models.seam import across_seam
from geodistill_core.models.templates import exact_template, published_template
from geodistill_core.models.views import panorama_view, pinhole_view
from geodistill_core.types import GroundImage

_MIN_VALID_SHARE = 0.35
_REACH_MARGIN = 1.06
_EXACT_FLOOR = 1e-9


class OverheadMatcher(CrossViewNetwork[OverheadMap, OverheadGround]):
    """See the module. `levels` are trained on, the last one is matched.

    A panorama is continued by `seam_px` columns around its seam before it is encoded (the published code does not);
    `Level.ground` and `Level.ground_size` of the network include them.
    """

    panoramic: bool
    image_size: tuple[int, int]
    resize: Resize
    temperature: float
    similarity_floor: float | None = None
    seam_px: int = 0
    levels: tuple[int, ...] = (0, 2)
    compared_by_torch = True

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
    def ground_levels(self, pixels: Tensor, first_row: Mapping[int, int]) -> dict[int, tuple[Tensor, Tensor | None]]:
        """Features and confidence of ground images at the levels in `first_row`, from that feature row on."""

    def _octave(self, number: int, template_share: Callable[[int], int], drawn_scale: float = 1.0) -> Level:
        """A level 2^(3 - number) times coarser than both images; `template_share` is told its cells."""
        assert self.map_size_px is not None
        stride = 2 ** (3 - number)
        cells, (height, width) = self.map_size_px // stride, self.image_size
        return Level(
            map_cells=cells,
            map_stride=stride,
            ground=FeatureCells(stride, pad_left=self.seam_px),
            ground_size=(height // stride, (width + 2 * self.seam_px) // stride),
            template=template_share(cells),
            drawn_cells=cells,
            drawn_stride=stride * drawn_scale,
        )

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
        return self.map_of(self.map_levels(tiles.rgb, levels), tiles)

    def map_of(self, features: Mapping[int, Tensor], tiles: MapInput) -> OverheadMap:
        """The map of features as `map_levels` gives them; in portable form without spectra (see `settle_map`)."""
        if is_portable():
            return OverheadMap(features, {}, tiles.metres_per_pixel)
        return self._with_spectra(features, tiles)

    def _with_spectra(self, features: Mapping[int, Tensor], tiles: MapInput) -> OverheadMap:
        weights = {number: self._valid_cells(tiles.valid, number) for number in features}
        spectra = {number: correlation_map(x.unsqueeze(1), weights[number]) for number, x in features.items()}
        return OverheadMap(features, spectra, tiles.metres_per_pixel)

    def _valid_cells(self, valid: Tensor, number: int) -> Tensor | None:
        """Share of valid pixels per feature cell [B, 1, A, A], None where all are; padding of the tile is not."""
        level = self.level(number)
        border = round((level.map_cells * level.map_stride - valid.shape[-1]) / 2)
        if border == 0 and bool(valid.all()):
            return None
        return F.adaptive_avg_pool2d(F.pad(valid, [border] * 4).unsqueeze(1), level.map_cells)

    def encode_ground(self, ground: GroundInput) -> OverheadGround:
        """See the contract; only the matched level, and only the rows that its template can show.

        In portable form all rows below the horizon, which serve every height and tile.
        """
        number = self.levels[-1]
        if (form := portable_form()) is not None:
            horizon_px = self.image_size[0] / 2 if ground.intrinsics is None else form.horizon_px
            return self._encoded(ground, {number: self._first_cell(number, horizon_px)}, math.inf)
        reach_m = self._reach_m(number, self.metres_per_pixel) * _REACH_MARGIN
        return self._encoded(ground, {number: self._first_row(number, ground, reach_m)}, reach_m)

    def at_height(self, ground: OverheadGround, height_m: float) -> OverheadGround:
        """See the contract; the rows that were encoded reach as much farther as the camera stands higher.

        Raises:
            ConfigError: they end within the template, seen from so low.
        """
        encoded_m = float(ground.source.mount[:, 2].max())
        reach_m = ground.reach_m * height_m / encoded_m
        needed_m = self._reach_m(self.levels[-1], self.metres_per_pixel)
        if reach_m < needed_m:
            raise ConfigError(
                f"from {height_m:.2f} m the encoded rows show ground up to {reach_m:.1f} m, the template reaches "
                f"{needed_m:.1f} m; encode the ground image from the lowest height"
            )
        source = replace(ground.source, mount=mount_at_height(ground.source.mount, height_m))
        return replace(ground, source=source, reach_m=reach_m)

    def ground_features(self, ground: GroundInput, levels: tuple[int, ...]) -> OverheadGround:
        """All rows of the asked levels."""
        return self._encoded(ground, dict.fromkeys(levels, 0), math.inf)

    def _encoded(self, ground: GroundInput, first_row: dict[int, int], reach_m: float) -> OverheadGround:
        pixels = across_seam(ground.pixels, self.seam_px) if self.seam_px else ground.pixels
        found = self.ground_levels(pixels, first_row)
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
        return self._first_cell(number, row)

    def _first_cell(self, number: int, row: float) -> int:
        """The first feature row that an image row can be sampled from."""
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
        reach_m = 0.0 if is_portable() else self._reach_m(number, float(metres_per_pixel.max()))
        if reach_m > ground.reach_m:
            raise ConfigError(
                f"tiles of {float(metres_per_pixel.max()):.4f} m per pixel make the template reach {reach_m:.1f} m, "
                f"the ground was encoded up to {ground.reach_m:.1f} m; build the network with that metres_per_pixel"
            )
        lay_out = published_template if self.geometry == "compat" else exact_template
        return lay_out(ground, number, self.level(number), yaw_enu_rad, metres_per_pixel)

    def templates(
        self, ground: OverheadGround, numbers: tuple[int, ...], yaw_enu_rad: Tensor, metres_per_pixel: Tensor
    ) -> dict[int, tuple[Tensor, Tensor | None]]:
        """`template` of several levels."""
        return {number: self.template(ground, number, yaw_enu_rad, metres_per_pixel) for number in numbers}

    @property
    def floor(self) -> float | None:
        """The least denominator of the similarity; exact templates may hold nothing that was seen."""
        return self.similarity_floor if self.geometry == "compat" else _EXACT_FLOOR

    def correlation(
        self, ground: OverheadGround, map_features: OverheadMap, yaw_enu_rad: Tensor, number: int
    ) -> Correlation:
        """Numerator and norms [B, Y, P, P] of one level."""
        template, confidence = self.template(ground, number, yaw_enu_rad, map_features.metres_per_pixel)
        return self.correlated(map_features, number, template, confidence)

    def correlated(
        self, map_features: OverheadMap, number: int, template: Tensor, confidence: Tensor | None
    ) -> Correlation:
        """The same for what `template` gave."""
        return correlate(map_features.correlation[number], template, confidence)

    def similarity(
        self, ground: OverheadGround, map_features: OverheadMap, yaw_enu_rad: Tensor, number: int | None = None
    ) -> Tensor:
        """Cosine similarity [B, Y, P, P] of the matched (or a given) level."""
        number = self.levels[-1] if number is None else number
        return self.correlation(ground, map_features, yaw_enu_rad, number).similarity(self.floor)

    def match(self, ground: OverheadGround, map_features: OverheadMap, yaw_enu_rad: Tensor) -> Tensor:
        """See the contract: similarity / temperature."""
        return self._logits(self.correlation(ground, map_features, yaw_enu_rad, self.levels[-1]), map_features)

    def compare(self, ground: OverheadGround, map_features: OverheadMap, yaw_enu_rad: Tensor) -> dict[str, Tensor]:
        """See the contract; templates and confidences, as `template` gives them."""
        return self._templates(ground, yaw_enu_rad, map_features.metres_per_pixel)

    def compare_named(self, named: Mapping[str, Tensor], ground: GroundInput, yaw_enu_rad: Tensor) -> dict[str, Tensor]:
        """See the contract; the named features are the lowest rows of their level."""
        number = self.levels[-1]
        features, confidence = named[f"ground.features.{number}"], named.get(f"ground.confidence.{number}")
        first_row = self.level(number).ground_size[0] - features.shape[-2]
        seen = OverheadGround({number: features}, {number: confidence}, {number: first_row}, ground, math.inf)
        return self._templates(seen, yaw_enu_rad, named["metres_per_pixel"])

    def _templates(self, ground: OverheadGround, yaw_enu_rad: Tensor, metres_per_pixel: Tensor) -> dict[str, Tensor]:
        template, confidence = self.template(ground, self.levels[-1], yaw_enu_rad, metres_per_pixel)
        confidence = torch.ones_like(template[:, :, 0]) if confidence is None else confidence
        return {"template": template, "confidence": confidence}

    def settle_map(self, named: Mapping[str, Tensor], tiles: MapInput) -> OverheadMap:
        """See the contract."""
        number = self.levels[-1]
        return self._with_spectra({number: named[f"map.features.{number}"]}, tiles)

    def conclude(
        self,
        compared: Mapping[str, Tensor],
        settled: OverheadMap,
        ground: GroundInput,
        tiles: MapInput,
        yaw_enu_rad: Tensor,
    ) -> Tensor:
        """See the contract."""
        number = self.levels[-1]
        found = self.correlated(settled, number, compared["template"], compared["confidence"])
        return self._logits(found, settled)

    def _logits(self, found: Correlation, maps: OverheadMap) -> Tensor:
        return masked_similarity(found, maps.correlation[self.levels[-1]], self.floor) / self.temperature


def masked_similarity(found: Correlation, maps: CorrelationMap, floor: float | None) -> Tensor:
    """Similarity of templates with maps, -inf where too little of a template's energy lies on valid map."""
    similarity = found.similarity(floor)
    if maps.weight is None:
        return similarity
    return similarity.masked_fill(found.ground_energy < _MIN_VALID_SHARE * found.ground_total, -torch.inf)
