# SPDX-License-Identifier: Apache-2.0
"""An engine with a real localizer: a small untrained network on a made-up map, and an accelerator that may fail."""

import numpy as np
import torch
from geodistill_ros.engine import Engine
from ros_world import LATITUDE, LONGITUDE

from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.maps import RasterSource
from geodistill_core.models.base import CrossViewNetwork
from geodistill_core.models.manifest import Manifest, Probe
from geodistill_core.models.registry import build
from geodistill_core.runtime import attach
from geodistill_core.runtime.attach import Attached
from geodistill_core.runtime.ladder import Choice, RuntimeOptions
from geodistill_core.types import GeoPoint

ARGUMENTS = {"channels": 4, "widths": (16, 16, 24, 24), "cells": 33}
MANIFEST = Manifest(
    name="small", architecture="tiny", arguments=ARGUMENTS, inputs={}, metres_per_pixel=0.25, preprocessing="none",
    training={}, calibration=None, sha256="0" * 64, licence="Apache-2.0",
    probe=Probe(seed=0, expected=(0.0,) * 8, tolerance=0.1),
)  # fmt: skip
TILE_M, WINDOW_M = 48.0, 32.0  # the template that is matched takes its width from the window


class Accelerated(CrossViewNetwork):
    """Stands for the compiled form of `network`: `before` may raise at each match, `after` may alter its logits."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.metres_per_pixel, self.metres_per_cell = network.metres_per_pixel, network.metres_per_cell
        self.template_extent_m, self.map_size_px = network.template_extent_m, network.map_size_px
        self.heatmap_shift_cells = network.heatmap_shift_cells
        self.before, self.after, self.matches = lambda: None, lambda logits: logits, 0

    def prepare_ground(self, image):
        return self.network.prepare_ground(image)

    def encode_map(self, tiles):
        return self.network.encode_map(tiles)

    def encode_ground(self, ground):
        return self.network.encode_ground(ground)

    def match(self, ground, map_features, yaw_enu_rad):
        self.matches += 1
        self.before()
        return self.after(self.network.match(ground, map_features, yaw_enu_rad))


class SmallEngine:
    """`open(settings)` is the factory; with `compiles` the first image has the network put on `accelerated`."""

    def __init__(self, monkeypatch, runtime="auto", *, compiles=True):
        torch.manual_seed(3)
        self.accelerated = Accelerated(build("tiny", **ARGUMENTS).eval())
        self.options = RuntimeOptions(runtime if compiles else "torch")
        self.compiles = compiles
        monkeypatch.setattr(attach, "compiled", lambda work: (self.accelerated, Choice("onnxruntime")))

    def open(self, settings):
        rgb = np.random.default_rng(2).integers(0, 255, (640, 640, 3), np.uint8)
        source = RasterSource(rgb, GeoPoint(LATITUDE, LONGITUDE), 0.25, "made up")
        network = self.accelerated.network if self.compiles else self.accelerated
        self.localizer = Localizer(network, MANIFEST, source, LocalizerConfig(tile_extent_m=TILE_M))
        runtime = Attached(self.localizer, self.options, background=self.compiles)
        return Engine(self.localizer, runtime.close, True, {"model": settings.model}, runtime=runtime)
