# SPDX-License-Identifier: Apache-2.0
"""GeoDistill: dense heads on a frozen DINOv2, ground features laid on the ground and slid over the map.

GeoDistill, section 3.1. The published networks feed DINOv2 without ImageNet's colour statistics, resize its position
table by the hub's rule, draw VIGOR's ground at 8/7 of the map's scale and KITTI's at twice. `compat` reproduces all of
it; with exact geometry colours, positions and scales are right, and KITTI's tiles are 100 m wide.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor

from geodistill_core.models.backbones.dinov2 import FrozenDinov2, Positions
from geodistill_core.models.backbones.dpt import DPT_KEYS, DptHead
from geodistill_core.models.backbones.imagenet import imagenet_normalized
from geodistill_core.models.backbones.patches import patch_padding
from geodistill_core.models.backbones.vgg_unet import unit_norm
from geodistill_core.models.base import Geometry
from geodistill_core.models.exact_overhead import FeatureCells
from geodistill_core.models.overhead_features import Level
from geodistill_core.models.overhead_matching import OverheadMatcher
from geodistill_core.models.published_overhead import KITTI_METRES_PER_PIXEL

PUBLISHED_KEYS = ((r"^SatDPT\.", "map_head."), (r"^GrdDPT\.", "ground_head."), *DPT_KEYS)
UNUSED_KEYS: tuple[str, ...] = ()

_PATCH = 14
_SEAM_PX = 14
_DRAWN_METRES_PER_PIXEL = 2 * KITTI_METRES_PER_PIXEL
_SEARCHED_M = 60.0


class GeoDistillDino(OverheadMatcher):
    """What the networks for VIGOR and KITTI have in common.

    `backbone` is the folder or Hugging Face name of DINOv2's weights, read at first use; `backbone_sha256` their hash.
    """

    temperature = 0.06
    map_size_px: int
    channels: int
    blocks: tuple[int, int, int, int]

    def __init__(self, geometry: Geometry, metres_per_pixel: float, backbone: str, backbone_sha256: str | None) -> None:
        super().__init__(geometry, metres_per_pixel)
        positions: Positions = "hub" if geometry == "compat" else "library"
        self.backbone = FrozenDinov2(backbone, self.channels, self.blocks, positions, backbone_sha256)
        self.map_head = DptHead(self.channels)
        self.ground_head = DptHead(self.channels)
        self._set_cells()

    @abstractmethod
    def _template_cells(self, number: int, map_cells: int) -> int:
        """Width of the template at a level."""

    @abstractmethod
    def _published_colours(self, rgb: Tensor) -> Tensor:
        """RGB in 0..1 as the published code feeds it."""

    @abstractmethod
    def _drawn(self, number: int, map_cells: int) -> tuple[int, float]:
        """Cells of the published overhead view and their width in tile pixels."""

    def level(self, number: int) -> Level:
        """See the base class; level l is 2^(l + 1) times finer than the tokens."""
        height, width = self.image_size[0], self.image_size[1] + 2 * self.seam_px
        left, right, top, bottom = patch_padding(height, width)
        finer = 2 ** (number + 1)
        tile = self.map_size_px + sum(patch_padding(self.map_size_px, self.map_size_px)[:2])
        cells, stride = tile // _PATCH * finer, _PATCH / finer
        compat = self.geometry == "compat"
        drawn_cells, drawn_stride = self._drawn(number, cells) if compat else (cells, stride)
        return Level(
            map_cells=cells,
            map_stride=self.map_size_px / cells if compat else stride,
            ground=FeatureCells(stride, pad_left=left + self.seam_px, pad_top=top),
            ground_size=((height + top + bottom) // _PATCH * finer, (width + left + right) // _PATCH * finer),
            template=self._template_cells(number, cells),
            drawn_cells=drawn_cells,
            drawn_stride=drawn_stride,
        )

    def map_levels(self, rgb: Tensor, levels: tuple[int, ...]) -> dict[int, Tensor]:
        """See the base class."""
        found = self.map_head(self.backbone.tokens(self._colours(rgb)), dict.fromkeys(levels, 0))
        return {number: unit_norm(features) for number, features in found.items()}

    def ground_levels(self, pixels: Tensor, first_row: Mapping[int, int]) -> dict[int, tuple[Tensor, Tensor | None]]:
        """See the base class; every cell counts the same. Features have unit norm over the rows that are computed."""
        found = self.ground_head(self.backbone.tokens(self._colours(pixels)), first_row)
        return {number: (unit_norm(features), None) for number, features in found.items()}

    def _colours(self, rgb: Tensor) -> Tensor:
        return self._published_colours(rgb) if self.geometry == "compat" else imagenet_normalized(rgb)


class GeoDistillVigorDino(GeoDistillDino):
    """Panoramas over tiles of 512 px, ViT-B/14; VIGOR's cities have 0.126 to 0.148 m per pixel."""

    panoramic = True
    image_size = (320, 640)
    resize = "opencv"
    map_size_px = 512
    channels = 768
    blocks = (2, 5, 8, 11)

    def __init__(
        self,
        geometry: Geometry = "corrected",
        metres_per_pixel: float = 0.14156,
        backbone: str = "facebook/dinov2-base",
        backbone_sha256: str | None = None,
    ) -> None:
        compat = geometry == "compat"
        self.seam_px = 0 if compat else _SEAM_PX
        self.heatmap_shift_cells = (-0.5, -0.5) if compat else (0.0, 0.0)
        super().__init__(geometry, metres_per_pixel, backbone, backbone_sha256)

    def _template_cells(self, number: int, map_cells: int) -> int:
        return int(0.4 * map_cells)

    def _published_colours(self, rgb: Tensor) -> Tensor:
        return 2 * rgb - 1

    def _drawn(self, number: int, map_cells: int) -> tuple[int, float]:
        stride = 2 ** (3 - number)
        return self.map_size_px // stride, stride


class GeoDistillKittiDino(GeoDistillDino):
    """Forward-looking images over tiles of 256 px, ViT-L/14."""

    panoramic = False
    image_size = (256, 1024)
    resize = "pil"
    map_size_px = 256
    channels = 1024
    blocks = (5, 11, 17, 23)

    def __init__(
        self,
        geometry: Geometry = "corrected",
        backbone: str = "facebook/dinov2-large",
        backbone_sha256: str | None = None,
    ) -> None:
        resolution = KITTI_METRES_PER_PIXEL if geometry == "compat" else _DRAWN_METRES_PER_PIXEL
        super().__init__(geometry, resolution, backbone, backbone_sha256)

    def _template_cells(self, number: int, map_cells: int) -> int:
        """60 m of drawn ground are left to search."""
        return int(map_cells - _SEARCHED_M / (_DRAWN_METRES_PER_PIXEL * 2 ** (3 - number)))

    def _published_colours(self, rgb: Tensor) -> Tensor:
        return rgb

    def _drawn(self, number: int, map_cells: int) -> tuple[int, float]:
        return map_cells, 2 * self.map_size_px / map_cells
