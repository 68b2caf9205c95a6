# SPDX-License-Identifier: Apache-2.0
"""Every architecture of the registry, small where its sizes may be chosen, with seeded weights; and probes for it."""

import math

import numpy as np
import torch

from geodistill_core.models.backbones.dpt import Tokens
from geodistill_core.models.backbones.patches import pad_to_patches
from geodistill_core.models.orientation import OrientationNetwork
from geodistill_core.models.registry import ARCHITECTURES, architecture
from geodistill_core.runtime.parity import Probe
from geodistill_core.runtime.profile import Profile
from geodistill_core.types import CameraModel, GeoPoint, GroundImage, MapTile, forward_optical_mount

CHANNELS = 4
CAMERA = CameraModel(640, 256, np.array([[360.0, 0, 320], [0, 360.0, 110], [0, 0, 1]]))
ARGUMENTS = {"tiny": {"channels": 4, "widths": (16, 16, 24, 24), "cells": 33}}
HEADING_NEARLY_FLAT = {"concentration": 0.01}  # or the heading would hide that positions differ
FIXED_SIZE = ("ccvpe", "adapting", "geodistill_orientation")
TILE_PX = 160
NAMES = sorted(ARCHITECTURES)


class PatchMeans:
    """In place of the vision transformer: random projections of each patch's colours."""

    def __init__(self):
        self.mix = torch.randn(4, CHANNELS, 3, generator=torch.Generator().manual_seed(3))

    def tokens(self, images):
        means = torch.nn.functional.avg_pool2d(pad_to_patches(images), 14).permute(0, 2, 3, 1)
        patches = [means @ m.T for m in self.mix]
        return Tokens(patches, [p.mean(dim=(1, 2)) for p in patches])


def small(name, geometry="corrected"):
    """The network, in evaluation mode; logits are scaled so that some poses are far likelier than others."""
    torch.manual_seed(5)
    entry = architecture(name)
    kind, arguments = entry.network, dict(ARGUMENTS.get(name, {}))
    if name.startswith(("ccvpe", "adapting")):
        arguments |= HEADING_NEARLY_FLAT
    if entry.has_geometry:
        arguments["geometry"] = geometry
    if name != "tiny" and not name.startswith(FIXED_SIZE):
        sizes = {"image_size": (64, 128) if kind.panoramic else (64, 256)}
        if name != "geodistill_kitti_dino":  # searches 60 m, which is more than 128 px
            sizes["map_size_px"] = 128
        if "dino" in name:
            sizes["channels"] = CHANNELS
        kind = type(f"Small{kind.__name__}", (kind,), sizes)
    network = kind(**arguments).eval()
    if "dino" in name:
        network.backbone = PatchMeans()
    return network


def image(network):
    rng = np.random.default_rng(2)
    if needs_pinhole(network):
        return GroundImage.pinhole(picture(rng, 256, 640), CAMERA, forward_optical_mount(1.65), sigma_height_m=0.1)
    return GroundImage.panorama(picture(rng, 256, 512), height_m=1.9, sigma_height_m=0.1)


def needs_pinhole(network):
    return not getattr(network, "panoramic", True) or "Pinhole" in str(type(network).__mro__)


def picture(rng, height, width):
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, height // 8, width // 8)))
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return fine[0].permute(1, 2, 0).byte().contiguous().numpy()


def probe(network, yaws=3):
    side = network.map_size_px or TILE_PX
    rng = np.random.default_rng(1)
    valid = np.ones((side, side), bool)
    valid[: side // 3, : side // 3] = False
    tile = MapTile(picture(rng, side, side), valid, GeoPoint(48.0, 9.0), network.metres_per_pixel, "probe")
    middle = math.pi / 2 if isinstance(network, OrientationNetwork) else 0.4
    return Probe(image(network), tile, middle + np.radians(3.0) * (np.arange(yaws) - yaws // 2))


def profile(network, yaws=2):
    return Profile.of_input(network.prepare_ground(image(network)), network.map_size_px or TILE_PX, yaws)
