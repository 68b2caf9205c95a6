# SPDX-License-Identifier: Apache-2.0
"""GGCVT: the overhead view from projection to transformer and decoder, correlation, positions, the pose refiner."""

from __future__ import annotations

import math
import re

import numpy as np
import torch
from geodistill_training.published_losses import triplet_loss

from geodistill_core.models import ggcvt, ggcvt_refined
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.published_overhead import pinhole_uv
from tests.parity.pack import Picks
from tests.parity.producers import produces
from tests.parity.producers.vgg import best_cells, loaded
from tests.parity.recipes import METRES_PER_PIXEL_512

LEVELS = (0, 1, 2)
K = torch.tensor([[[582.9802, 0.0, 496.2420], [0.0, 482.7076, 125.0034], [0.0, 0.0, 1.0]]])


def kitti(listing, network, module, pack):
    network = loaded(network, listing, module.PUBLISHED_KEYS, module.UNUSED_KEYS)
    tiles = MapInput(pack.picture("sat"), torch.ones(1, 512, 512), torch.tensor([network.metres_per_pixel]))
    ground = GroundInput(pack.picture("grd"), torch.ones(1, 256, 1024), torch.tensor([[0.0, 0.0, 1.65]]), K)
    return network, tiles, ground


def translation_network(pack):
    return kitti("ggcvt_kitti_2dof", ggcvt.GgcvtKitti("compat"), ggcvt, pack)


def refined_network(pack):
    return kitti("ggcvt_kitti_3dof", ggcvt_refined.GgcvtKittiRefined("compat"), ggcvt_refined, pack)


def number(text, pattern):
    return float(re.search(pattern, text)[1])


def distances(network, ground, maps, yaw):
    return [2 - 2 * network.similarity(ground, maps, yaw, level)[:, 0] for level in LEVELS]


def frame(network, ground, tiles, yaw):
    """Similarity of the matched level as frames compute it."""
    found = network.match(network.encode_ground(ground), network.encode_map(tiles), yaw)
    return found[:, 0] * network.temperature


@produces("ggcvt_vigor")
def ggcvt_vigor(pack):
    network = loaded(ggcvt.GgcvtVigor("compat"), "ggcvt_vigor", ggcvt.PUBLISHED_KEYS, ggcvt.UNUSED_KEYS)
    resolution = torch.tensor([METRES_PER_PIXEL_512["NewYork"], METRES_PER_PIXEL_512["Seattle"]])
    tiles = MapInput(pack.picture("sat"), torch.ones(2, 512, 512), resolution)
    image = GroundInput(pack.picture("grd"), torch.ones(2, 320, 640), torch.tensor([[0.0, 0.0, 2.0]] * 2))
    north = torch.full((2, 1), math.pi / 2)
    maps, ground = network.map_features(tiles, LEVELS), network.encode_ground(image)
    views = network.overhead(ground, 2, north, resolution)
    found = distances(network, ground, maps, north)
    got = {"proj8": network.projected(ground, 0, north, resolution)[0]}
    got["u8"] = network.columns(ground, north, resolution)[0]
    got |= {name: views[level][0] for level, name in enumerate(("cvattn8", "attn4", "attn2"))}
    for level in LEVELS:
        got |= {f"sat_feat{level}": maps.features[level], f"uncert{level}": maps.uncertainty[level]}
        got[f"corr_train_level{level}"] = found[level]
    cells = best_cells(network, frame(network, image, tiles, north))
    got["pred_u_px512"], got["pred_v_px512"] = (cells * 2).unbind(1)
    got["pred_m"] = cells * 2 * resolution.unsqueeze(1)
    truth = torch.tensor([vector(pack.inputs, "gt_shift_u"), vector(pack.inputs, "gt_shift_v")]).T
    offsets = [truth * (network.level(level).map_cells / 4) for level in LEVELS]
    return got | {"loss_triplet": triplet_loss(found, offsets, "sum").reshape(1)}


def vector(text, name):
    return [float(n) for n in re.search(rf"{name} \[([^]]*)\]", text)[1].split(",")]


@produces("ggcvt_kitti")
def ggcvt_kitti(pack):
    network, tiles, image = translation_network(pack)
    east = torch.zeros(1, 1)
    got = {"meters_per_pixel": [network.level(level).map_stride * network.metres_per_pixel for level in range(4)]}
    for level in LEVELS:
        cells, metres_per_cell = network.level(level).map_cells, got["meters_per_pixel"][level]
        uv, front = pinhole_uv(cells, metres_per_cell, network.level(level).ground_size, K, within_image=False)
        got |= {f"uv_A{cells}": uv, f"front_A{cells}": front.unsqueeze(-1)}
    got["uv_A64_shift"] = moved_pixels(pack.inputs, network.level(0), got["meters_per_pixel"][0])
    got["pred2dof_m"] = right_up(network, frame(network, image, tiles, east))
    found = distances(network, network.encode_ground(image), network.map_features(tiles, LEVELS), east)
    truth = [number(pack.inputs, r"loss gt_shift_u ([-.\d]+)"), -number(pack.inputs, r"gt_shift_v ([-.\d]+)")]
    offsets = [torch.tensor([truth]) * 20 / metres_per_cell for metres_per_cell in got["meters_per_pixel"][:3]]
    got["loss_triplet_2dof"] = triplet_loss(found, offsets, "sum").reshape(1)
    return got | {"pred3dof": refined_pose(pack)}


def moved_pixels(inputs, level, metres_per_cell):
    patterns = (r"shift: shift_u ([-.\d]+)", r"shift_v ([-.\d]+)", r"shift_v \S+ heading ([-.\d]+)")
    forward, left, heading = (number(inputs, pattern) for pattern in patterns)
    shift, heading_rad = (20 * forward, 20 * left), math.radians(10 * heading)
    pixels, _ = pinhole_uv(
        level.map_cells,
        metres_per_cell,
        level.ground_size,
        K,
        heading_rad=heading_rad,
        shift_m=shift,
        within_image=False,
    )
    return pixels


def right_up(network, similarity):
    return best_cells(network, similarity) * network.metres_per_cell * torch.tensor([1.0, -1.0])


def refined_pose(pack):
    """Forward and left of the true heading in metres, and the refined heading in degrees."""
    network, tiles, image = refined_network(pack)
    torch.manual_seed(0)
    yaw, _ = network.refine(network.encode_ground(image), network.encode_map(tiles), torch.zeros(1))
    truth = math.radians(10 * number(pack.inputs, r"gt_heading ([-.\d]+)"))
    c, s = math.cos(truth), math.sin(truth)
    turn = torch.tensor([[c, -s], [s, c]])
    position = right_up(network, frame(network, image, tiles, yaw.unsqueeze(1))) @ turn
    return torch.cat([position, torch.rad2deg(yaw).unsqueeze(1)], dim=1)


@produces("ggcvt_kitti_parts")
def ggcvt_kitti_parts(pack):
    network, tiles, image = translation_network(pack)
    east, resolution = torch.zeros(1, 1), tiles.metres_per_pixel
    maps, ground = network.map_features(tiles, LEVELS), network.encode_ground(image)
    found = distances(network, ground, maps, east)
    matched = frame(network, image, tiles, east).flatten(1)
    got = {f"corr_level{level}": found[level] for level in LEVELS}
    got["grd2sat8"] = network.projected(ground, 0, east, resolution)[0]
    got["geo_mask8"] = network.columns(ground, east, resolution)[1].unsqueeze(-1)
    got["cvattn8"] = network.overhead(ground, 0, east, resolution)[0][0]
    got["level2_argmin8"], got["level2_min8"] = Picks(matched), 2 - 2 * matched.topk(8).values
    return got | refiner_steps(pack)


def refiner_steps(pack):
    network, tiles, image = refined_network(pack)
    ground, maps, guess = network.encode_ground(image), network.encode_map(tiles), torch.zeros(1)
    generator = torch.Generator().manual_seed(int(number(pack.inputs, r"manual_seed\((\d+)\)")))
    _, steps = network.refine(ground, maps, guess, generator)
    got = {"refine_delta_raw": steps.changes[0], "refine_state_after": steps.poses[0]}
    for level, pose in ((0, torch.zeros(1, 3)), (2, steps.poses[:, 1])):
        got[f"refine_diff_level{level}_call0"] = network.difference(ground, maps, level, guess, pose)
    seed = int(number(pack.inputs, r"default_rng\((\d+)\+C\)"))
    scale = number(pack.inputs, r"([.\d]+)\*default_rng")
    for level, channels in enumerate(ggcvt.LEVEL_CHANNELS):
        cells = network.level(level).map_cells
        draw = np.random.default_rng(seed + channels).standard_normal((2, channels, cells, cells))
        regressor = network.refiner.regressors[level]
        got[f"refiner_alone_C{channels}"] = regressor(torch.from_numpy((scale * draw).astype(np.float32)))
    return got
