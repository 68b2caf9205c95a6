# SPDX-License-Identifier: Apache-2.0
"""GeoDistill's smaller network for KITTI: G2SWeakly's, on tiles of 256 px (GeoDistill, section 3.1).

The published code draws ground at 0.39 m per pixel over tiles of 0.196 m per pixel. `compat` reproduces that; with
exact geometry tiles have the resolution that the ground is drawn at.
"""

from __future__ import annotations

from geodistill_core.models.backbones.vgg_unet import VGG_UNET_KEYS
from geodistill_core.models.base import Geometry
from geodistill_core.models.g2sweakly import G2SWeakly
from geodistill_core.models.published_overhead import KITTI_METRES_PER_PIXEL

PUBLISHED_KEYS = ((r"^sat_VGG\.", "map_encoder."), (r"^grd_VGG\.", "ground_encoder."), *VGG_UNET_KEYS)
UNUSED_KEYS: tuple[str, ...] = ()

_DRAWN_METRES_PER_PIXEL = 2 * KITTI_METRES_PER_PIXEL


class GeoDistillKittiVgg(G2SWeakly):
    """Forward-looking images over tiles of 256 px; `temperature` is that of the published distillation."""

    panoramic = False
    image_size = (256, 1024)
    map_size_px = 256
    temperature = 0.06
    similarity_floor = None

    def __init__(self, geometry: Geometry = "corrected") -> None:
        compat = geometry == "compat"
        self.drawn_scale = 2.0 if compat else 1.0
        super().__init__(geometry, KITTI_METRES_PER_PIXEL if compat else _DRAWN_METRES_PER_PIXEL, shared=False)
