# SPDX-License-Identifier: Apache-2.0
"""CCVPE and the adaptation paper's network as frames run; their losses; the losses' own pack."""

from __future__ import annotations

import math
import re

import torch
from geodistill_training.ccvpe_losses import (
    ADAPTATION_LABEL_FLOOR,
    CCVPE_LABEL_FLOOR,
    adaptation_loss,
    info_nce,
    level_losses,
    orientation_error,
)
from geodistill_training.targets import heatmap_cross_entropy
from torch.nn import functional as F

from geodistill_core.datasets.heatmap_targets import gaussian, heading_volume, orientation_map, pooled_targets
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.ccvpe import PUBLISHED_KEYS, UNUSED_KEYS
from geodistill_core.models.ccvpe_variants import AdaptingVigor, CcvpeKitti, CcvpeVigor
from geodistill_core.models.importing.key_map import rename
from tests.parity.pack import Pack, Picks, Within, published_weights
from tests.parity.producers import produces
from tests.parity.recipes import rnd

FIELD_LIMIT = 1e-4


def frame(network, listing, pictures, samples):
    """Output of the three calls that a frame makes, for the first samples of a pack's pictures."""
    network.load_state_dict(rename(published_weights(listing), PUBLISHED_KEYS, UNUSED_KEYS), strict=True)
    network.eval().to(memory_format=torch.channels_last)
    ground, tiles = (pictures.picture(what)[:samples] for what in ("grd", "sat"))
    B = len(tiles)
    maps = network.encode_map(MapInput(tiles, tiles.new_ones(B, 512, 512), tiles.new_full((B,), 0.14)))
    sight = GroundInput(ground, ground.new_ones(B, *ground.shape[2:]), ground.new_zeros(B, 3))
    return network.decode(network.encode_ground(sight), maps)


def pictured(pack):
    """The pack itself, or the one whose inputs it shares by saying "same inputs" or "first sample"."""
    return pack if "grd=" in pack.inputs else Pack("ccvpe_vigor_circular")


def arrays(output):
    flat = output.logits.flatten(1)
    best = flat.argmax(dim=1)
    at_best = output.field.flatten(2).gather(2, best.view(-1, 1, 1).expand(-1, 2, 1)).squeeze(2)
    return {
        "heatmap": output.heatmap.unsqueeze(1),
        "logits": output.logits.unsqueeze(1),
        "ori": Within(output.field, FIELD_LIMIT),
        "ori_at_top1": Within(at_best, FIELD_LIMIT),
        "top5_idx": Picks(flat),
        "top5_logit": flat.topk(5).values,
        "top5_prob": output.heatmap.flatten(1).topk(5).values,
    } | {f"score{level}": volume for level, volume in enumerate(output.scores, start=1)}


def truths(inputs):
    """Gaussian, heading volume and orientation map of every sample whose row, column and degrees a recipe names."""
    named = re.findall(r"row(?:_offset)? (-?\d+),? col(?:_offset)? (-?\d+)[^;]*?(?:orientation |deg )(\d+)", inputs)
    labels = [(float(row), -float(column), float(angle)) for row, column, angle in named]
    heatmaps = [gaussian(south, east, geometry="compat") for south, east, _ in labels]
    volumes = [heading_volume(h, angle, 20) for h, (_, _, angle) in zip(heatmaps, labels, strict=True)]
    fields = [orientation_map(angle) for _, _, angle in labels]
    return torch.stack(heatmaps).unsqueeze(1), torch.stack(volumes), torch.stack(fields)


@produces("ccvpe_vigor_circular")
def circular(pack):
    output = frame(CcvpeVigor("compat"), "ccvpe_cvm_vigor", pack, 2)
    heatmap, volume, field = truths(pack.inputs)
    probability = heatmap / heatmap.sum(dim=(1, 2, 3), keepdim=True)
    return arrays(output) | {
        "loss_ce": heatmap_cross_entropy(output.logits, probability).view(1),
        "loss_infonce": torch.stack(level_losses(output.scores, volume, CCVPE_LABEL_FLOOR)),
        "loss_ori": orientation_error(output.field, field, heatmap).view(1),
    }


@produces("ccvpe_vigor_zeropad")
def zero_padded(pack):
    network = CcvpeVigor("compat", circular_padding=False)
    return arrays(frame(network, "ccvpe_cvm_vigor", pictured(pack), 1))


@produces("ccvpe_vigor_prior0", "ccvpe_vigor_prior72", "ccvpe_vigor_prior180")
def with_prior(pack):
    prior = float(re.search(r"ori_noise=([\d.]+)", pack.inputs)[1])
    network = CcvpeVigor("compat", orientation_prior_deg=prior)
    return arrays(frame(network, "ccvpe_cvm_vigor", pictured(pack), 1))


@produces("ccvpe_kitti")
def kitti(pack):
    return arrays(frame(CcvpeKitti("compat"), "ccvpe_cvm_kitti", pack, 1))


@produces("adapting_vigor")
def adapting(pack):
    output = frame(AdaptingVigor("compat"), "adapting_vigor", pack, 1)
    _, volume, _ = truths(pack.inputs)
    pairs = zip(output.scores[:2], pooled_targets(volume)[:2], strict=True)
    return arrays(output) | {
        "loss_infonce12": torch.stack([info_nce(s, t, ADAPTATION_LABEL_FLOOR) for s, t in pairs]),
        "loss_total": adaptation_loss(output, volume).view(1),
    }


@produces("adapting_vigor_prior0")
def adapting_with_prior(pack):
    network = AdaptingVigor("compat", orientation_prior_deg=0.0)
    return arrays(frame(network, "adapting_vigor_prior0", pack, 1))


def draw(inputs, what):
    """The standard normal draw that stands behind `what` in a recipe."""
    found = re.search(rf"{what}[^;]*?rnd\((\d+)(?:,\(([\d,]+)\))?", inputs)
    shape = [int(n) for n in found[2].split(",")] if found[2] else None
    return int(found[1]), shape


@produces("pure_ccvpe_losses")
def losses(pack):
    seed, shape = draw(pack.inputs, "scores=")
    scores = torch.tanh(torch.from_numpy(rnd(seed, *shape))).float()
    labels = torch.from_numpy(rnd(draw(pack.inputs, "labels=")[0], *shape) - 1.2).clamp(0, 1).float()
    tiny = labels * 0.02
    seed, shape = draw(pack.inputs, "logits ")
    logits = torch.from_numpy(rnd(seed, *shape)).float()
    target = torch.from_numpy(rnd(draw(pack.inputs, "target ")[0], *shape)).abs().float()
    target = target / target.sum(dim=1, keepdim=True)
    seed, shape = draw(pack.inputs, "ori=")
    field = F.normalize(torch.from_numpy(rnd(seed, *shape)).float(), dim=1)
    angles = [float(a) for a in re.search(r"gt angles ([\d.,]+) rad", pack.inputs)[1].split(",")]
    truth = torch.stack([orientation_map(math.degrees(angle), shape[-1]) for angle in angles])
    seed, shape = draw(pack.inputs, "weight ")
    weight = torch.from_numpy(rnd(seed, *shape)).clamp(0, 1).float()
    seed, shape = draw(pack.inputs, "maxpool ")
    return {
        "ce": heatmap_cross_entropy(logits, target).view(1),
        "ce_adapting": heatmap_cross_entropy(logits, target).view(1),
        "infonce_ccvpe_gt1e-2": info_nce(scores, labels, CCVPE_LABEL_FLOOR).view(1),
        "infonce_ccvpe_tiny": info_nce(scores, tiny, CCVPE_LABEL_FLOOR).view(1),
        "infonce_ccvpe_temp0.5": info_nce(scores, labels, CCVPE_LABEL_FLOOR, temperature=0.5).view(1),
        "infonce_adapting_gt0": info_nce(scores, labels, ADAPTATION_LABEL_FLOOR).view(1),
        "infonce_adapting_tiny": info_nce(scores, tiny, ADAPTATION_LABEL_FLOOR).view(1),
        "maxpool_targets_k8": pooled_targets(torch.from_numpy(rnd(seed, *shape)).float(), (8,))[0],
        "orientation_loss": orientation_error(field, truth, weight).view(1),
    }
