# SPDX-License-Identifier: Apache-2.0
"""Packs without a network: samplers, projections, correlations, losses, masks and measures of the published code."""

from __future__ import annotations

import math
import re

import numpy as np
import torch
from geodistill_training.masks import activation_mask, patch_mask
from geodistill_training.orientation_losses import orientation_error, soft_labels
from geodistill_training.published_losses import (
    batch_distances,
    contrastive_loss,
    distillation_loss,
    pair_distances,
    triplet_loss,
    weak_loss,
)
from geodistill_training.published_measures import best_offset_cells, kitti_offset_m

from geodistill_core.datasets.published_geodesy import published_metres_per_pixel, published_offset_m
from geodistill_core.models.backbones.patches import pad_to_patches, tokens_to_map
from geodistill_core.models.correlation import correlate, correlation_map
from geodistill_core.models.published_overhead import inplane_uv, panorama_uv, pinhole_uv
from geodistill_core.models.sampling import sample_published
from geodistill_core.models.yaw_classes import PublishedYawClasses
from tests.parity.pack import Columns, Pack
from tests.parity.producers import produces
from tests.parity.recipes import METRES_PER_PIXEL_512, rnd

INTRINSICS = torch.tensor([[[582.9802, 0.0, 496.2420], [0.0, 482.7076, 125.0034], [0.0, 0.0, 1.0]]])
PANORAMA_LEVELS = {0: (46, 92), 1: (92, 184), 2: (184, 368), 3: (320, 640)}
SHIFT = (torch.tensor([0.3, -0.55]), torch.tensor([-0.2, 0.7]))
TURN = torch.tensor([0.5, -1.0]) * (math.pi / 2)
AXES = ("gt_u", "gt_v")
YAW_CLASSES = PublishedYawClasses()


def uniform(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.05, 0.95, shape))


def normal(seed, *shape):
    return torch.from_numpy(rnd(seed, *shape))


@produces("pure_geodistill")
def pure_geodistill(pack: Pack):
    return {
        **projections(),
        **sampled(pack),
        **masks_and_tokens(),
        **toy_correlations(),
        **distillation_and_contrast(),
        **orientation(pack),
        "meter_per_pixel": [
            published_metres_per_pixel(scale=0.5),
            published_metres_per_pixel(),
            published_metres_per_pixel(42, 20),
        ],
        "gps2meters_xy": np.array(published_offset_m(49.0151, 8.4303, np.float32([49.015]), np.float32([8.43]))),
    }


def projections():
    found = {}
    metres_per_pixel = torch.tensor([0.14156, 0.126021])
    for level, size in PANORAMA_LEVELS.items():
        cells, metres_per_cell = 64 * 2**level, metres_per_pixel * 2 ** (3 - level)
        found[f"sat2grd_uv{level}"] = Columns(panorama_uv(cells, metres_per_cell, size), size[1])
        found[f"sat2grd_uv{level}_shift"] = Columns(panorama_uv(cells, metres_per_cell, size, shift=SHIFT), size[1])
    return found


def sampled(pack):
    image, uv = torch.from_numpy(pack.golden["gs_image"]), torch.from_numpy(pack.golden["gs_uv"])
    return {"gs_image": image, "gs_uv": uv, "gs_out": sample_published(image, uv)}


def masks_and_tokens():
    found = {
        "mask_avg_r0.2": activation_mask(normal(831, 2, 5, 8, 16).float(), 0.2),
        "mae_mask_seed5": patch_mask(56, 84, 0.4, 14, np.random.RandomState(5)),
        "mae_mask_seed6_edge": patch_mask(50, 70, 0.35, 16, np.random.RandomState(6)),
        "tokens_to_output_densecls": tokens_to_map(normal(841, 1, 7, 4).float(), 2, 3),
    }
    for height, width in ((512, 512), (320, 640), (256, 1024), (256, 256), (14, 20), (28, 28)):
        padded = pad_to_patches(torch.ones(1, 1, height, width))[0, 0]
        found[f"pad_{height}x{width}"] = [*padded.shape, *padded.nonzero()[0].tolist()]
    return found


def toy(level, seeds=(851, 861, 881, 891), satellite_confidence=False):
    """Map spectra, template [3, 4, 5, 5] and ground confidence [3, 5, 5]; float64."""
    features, template, ground, satellite = (seed + level for seed in seeds)
    weight = uniform(satellite, 3, 1, 12, 12).squeeze(1).square() if satellite_confidence else None
    maps = correlation_map(normal(features, 3, 4, 12, 12), weight)
    return maps, normal(template, 3, 4, 5, 5), uniform(ground, 3, 1, 5, 5).squeeze(1)


def toy_correlations():
    found = {}
    for level in (0, 2):
        maps, template, confidence = toy(level)
        mask = torch.from_numpy(np.random.default_rng(871 + level).uniform(0, 1, (3, 3, 5, 5)).round(1))[:, 0]
        for weighing, q in (("ones", torch.ones_like(confidence)), ("conf", confidence)):
            for masking, b, q_masked in (
                ("nomask", template, q if weighing == "conf" else None),
                ("mask", template * mask.unsqueeze(1), q * mask),
            ):
                name = f"{weighing}_{masking}"
                found[f"corr_{name}_l{level}"] = pair_distances(maps, b, q_masked)
                found[f"corrbatch_{name}_l{level}"] = batch_distances(maps, b, q_masked)
                if level == 2:
                    found[f"corrval_{name}"] = correlate(maps, b, q_masked).similarity()
    return found


def distillation_and_contrast():
    student, teacher = ([normal(seed + i, 3, n, n) * 0.4 + 2 for i, n in enumerate((6, 9))] for seed in (821, 823))
    own_and_others = [normal(825, 4, 4, 5, 5).abs(), normal(826, 4, 4, 7, 7).abs()]
    return {
        "ce_0.06": distillation_loss(student, teacher).reshape(1),
        "ce_default_0.2_0.09": distillation_loss(student, teacher, 0.2, 0.09).reshape(1),
        "contrastive": contrastive_loss(own_and_others).reshape(1),
    }


def orientation(pack):
    angles = torch.from_numpy(pack.golden["orient_angles"])
    labels = torch.tensor([0.0, 17.0, 45.0, 89.0])
    logits = torch.nn.functional.one_hot(torch.tensor([48, 30, 89, 45]), 90).float()
    truth = torch.deg2rad(torch.tensor([3.2, -10.0, 44.0, 0.0]))
    errors = torch.rad2deg(orientation_error(YAW_CLASSES.decode(logits), truth, YAW_CLASSES))
    return {
        "orient_angles": angles,
        "orient_labels": YAW_CLASSES.label(torch.deg2rad(angles)),
        "soft_labels_sigma1": soft_labels(labels, YAW_CLASSES),
        "soft_labels_sigma4": soft_labels(labels, YAW_CLASSES, 4.0),
        "calc_errors": errors,
        "calc_errors_mean_median": torch.stack([errors.mean(), errors.median()]),
    }


@produces("pure_kitti_g2sweakly")
def pure_kitti_g2sweakly(pack: Pack):
    found = {"meter_per_pixel_512": [published_metres_per_pixel()], **kitti_projections(), **vigor_projections()}
    seeds = [int(seed) for seed in re.findall(r"(\d+)\+l", pack.inputs)]
    for ground in (0, 1):
        for satellite in range(ground + 1):
            toys = {level: toy(level, seeds, bool(satellite)) for level in (0, 2)}
            found |= g2sweakly_losses(f"g{ground}s{satellite}", toys, ground, pack.inputs)
            found |= g2sweakly_decoding(f"g{ground}s{satellite}", toys[2], ground, pack.inputs)
    return found


def numbers(text, before, after=""):
    """The comma-separated numbers that stand between two patterns."""
    return torch.tensor([float(x) for x in re.search(f"{before}([-\\d.,]+){after}", text)[1].split(",")]).double()


def kitti_projections():
    found = {}
    moved = {"heading_rad": math.radians(5.0), "shift_m": (6.0, -8.0)}
    for cells in (64, 128, 256, 512):
        size = (256 * cells // 512, 1024 * cells // 512)
        for name, pose in (("zero", {}), ("moved", moved)):
            uv, seen = pinhole_uv(cells, published_metres_per_pixel() * 512 / cells, size, INTRINSICS, **pose)
            found[f"uv_A{cells}_{name}"], found[f"mask_A{cells}_{name}"] = uv, seen.unsqueeze(-1)
    return found


def vigor_projections():
    found = {}
    metres_per_pixel = torch.tensor([METRES_PER_PIXEL_512["NewYork"], METRES_PER_PIXEL_512["Seattle"]])
    for level, size in ((0, (40, 80)), (2, (160, 320))):
        cells = 64 * 2**level
        uv = panorama_uv(cells, metres_per_pixel * 2 ** (3 - level), size, rotation_rad=TURN, shift=SHIFT)
        found[f"vigor_uv_rot_l{level}"] = Columns(uv, size[1])
        found[f"vigor_inplane_uv_l{level}"] = inplane_uv(cells, rotation_rad=TURN, shift=SHIFT)
    return found


def g2sweakly_losses(name, toys, ground, inputs):
    pairs, batches = {}, {}
    for level, (maps, template, confidence) in toys.items():
        q = confidence if ground else None
        pairs[level], batches[level] = pair_distances(maps, template, q, 1e-6), batch_distances(maps, template, q)
    vigor, vigor_radii = vigor_truth(toys, inputs)
    kitti, kitti_radii = kitti_truth(toys, inputs)
    own, all_pairs = list(pairs.values()), list(batches.values())
    return {
        **{f"corracc_{name}_l{level}": x for level, x in pairs.items()},
        **{f"corrbatch_{name}_l{level}": x for level, x in batches.items()},
        f"vigor_weak_{name}": torch.stack(weak_loss(all_pairs, vigor, vigor_radii)[1:]),
        f"kitti_weak_{name}": torch.stack(weak_loss(all_pairs, kitti, kitti_radii)[1:]),
        f"vigor_triplet_{name}": triplet_loss(own, vigor).reshape(1),
        f"kitti_triplet_{name}": triplet_loss(own, kitti, "sum").reshape(1),
    }


def vigor_truth(levels, inputs):
    """True offsets in cells and GPS radii of each level; offsets are in quarters of a 512 px tile."""
    share = float(numbers(inputs, "gt_u=", r"\*\["))
    truth = torch.stack([numbers(inputs, rf"{axis}=[\d.]+\*\[", r"\]") for axis in AXES], 1)
    radius_m, tile = numbers(inputs, "GPS_error ", " m"), numbers(inputs, r"mpp \[", r"\]")
    offsets = [truth * share * 512 / 2 ** (3 - level) / 4 for level in levels]
    return offsets, [torch.ceil(radius_m / (tile * 2 ** (3 - level))).long() for level in levels]


def kitti_truth(levels, inputs):
    """True offsets in cells and GPS radii of each level; offsets are in units of 20 m, right and up."""
    metres_per_cell = numbers(inputs, "forced to ", " m per cell")
    right, up = (numbers(inputs, rf"{axis}=\[", r"\]") * 20 / metres_per_cell for axis in AXES)
    radius = torch.ceil(numbers(inputs, "GPS_error ", "$") / metres_per_cell).long()
    return [torch.stack([right, -up], 1) for _ in levels], [radius.expand(3) for _ in levels]


def g2sweakly_decoding(name, matched, ground, inputs):
    maps, template, confidence = matched
    similarity = correlate(maps, template, confidence if ground else None).similarity(1e-6)
    headings = torch.deg2rad(numbers(inputs, "heading ", " of 10 deg") * 10)
    offset_m, searched = kitti_offset_m(similarity, float(numbers(inputs, "forced to ", " m per cell")), headings)
    return {
        f"vigor_val_{name}": similarity,
        f"vigor_val_uv_{name}": best_offset_cells(similarity) * 2,
        f"kitti_val_{name}": searched,
        f"kitti_val_uv_{name}": offset_m,
    }
