# SPDX-License-Identifier: Apache-2.0
"""Networks of every family, small enough to train a step of, and batches for them."""

from __future__ import annotations

import torch
from geodistill_training.data.examples import Batch
from geodistill_training.recipe import Recipe

from geodistill_core.evaluation.bench.backbones import stand_in
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.ccvpe import Ccvpe, CcvpeSizes
from geodistill_core.models.g2sweakly import G2SWeaklyVigor
from geodistill_core.models.geodistill_dino import GeoDistillVigorDino
from geodistill_core.models.geodistill_vgg import GeoDistillKittiVgg
from geodistill_core.models.ggcvt import GgcvtVigor
from geodistill_core.models.ggcvt_refined import GgcvtKittiRefined
from geodistill_core.models.tiny import Tiny


class SmallVigor(G2SWeaklyVigor):
    image_size = (64, 128)
    map_size_px = 128


class SmallKittiVgg(GeoDistillKittiVgg):
    image_size = (32, 128)
    map_size_px = 128

    def _octave(self, number, template_share, drawn_scale=1.0):
        return super()._octave(number, lambda cells: int(0.5 * cells), drawn_scale)


class SmallDino(GeoDistillVigorDino):
    image_size = (28, 56)
    map_size_px = 56

    def __init__(self, geometry="corrected"):
        super().__init__(geometry)
        self.backbone = stand_in(self.backbone, computed=False)


class SmallGgcvt(GgcvtVigor):
    image_size = (32, 64)
    map_size_px = 128


class SmallRefined(GgcvtKittiRefined):
    image_size = (32, 64)
    map_size_px = 256


class SmallCcvpe(Ccvpe):
    def __init__(self, geometry="corrected", rolls=None):
        channels = (64, 32, 16, 8, 4, 4)
        sizes = CcvpeSizes(
            ground_size=(64, 128),
            ground_cells=(2, 4),
            descriptor_channels=(16, 8, 4, 2, 1, 1),
            map_channels=channels,
            up_channels=(32, 16, 8, 8, 4, 4),
            heading_first=32,
            steps=tuple(c // 4 for c in channels),
            rolls=4,
        )
        super().__init__(
            sizes,
            geometry=geometry,
            metres_per_pixel=0.14,
            ground_padding="circular",
            map_padding="zeros",
            turn=1,
            concentration=50.0,
            rolls=rolls,
        )


def small_tiny():
    return Tiny(channels=4, widths=(8, 8, 8, 8), cells=33)


SMALL = {
    "tiny": small_tiny,
    "g2sweakly_vigor": SmallVigor,
    "geodistill_kitti_vgg": SmallKittiVgg,
    "geodistill_vigor_dino": SmallDino,
    "ggcvt_vigor": SmallGgcvt,
    "ccvpe": SmallCcvpe,
}


def small(name, **arguments):
    torch.manual_seed(5)
    return SMALL[name](**arguments).to(memory_format=torch.channels_last)


def batch_for(network, rows=2, truth=((1.0, -2.0, 0.3), (-1.5, 0.5, -0.2)), prior=(0.25, -0.25)):
    """Random pictures; priors a little beside the true headings."""
    draw = torch.Generator().manual_seed(6)
    side = 128 if isinstance(network, Ccvpe) else network.map_size_px or 128
    if isinstance(network, Tiny):
        height, width = network.strip.height, network.strip.width
    else:
        height, width = network.sizes.ground_size if isinstance(network, Ccvpe) else network.image_size
    pinhole = not getattr(network, "panoramic", True)
    camera = torch.tensor([[0.6 * width, 0.0, width / 2], [0.0, 0.6 * width, height / 2], [0.0, 0.0, 1.0]])
    ground = GroundInput(
        torch.rand(rows, 3, height, width, generator=draw),
        torch.ones(rows, height, width),
        torch.tensor([[0.0, 0.0, 1.8]]).repeat(rows, 1),
        camera.repeat(rows, 1, 1) if pinhole else None,
    )
    tiles = MapInput(
        torch.rand(rows, 3, side, side, generator=draw),
        torch.ones(rows, side, side),
        torch.full((rows,), network.metres_per_pixel),
    )
    return Batch(
        step=3,
        keys=tuple(f"street/{row}" for row in range(rows)),
        rows=torch.arange(rows),
        maps=tiles,
        ground=ground,
        teacher_maps=tiles,
        teacher_ground=ground,
        yaw_enu_rad=torch.tensor(prior[:rows]),
        truth=None if truth is None else torch.tensor(truth[:rows]),
    )


def recipe(method="weak", **parts):
    cycle = {"stages": [{"name": "all", "steps": 10, "learning_rate": 1e-3, "cycle": [method]}]}
    return Recipe.model_validate({"name": "small", "method": method, "batch": 2, **cycle, **parts})
