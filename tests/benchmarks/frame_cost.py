# SPDX-License-Identifier: Apache-2.0
"""What a frame costs here beside the same network run plainly: `python -m tests.benchmarks.frame_cost [NETWORK...]`.

Plainly means as the published code goes about it: both images in full, every level, whole overhead grids, correlation
as two direct convolutions of every channel, CCVPE's headings one roll at a time. Both ways share weights and run
alternately in one process, so that the ratio does not depend on how busy the machine is. CCVPE's plain pass uses this
project's trunk, which is faster than the published one: its ratios are upper bounds.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from geodistill_core.evaluation.bench.backbones import GivenTokens
from geodistill_core.evaluation.bench.networks import inputs
from geodistill_core.models.published_overhead import center_crop, panorama_uv, pinhole_uv
from geodistill_core.models.registry import build
from geodistill_core.models.sampling import sample_published
from tests.models.naive_dpt import concatenated, naive_levels
from tests.models.test_ccvpe import spelled_out
from tests.models.test_vgg_unet import by_definition

NORTH, EAST = torch.tensor([[math.pi / 2]]), torch.tensor([[0.0]])


def normalized(features):
    return features / torch.linalg.vector_norm(features, dim=(1, 2, 3), keepdim=True)


def projected(network, level, features, tile, ground):
    """The ground features on the whole overhead grid [1, C, S, S]."""
    geometry = network.level(level)
    size, cell = tuple(features.shape[-2:]), geometry.drawn_stride * float(tile.metres_per_pixel)
    if ground.intrinsics is None:
        return sample_published(features, panorama_uv(geometry.drawn_cells, cell, size).unsqueeze(0))
    uv, seen = pinhole_uv(geometry.drawn_cells, cell, size, ground.intrinsics, network.image_size)
    return sample_published(features, uv) * seen.unsqueeze(1)


def correlated(features, template, weight):
    """Similarity by two direct convolutions of every channel."""
    numerator = F.conv2d(features, template * weight**2)
    energy = F.conv2d(features**2, (weight**2).expand_as(template).contiguous())
    return numerator / (energy.sqrt() * torch.linalg.vector_norm(template * weight))


def overhead_matching(network, sat, grd, confidence, tile, ground):
    """Projection of the trained levels and correlation of the matched one, from all features of both images."""
    overhead = {level: projected(network, level, normalized(grd[level]), tile, ground) for level in network.levels}
    weights = {
        level: torch.ones_like(overhead[level][:, :1])
        if confidence is None
        else projected(network, level, confidence[level], tile, ground)
        for level in network.levels
    }
    matched = network.levels[-1]
    cells = network.level(matched).template
    return correlated(
        normalized(sat[matched]), center_crop(overhead[matched], cells), center_crop(weights[matched], cells)
    )


def plain_vgg(network, tile, ground):
    sat, _ = by_definition(network.map_encoder, tile.rgb)
    grd, confidence = by_definition(network.ground_encoder, ground.pixels)
    return overhead_matching(network, sat, grd, confidence, tile, ground)


def plain_dino(network, tile, ground):
    sat = naive_levels(network.map_head, concatenated(network.backbone.tokens(tile.rgb)))
    grd = naive_levels(network.ground_head, concatenated(network.backbone.tokens(ground.pixels)))
    return overhead_matching(network, sat, grd, None, tile, ground)


def plain_ccvpe(network, tile, ground):
    return spelled_out(network, ground, tile, network.sizes.steps, network.decoded)


def plain_orientation(network, tile, ground):
    both = [network.map_features(tile.rgb), network.ground_features(ground.pixels)]
    return network.classifier(F.relu(network.fusion_norm(network.fusion(torch.cat(both, dim=1)))).flatten(1))


PLAIN: dict[str, tuple[Callable[..., Any], dict[str, Any], torch.Tensor]] = {
    "g2sweakly_vigor": (plain_vgg, {}, NORTH),
    "geodistill_kitti_vgg": (plain_vgg, {}, EAST),
    "geodistill_vigor_dino": (plain_dino, {}, NORTH),
    "geodistill_kitti_dino": (plain_dino, {}, EAST),
    "geodistill_orientation": (plain_orientation, {}, NORTH),
    "ccvpe_vigor": (plain_ccvpe, {}, NORTH),
    "ccvpe_vigor prior 0": (plain_ccvpe, {"orientation_prior_deg": 0.0}, NORTH),
    "ccvpe_kitti": (plain_ccvpe, {}, EAST),
    "adapting_vigor": (plain_ccvpe, {}, NORTH),
}


def timed(call):
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(name, runs):
    plain, arguments, yaw = PLAIN[name]
    torch.manual_seed(0)
    network = build(name.split()[0], geometry="compat", **arguments).eval()
    with torch.inference_mode():
        return measured(name, network, plain, yaw, runs)


def measured(name, network, plain, yaw, runs):
    if hasattr(network, "backbone"):
        network.backbone = GivenTokens(network.backbone)
    tile, ground = inputs(network)
    maps = network.encode_map(tile)
    ways = {
        "plain": lambda: plain(network, tile, ground),
        "seen_tile": lambda: network.match(network.encode_ground(ground), maps, yaw),
        "new_tile": lambda: network.match(network.encode_ground(ground), network.encode_map(tile), yaw),
    }
    for call in ways.values():
        call()
    taken = {way: [timed(call) for _ in range(1)] for way, call in ways.items()}
    for _ in range(runs - 1):
        for way, call in ways.items():
            taken[way].append(timed(call))
    found: dict[str, Any] = {"network": name}
    for way, pairs in taken.items():
        found[f"{way}_s"], found[f"{way}_cpu_s"] = (float(np.median(values)) for values in zip(*pairs, strict=True))
    for way in ("seen_tile", "new_tile"):
        found[f"{way}_ratio"] = float(np.median([a[0] / b[0] for a, b in zip(taken[way], taken["plain"], strict=True)]))
        found[f"{way}_cpu_ratio"] = found[f"{way}_cpu_s"] / found["plain_cpu_s"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(PLAIN))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for name in options.networks:
        rows.append(measure(name, options.runs))
        if not options.json:
            r = rows[-1]
            print(
                f"{name:24} plain {r['plain_s']:7.3f} s"
                f"   seen tile {r['seen_tile_s']:7.3f} s ({r['seen_tile_ratio']:.2f})"
                f"   new tile {r['new_tile_s']:7.3f} s ({r['new_tile_ratio']:.2f})"
                f"   CPU ratios {r['seen_tile_cpu_ratio']:.2f}, {r['new_tile_cpu_ratio']:.2f}",
                flush=True,
            )
    if options.json:
        print(
            json.dumps(
                {"threads": options.threads, "torch": torch.__version__, "machine": platform.machine(), "rows": rows}
            )
        )


if __name__ == "__main__":
    main()
