# SPDX-License-Identifier: Apache-2.0
"""Whether a compiled network is worth having: the time it takes beside torch's, on the machine that it will run on."""

from __future__ import annotations

import time

import numpy as np
import torch

from geodistill_core.models.base import AnyNetwork
from geodistill_core.runtime.calls import sample_inputs
from geodistill_core.runtime.profile import Profile

SLOWEST = 1.2
"""How many times as long as torch a back end may take that nobody named: less is within what a busy machine adds."""
_ROUNDS = 7


@torch.inference_mode()
def times_as_long(network: AnyNetwork, compiled: AnyNetwork, profile: Profile) -> float:
    """How many times as long as `network` its compiled form takes for an image, the tile encoded: a median.

    Both take turns, so that other work on the machine slows both.

    Raises:
        RuntimeBackendError: the engine failed.
    """
    ground, tiles = sample_inputs(network, profile)
    yaw_enu_rad = torch.linspace(-0.4, 0.4, profile.yaws).unsqueeze(0)
    maps = [(each, each.encode_map(tiles)) for each in (network, compiled)]
    taken_s = np.empty((_ROUNDS, 2))
    for row in taken_s:
        for index, (each, map_features) in enumerate(maps):
            began_s = time.perf_counter()
            each.match(each.encode_ground(ground), map_features, yaw_enu_rad)
            row[index] = time.perf_counter() - began_s
    plain_s, compiled_s = taken_s[1:].T  # the first round warms up
    return float(np.median(compiled_s / plain_s))
