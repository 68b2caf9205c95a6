# SPDX-License-Identifier: Apache-2.0
"""How long each call of a network takes: map, ground, match, a frame on a seen tile and the first on a new one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.bench.backbones import stand_in
from geodistill_core.models.backbones.dinov2 import FrozenDinov2
from geodistill_core.models.base import AnyNetwork, Geometry, GroundInput, MapInput
from geodistill_core.models.registry import architecture, build
from geodistill_core.runtime.device import processor
from geodistill_core.types import Array, CameraModel, GroundImage, forward_optical_mount

STAGES = ("map", "ground", "match")
_ANY_SIZE_PX = 384
_CAMERA = CameraModel(1242, 375, np.array([[721.5377, 0, 609.5593], [0, 721.5377, 172.854], [0, 0, 1.0]]))
_SEED = 11


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """`runs` timed passes after one untimed, on `threads` threads, with `yaws` heading hypotheses.

    `backbone`: time frozen backbones too (with random weights); otherwise given tokens stand in for them.
    """

    geometry: Geometry = "corrected"
    runs: int = 9
    threads: int = 2
    yaws: int = 1
    backbone: bool = False

    def __post_init__(self) -> None:
        for name, value, limit in (("runs", self.runs, 1000), ("threads", self.threads, 256), ("yaws", self.yaws, 360)):
            if not 1 <= value <= limit:
                raise ConfigError(f"{name} {value} is outside 1..{limit}")


def _picture(rng: np.random.Generator, height: int, width: int) -> Array:
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, height // 16, width // 16)))
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return fine[0].permute(1, 2, 0).byte().numpy()


def inputs(network: AnyNetwork) -> tuple[MapInput, GroundInput]:
    """A smooth seeded tile and ground image of the sizes that the network reads, batch of one."""
    rng = np.random.default_rng(_SEED)
    size = network.map_size_px or _ANY_SIZE_PX
    rgb = torch.from_numpy(_picture(rng, size, size)).permute(2, 0, 1).unsqueeze(0).float() / 255.0
    tile = MapInput(rgb, torch.ones(1, size, size), torch.tensor([network.metres_per_pixel]))
    return tile, network.prepare_ground(inputs_image(network, rng))


def inputs_image(network: AnyNetwork, rng: np.random.Generator | None = None) -> GroundImage:
    """A smooth ground image of a kind that the network reads: a panorama, or a pinhole image of KITTI's size."""
    rng = rng or np.random.default_rng(_SEED)
    panorama = GroundImage.panorama(_picture(rng, 1024, 2048), height_m=2.0)
    try:
        network.prepare_ground(panorama)
    except ConfigError:  # reads pinhole images only
        return GroundImage.pinhole(_picture(rng, 375, 1242), _CAMERA, forward_optical_mount(1.65))
    return panorama


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    answer = call()
    return answer, (time.perf_counter() - begun) * 1e3


def _summary(milliseconds: list[float]) -> dict[str, float]:
    return {
        "median_ms": float(np.median(milliseconds)),
        "p90_ms": float(np.percentile(milliseconds, 90)),
        "min_ms": float(np.min(milliseconds)),
    }


def bench_network(name: str, options: BenchOptions, step: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Latency of each stage and of whole frames, parameters and multiply-adds of one architecture with fresh weights.

    `seen_tile` is ground + match, `new_tile` adds the map. Multiply-adds count convolutions, products and attention,
    not Fourier transforms. `step` is called after every pass.
    """
    chosen: Geometry = options.geometry if architecture(name).has_geometry else "corrected"
    network = build(name, geometry=chosen).eval()
    if isinstance(getattr(network, "backbone", None), FrozenDinov2):
        network.backbone = stand_in(network.backbone, options.backbone)  # type: ignore[assignment,arg-type]  # no module
    with torch.inference_mode():
        return _measured(name, chosen, network, options, step)


def _measured(
    name: str, geometry: Geometry, network: AnyNetwork, options: BenchOptions, step: Callable[[], None]
) -> dict[str, Any]:
    tile, ground = inputs(network)
    yaw = math.pi / 2 + torch.deg2rad(3.0 * (torch.arange(options.yaws) - options.yaws // 2)).float().unsqueeze(0)
    counters = {stage: FlopCounterMode(display=False) for stage in STAGES}
    with counters["map"]:
        maps = network.encode_map(tile)
    with counters["ground"]:
        seen = network.encode_ground(ground)
    with counters["match"]:
        network.match(seen, maps, yaw)
    taken: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for _ in range(options.runs):
        maps, elapsed = _timed(lambda: network.encode_map(tile))
        taken["map"].append(elapsed)
        seen, elapsed = _timed(lambda: network.encode_ground(ground))
        taken["ground"].append(elapsed)
        taken["match"].append(_timed(lambda seen=seen, maps=maps: network.match(seen, maps, yaw))[1])  # type: ignore[misc]
        step()
    frames = {"seen_tile": ("ground", "match"), "new_tile": STAGES}
    sums = {
        frame: [sum(taken[stage][i] for stage in parts) for i in range(options.runs)] for frame, parts in frames.items()
    }
    return {
        "name": name,
        "geometry": geometry,
        "yaws": options.yaws,
        "tile_px": list(tile.rgb.shape[-2:]),
        "ground_px": list(ground.pixels.shape[-2:]),
        "parameters": sum(p.numel() for p in network.parameters()),
        "stages": {
            stage: {**_summary(taken[stage]), "gmacs": counters[stage].get_total_flops() / 2e9} for stage in STAGES
        },
        **{frame: _summary(values) for frame, values in sums.items()},
    }


def bench(names: list[str], options: BenchOptions, step: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """`bench_network` for each name, with what it ran on."""
    threads = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        networks = [bench_network(name, options, step) for name in names]
    finally:
        torch.set_num_threads(threads)
    machine = {"processor": processor(), "threads": options.threads}
    return {
        "backend": "torch",
        "precision": "fp32",
        "backbone": "random weights" if options.backbone else "not included",
        "runs": options.runs,
        "machine": machine,
        "torch": torch.__version__,
        "networks": networks,
    }
