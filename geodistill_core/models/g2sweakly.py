# SPDX-License-Identifier: Apache-2.0
"""G2SWeakly: two VGG U-nets, the ground image's features laid on the ground and slid over the map.

"Weakly-supervised Camera Localization by Ground-to-satellite Image Registration", sections 3.2 and 3.3: the translation
network, which is given its heading. Cells are weighed by the ground's confidence; 60 % of the map's width is searched.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from geodistill_core.models.backbones.vgg_unet import VGG_UNET_KEYS, VggUNet, unit_norm
from geodistill_core.models.base import Geometry
from geodistill_core.models.overhead_features import Level
from geodistill_core.models.overhead_matching import OverheadMatcher
from geodistill_core.models.published_overhead import KITTI_METRES_PER_PIXEL

PUBLISHED_KEYS = ((r"^SatFeatureNet\.", "map_encoder."), (r"^GrdFeatureNet\.", "ground_encoder."), *VGG_UNET_KEYS)
UNUSED_KEYS = (r"^SatFeatureForT\.", r"^GrdFeatureForT\.", r"^TransRefine\.", r"^coe_[RT]$")
SHARED_PUBLISHED_KEYS = ((r"^FeatureForT\.", "map_encoder."), *VGG_UNET_KEYS)
SHARED_UNUSED_KEYS = (r"^SatFeatureNet\.", r"^GrdFeatureNet\.", r"^TransRefine\.", r"^coe_[RT]$")

_TEMPLATE_SHARE = 0.4
_FIELD_OF_VIEW_PX = 40  # a feature of level 2 sees 34 pixels to each side


class G2SWeakly(OverheadMatcher):
    """What the networks for VIGOR and KITTI have in common; `shared` has one U-net encode both images."""

    resize = "pil"
    temperature = 0.05  # the contrastive loss weighs distances, 2 - 2 similarity, by 10
    similarity_floor: float | None = 1e-6
    map_size_px: int
    drawn_scale = 1.0

    def __init__(self, geometry: Geometry, metres_per_pixel: float, shared: bool) -> None:
        super().__init__(geometry, metres_per_pixel)
        self.map_encoder = VggUNet()
        self.ground_encoder = None if shared else VggUNet()
        self._set_cells()

    def level(self, number: int) -> Level:
        """See the base class; level l is 2^(3 - l) times coarser than the images."""
        return self._octave(number, lambda cells: int(_TEMPLATE_SHARE * cells), self.drawn_scale)

    def map_levels(self, rgb: Tensor, levels: tuple[int, ...]) -> dict[int, Tensor]:
        """See the base class."""
        return {number: unit_norm(found.features) for number, found in self.map_encoder(rgb, levels).items()}

    def ground_levels(self, pixels: Tensor, first_row: Mapping[int, int]) -> dict[int, tuple[Tensor, Tensor | None]]:
        """See the base class; features have unit norm over the computed rows (similarities do not depend on it)."""
        encoder = self.map_encoder if self.ground_encoder is None else self.ground_encoder
        levels = encoder(pixels, tuple(first_row), confidence=True, first_rows=first_row)
        return {number: (unit_norm(found.features), found.confidence) for number, found in levels.items()}


class G2SWeaklyVigor(G2SWeakly):
    """Panoramas over tiles of 512 px; VIGOR's cities have 0.126 to 0.148 m per pixel."""

    panoramic = True
    image_size = (320, 640)
    map_size_px = 512

    def __init__(
        self, geometry: Geometry = "corrected", metres_per_pixel: float = 0.14156, shared: bool = False
    ) -> None:
        compat = geometry == "compat"
        self.seam_px = 0 if compat else _FIELD_OF_VIEW_PX
        self.heatmap_shift_cells = (-0.5, -0.5) if compat else (0.0, 0.0)
        super().__init__(geometry, metres_per_pixel, shared)


class G2SWeaklyKitti(G2SWeakly):
    """Forward-looking images over tiles of 512 px, 100 m wide."""

    panoramic = False
    image_size = (256, 1024)
    map_size_px = 512

    def __init__(
        self, geometry: Geometry = "corrected", metres_per_pixel: float = KITTI_METRES_PER_PIXEL, shared: bool = False
    ) -> None:
        super().__init__(geometry, metres_per_pixel, shared)
