# SPDX-License-Identifier: Apache-2.0
"""What a compiled network is compared on: the same few places of SynthCity every time."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.orientation import OrientationNetwork
from geodistill_core.runtime.parity import Probe
from geodistill_core.runtime.profile import Profile

_STYLE, _SEED, _LEVEL, _COUNT = "midtown", 77_000, "standard", 3
_STEP_RAD = math.radians(3.0)


def probes(network: AnyNetwork, profile: Profile) -> list[Probe]:
    """Ground images, tiles and headings around the true ones, of the sizes of a profile."""
    from geodistill_core.datasets.synthcity.pairs import sample_pair
    from geodistill_core.datasets.synthcity.rigs import PANORAMA_RIG, pinhole_rig

    rig = PANORAMA_RIG if profile.kind == "panorama" else pinhole_rig()
    extent_m = profile.tile_px * network.metres_per_pixel
    found = []
    for index in range(_COUNT):
        pair = sample_pair(
            _STYLE, _SEED, index, _LEVEL, tile_extent_m=extent_m, metres_per_pixel=network.metres_per_pixel, rig=rig
        )
        headings = pair.prior.yaw_enu_rad + _STEP_RAD * (np.arange(profile.yaws) - profile.yaws // 2)
        if isinstance(network, OrientationNetwork):
            headings = np.asarray(network.class_yaws() + math.pi / 2)
        found.append(Probe(pair.ground, pair.tile, headings))
    return found
