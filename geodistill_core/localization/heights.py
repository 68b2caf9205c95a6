# SPDX-License-Identifier: Apache-2.0
"""The match where the camera's height is uncertain: a few heights are tried and the answers are averaged.

A height that is wrong by a tenth lays the ground out a tenth too large or too small, more than two metres at the
template's border. With heights h_i of prior weight w_i the likelihood of a pose is sum_i w_i exp(logits_i / T): every
pose may explain the image with the height that suits it, and pays for an improbable one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import torch

from geodistill_core.models.base import AnyNetwork, mount_at_height
from geodistill_core.types import Array, GroundImage

_REACH_SIGMAS = 1.8
_LARGEST_REACH = 0.5
_SPACING = 0.075
_MOST_PER_SIDE = 5


def height_offsets(height_m: float, sigma_m: float) -> tuple[Array, Array]:
    """Offsets [N] from the stated height, ascending, and their prior weights [N], which sum to one.

    An even grid over +-1.8 sigma, at most over half of the height, with the stated height in its middle. Neighbours are
    at most 7.5 % of the height apart, but never more than 11; a single one where sigma is 0.
    """
    reach_m = min(_REACH_SIGMAS * sigma_m, _LARGEST_REACH * height_m)
    per_side = min(math.ceil(reach_m / (_SPACING * height_m)), _MOST_PER_SIDE)
    if per_side == 0:
        return np.zeros(1), np.ones(1)
    offset_m = reach_m * np.arange(-per_side, per_side + 1) / per_side
    weight = np.exp(-0.5 * (offset_m / sigma_m) ** 2)
    return offset_m, weight / weight.sum()


def log_likelihood(
    network: AnyNetwork, image: GroundImage, map_features: Any, yaw_enu_rad: Array, temperature: float
) -> Array:
    """Log-likelihood [Y, P, P] (float64, up to a constant) of poses at yaws [Y], marginal over the camera's height.

    A network whose answer does not depend on the height is asked once.
    """
    offset_m, weight = height_offsets(image.height_m, image.sigma_height_m)
    answers = log_likelihoods(network, image, map_features, yaw_enu_rad, temperature, offset_m)
    terms = (np.add(log_p, math.log(w), out=log_p) for w, log_p in zip(weight, answers, strict=False))
    with np.errstate(invalid="ignore"):  # NaN stays NaN, and the caller refuses it
        return reduce(np.logaddexp, terms)


def log_likelihoods(
    network: AnyNetwork,
    image: GroundImage,
    map_features: Any,
    yaw_enu_rad: Array,
    temperature: float,
    offset_m: Array,
) -> Iterator[Array]:
    """Log-likelihoods [Y, P, P] (float64, up to a constant) at offsets [N] from the stated height, in their order.

    The image is encoded once. A network whose answer does not depend on the height gives one for all.
    """
    yaw = torch.from_numpy(yaw_enu_rad.astype(np.float32)).unsqueeze(0)

    def calibrated(ground: Any) -> Array:
        return np.asarray(np.divide(network.match(ground, map_features, yaw)[0].numpy(), temperature, dtype=np.float64))

    seen = network.prepare_ground(image)
    if len(offset_m) == 1 and offset_m[0] == 0.0:
        yield calibrated(network.encode_ground(seen))
        return
    # from the lowest camera the most ground is encoded
    heights_m = [float(height) for height in float(seen.mount[0, 2]) + offset_m]
    ground = network.encode_ground(replace(seen, mount=mount_at_height(seen.mount, min(heights_m))))
    for height_m in heights_m:
        at_height = network.at_height(ground, height_m)
        if at_height is None:
            yield calibrated(ground)
            return
        yield calibrated(at_height)
