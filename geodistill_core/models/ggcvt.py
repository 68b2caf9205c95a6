# SPDX-License-Identifier: Apache-2.0
"""GGCVT: ground features on the ground plane, corrected by attention to the image columns that they come from.

"Boosting 3-DoF Ground-to-Satellite Camera Localization Accuracy via Geometry-Guided Cross-View Transformer", ICCV 2023.
A U-net per view; the ground levels are projected to the map's grid, a transformer reworks level 0, a decoder carries it
up to level 2, and the centre of that overhead view is slid over the map, whose energy an uncertainty head scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodistill_core.models.backbones.column_attention import group_by_column
from geodistill_core.models.backbones.vgg_unet import VGG_UNET_KEYS, WIDE, VggUNet, unit_norm
from geodistill_core.models.backbones.window_attention import WINDOW_TOKENS_KEYS, WINDOW_TOKENS_UNUSED
from geodistill_core.models.base import Geometry, GroundInput, MapInput
from geodistill_core.models.correlation import Correlation
from geodistill_core.models.ggcvt_layers import OverheadFusion, uncertainty_head
from geodistill_core.models.overhead_features import Level, OverheadGround, OverheadMap
from geodistill_core.models.overhead_matching import OverheadMatcher
from geodistill_core.models.published_overhead import KITTI_METRES_PER_PIXEL, center_crop
from geodistill_core.models.templates import exact_pixels, exact_template, published_pixels, published_template

PUBLISHED_KEYS: tuple[tuple[str, str], ...] = (
    *VGG_UNET_KEYS,
    (r"^SatFeatureNet\.", "map_encoder."),
    (r"^Grd(Enc|Dec)\.", "ground_encoder."),
    (r"^Dec[24]\.", "fusion."),
    *WINDOW_TOKENS_KEYS,
    (r"^CVattn\.self_attention_layers\.(\d)\.", r"fusion.blocks.\1.self_attention."),
    (r"^CVattn\.cross_attention_layers\.(\d)\.", r"fusion.blocks.\1.columns."),
    (r"^uncertain_net\.conv1\.", "uncertainty.0."),
    (r"^uncertain_net\.conv2\.", "uncertainty.1."),
    (r"^uncertain_net\.conv3\.", "uncertainty.2."),
)
UNUSED_KEYS: tuple[str, ...] = (
    r"^SatFeatureNet\.(conf|conv_dec3)",
    r"^TransRefine\.",
    r"^coe_[RT]$",
    *WINDOW_TOKENS_UNUSED,
)

LEVEL_CHANNELS = (256, 128, 64)
_FIELD_OF_VIEW_PX = 40  # a feature of level 2 sees 34 pixels to each side


class Ggcvt(OverheadMatcher):
    """What the networks for VIGOR and KITTI have in common. All levels are computed, level 2 is matched.

    `OverheadGround.features[0]` is the encoder's map as it is, because the transformer reads it so; it is brought to
    unit norm before it is projected. Headings are worked on one by one, since each takes a whole overhead view, which
    an engine draws.
    """

    resize = "pil"
    temperature = 0.05  # the triplet loss weighs distances, 2 - 2 similarity, by 10
    similarity_floor = 1e-6
    headings_apart = True
    compared_by_torch = False
    levels = (0, 1, 2)
    map_size_px: int = 512

    def __init__(self, geometry: Geometry, metres_per_pixel: float) -> None:
        super().__init__(geometry, metres_per_pixel)
        self.map_encoder = VggUNet(WIDE[:2], confidence=False)
        self.ground_encoder = VggUNet(WIDE[:2], confidence=False)
        self.fusion = OverheadFusion()
        self.uncertainty = nn.ModuleList(uncertainty_head(channels) for channels in LEVEL_CHANNELS)
        self._set_cells()

    def level(self, number: int) -> Level:
        """See the base class; overhead views are drawn on the map's cells.

        Exact templates are even, as maps are: their centre, the base, then is the map's centre when they are.
        """
        compat = self.geometry == "compat"
        return self._octave(number, lambda cells: int(0.4 * cells) if compat else 2 * round(0.2 * cells))

    def map_levels(self, rgb: Tensor, levels: tuple[int, ...]) -> dict[int, Tensor]:
        """See the base class; rectified, because the published uncertainty head rectifies what is matched later."""
        found = self.map_encoder(rgb, levels)
        return {number: F.relu(unit_norm(level.features)) for number, level in found.items()}

    def map_of(self, features: Mapping[int, Tensor], tiles: MapInput) -> OverheadMap:
        """See the base class."""
        found = super().map_of(features, tiles)
        uncertainty = {number: self.uncertainty[number](features) for number, features in found.features.items()}
        return replace(found, uncertainty=uncertainty)

    def settle_map(self, named: Mapping[str, Tensor], tiles: MapInput) -> OverheadMap:
        """See the contract."""
        number = self.levels[-1]
        return replace(super().settle_map(named, tiles), uncertainty={number: named[f"map.uncertainty.{number}"]})

    def encode_ground(self, ground: GroundInput) -> OverheadGround:
        """See the contract; every row, because cells attend to whole columns."""
        return self.ground_features(ground, self.levels)

    def ground_levels(self, pixels: Tensor, first_row: Mapping[int, int]) -> dict[int, tuple[Tensor, Tensor | None]]:
        """See the base class; unit norm but for level 0."""
        found = self.ground_encoder(pixels, tuple(first_row), first_rows=first_row)
        return {
            number: (level.features if number == 0 else self._unit_norm(level.features, number), None)
            for number, level in found.items()
        }

    def _unit_norm(self, features: Tensor, number: int) -> Tensor:
        """Scaled to unit norm over the image without the columns that continue it."""
        seam = self.seam_px // int(self.level(number).ground.stride)
        inner = features[..., seam : features.shape[-1] - seam]
        return torch.as_tensor(features / torch.linalg.vector_norm(inner, dim=(1, 2, 3), keepdim=True).clamp(min=1e-12))

    def projected(
        self, ground: OverheadGround, number: int, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Ground features [B, C, A, A] on the map's grid around the base for headings [B, 1], zero where unseen.

        Beside them the weight of each cell [B, 1, A, A], None where the published code weighs all alike.
        """
        level = self._whole(number)
        if number == 0:
            ground = replace(ground, features={0: self._unit_norm(ground.features[0], 0)})
        if self.geometry == "compat":
            features, weight = published_template(ground, number, level, yaw_enu_rad, metres_per_pixel)
            return features[:, 0], weight
        features, seen = exact_template(ground, number, level, yaw_enu_rad, metres_per_pixel)
        return (features * seen.unsqueeze(2))[:, 0], seen

    def _whole(self, number: int) -> Level:
        level = self.level(number)
        return replace(level, template=level.map_cells)

    def columns(
        self, ground: OverheadGround, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Image column [B, 64, 64] (level 0) of each overhead cell, and which cells may be attended to (None: all).

        Published code: all that a panorama shows, or that lie in front of a pinhole camera.
        """
        level = self._whole(0)
        if self.geometry == "compat":
            uv, seen = published_pixels(ground.source, level, yaw_enu_rad, metres_per_pixel, within_image=False)
            return uv[:, 0, ..., 0], None if seen is None else seen[:, 0]
        column, _, share = exact_pixels(ground.source, level, yaw_enu_rad, metres_per_pixel)
        return column[:, 0], share[:, 0] > 0

    def overhead(
        self, ground: OverheadGround, number: int, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
    ) -> dict[int, tuple[Tensor, Tensor | None]]:
        """Levels 0 to `number` as `projected` gives them, after transformer and decoder."""
        column, seen = self.columns(ground, yaw_enu_rad, metres_per_pixel)
        encoded = ground.features[0]
        groups = group_by_column(column.flatten(1), encoded.shape[-1])
        flat = {n: self.projected(ground, n, yaw_enu_rad, metres_per_pixel) for n in range(number + 1)}
        views = self.fusion({n: features for n, (features, _) in flat.items()}, encoded, groups, seen)
        return {n: (views[n], weight) for n, (_, weight) in flat.items()}

    def template(
        self, ground: OverheadGround, number: int, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """See the base class; unit norm."""
        return self.templates(ground, (number,), yaw_enu_rad, metres_per_pixel)[number]

    def templates(
        self, ground: OverheadGround, numbers: tuple[int, ...], yaw_enu_rad: Tensor, metres_per_pixel: Tensor
    ) -> dict[int, tuple[Tensor, Tensor | None]]:
        """See the base class; one overhead view for each heading serves all levels."""
        yaws = torch.split(yaw_enu_rad, 1, dim=1)
        found = [self.overhead(ground, max(numbers), yaw, metres_per_pixel) for yaw in yaws]
        return {number: self._cut([views[number] for views in found], number) for number in numbers}

    def _cut(self, found: list[tuple[Tensor, Tensor | None]], number: int) -> tuple[Tensor, Tensor | None]:
        """The centres of overhead views of one level, and of their weights."""
        cells = self.level(number).template
        views = torch.stack([center_crop(view, cells) for view, _ in found], dim=1)
        views = views / torch.linalg.vector_norm(views, dim=(2, 3, 4), keepdim=True).clamp(min=1e-12)
        weights = [center_crop(weight, cells) for _, weight in found if weight is not None]
        return views, torch.cat(weights, dim=1) if weights else None

    def correlation(
        self, ground: OverheadGround, map_features: OverheadMap, yaw_enu_rad: Tensor, number: int
    ) -> Correlation:
        """See the base class."""
        one_heading = super().correlation
        found = [one_heading(ground, map_features, yaw, number) for yaw in torch.split(yaw_enu_rad, 1, dim=1)]
        return Correlation(
            torch.cat([one.numerator for one in found], dim=1),
            torch.cat([one.map_energy for one in found], dim=1),
            torch.cat([one.ground_energy for one in found], dim=1),
            torch.cat([one.ground_total for one in found], dim=1),
        )

    def correlated(
        self, map_features: OverheadMap, number: int, template: Tensor, confidence: Tensor | None
    ) -> Correlation:
        """See the base class; the uncertainty of the cell under the camera scales the map's energy."""
        found = super().correlated(map_features, number, template, confidence)
        scale = center_crop(map_features.uncertainty[number], found.map_energy.shape[-1])
        return replace(found, map_energy=found.map_energy * scale)


class GgcvtVigor(Ggcvt):
    """Panoramas over tiles of 512 px; VIGOR's cities have 0.126 to 0.148 m per pixel."""

    panoramic = True
    image_size = (320, 640)

    def __init__(self, geometry: Geometry = "corrected", metres_per_pixel: float = 0.14156) -> None:
        compat = geometry == "compat"
        self.seam_px = 0 if compat else _FIELD_OF_VIEW_PX
        self.heatmap_shift_cells = (-1.0, -1.0) if compat else (0.0, 0.0)
        super().__init__(geometry, metres_per_pixel)


class GgcvtKitti(Ggcvt):
    """Forward-looking images over tiles of 512 px, 100 m wide."""

    panoramic = False
    image_size = (256, 1024)

    def __init__(self, geometry: Geometry = "corrected", metres_per_pixel: float = KITTI_METRES_PER_PIXEL) -> None:
        self.heatmap_shift_cells = (-0.5, -0.5) if geometry == "compat" else (0.0, 0.0)
        super().__init__(geometry, metres_per_pixel)
