# SPDX-License-Identifier: Apache-2.0
"""From JPEG to pose on each back end beside plain torch, with the tile in the cache: one run, frames taken in turn.

Other programs slow a machine from one second to the next: only ratios of one run mean much, and processor time, which
counts every thread, means more than the time of day.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from geodistill_core.bags.images import decode_compressed
from geodistill_core.errors import ConfigError, RuntimeBackendError
from geodistill_core.evaluation.bench.networks import inputs_image
from geodistill_core.evaluation.bench.pictures import natural
from geodistill_core.evaluation.report.images import encode_jpeg
from geodistill_core.evaluation.threads import torch_threads
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.maps import RasterSource
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.checkpoint import load_checkpoint, shipped_checkpoints
from geodistill_core.models.manifest import Manifest, Probe
from geodistill_core.models.registry import ARCHITECTURES, build
from geodistill_core.runtime.device import processor
from geodistill_core.runtime.ladder import Choice, RuntimeOptions, Work, compiled
from geodistill_core.runtime.profile import Profile
from geodistill_core.types import Array, Estimate, GeoPoint, GroundImage, Prior

LATENCY_LIMIT_MS = 40.0
_HERE, _MAP_M, _SEED = GeoPoint(47.5, 8.7), 160.0, 7


@dataclass(frozen=True, slots=True)
class RuntimeBenchOptions:
    """A shipped checkpoint, a checkpoint folder, or an architecture with fresh weights; `runtimes` are back ends, each
    with a precision after a colon if not its own choice. `sigma_yaw_deg` sets how many headings are tried."""

    model: str = "tiny"
    runtimes: tuple[str, ...] = ("onnxruntime", "openvino", "openvino:int8")
    frames: int = 30
    threads: int = 2
    sigma_yaw_deg: float = 10.0
    cache: Path | None = None
    build_limit_s: float = field(default=1800.0)

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= 1000:
            raise ConfigError(f"frames {self.frames} is outside 1..1000")
        for runtime in self.runtimes:
            self.runtime(runtime)

    def runtime(self, name: str) -> RuntimeOptions:
        """The options that a name such as `openvino:bf16` stands for; raises ConfigError for others."""
        return RuntimeOptions.named(name, cache=self.cache, build_limit_s=self.build_limit_s)


def bench_runtimes(options: RuntimeBenchOptions, step: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Milliseconds from image to pose, the ratio to plain torch and the difference of the poses, by back end.

    `step` is called once for each back end that is built and once for each round of frames.

    Raises:
        CheckpointError: the model cannot be used.
    """
    with torch_threads(options.threads):
        network, manifest = _network(options.model)
        arrived = _jpeg(network)
        image = arrived()
        prior = Prior(_HERE.latitude, _HERE.longitude, 8.0, 0.4, np.radians(options.sigma_yaw_deg))
        source = RasterSource(natural(np.random.default_rng(_SEED), 640, 640), _HERE, _MAP_M / 640, "made up")
        eager = Localizer(network, manifest, source, LocalizerConfig())
        profile = Profile.of(network, image, eager.config)
        localizers, choices, failures = {"torch": eager}, {"torch": Choice()}, {}
        for name in options.runtimes:
            try:
                made, choices[name] = compiled(Work(network, manifest, profile, options.runtime(name)))
            except RuntimeBackendError as error:
                failures[name] = str(error)
            else:
                localizers[name] = Localizer(made, manifest, source, eager.config)
            step()
        answers = {name: localizer.locate(image, prior) for name, localizer in localizers.items()}
        taken_ms = _in_turn(localizers, arrived, prior, options.frames, step)
    return {
        "model": manifest.name,
        "machine": {"processor": processor(), "threads": options.threads},
        "torch": torch.__version__,
        "frames": options.frames,
        "headings": len(answers["torch"].heatmap.yaw_enu_rad),
        "decoded_px": list(image.rgb.shape[:2]),
        "runtimes": [_row(name, choices[name], taken_ms, answers) for name in localizers],
        "failures": failures,
        "limits": {"image_to_pose_ms": LATENCY_LIMIT_MS},
    }


def _jpeg(network: AnyNetwork) -> Callable[[], GroundImage]:
    """What decodes a picture as the node does, anew at each call."""
    image = inputs_image(network)
    picture = natural(np.random.default_rng(_SEED), *image.rgb.shape[:2])
    message = SimpleNamespace(format="jpeg", data=np.frombuffer(encode_jpeg(picture), np.uint8))
    return lambda: replace(image, rgb=decode_compressed(message, panorama=image.camera is None))


def _in_turn(
    localizers: dict[str, Localizer],
    arrived: Callable[[], GroundImage],
    prior: Prior,
    frames: int,
    step: Callable[[], None],
) -> dict[str, Array]:
    """Milliseconds of time of day and of processor time, for each frame."""
    taken_ms: dict[str, list[tuple[float, float]]] = {name: [] for name in localizers}
    for _ in range(frames):
        for name, localizer in localizers.items():
            before_s = time.perf_counter(), time.process_time()
            localizer.locate(arrived(), prior)
            after_s = time.perf_counter(), time.process_time()
            taken_ms[name].append(((after_s[0] - before_s[0]) * 1e3, (after_s[1] - before_s[1]) * 1e3))
        step()
    return {name: np.array(taken) for name, taken in taken_ms.items()}


def _row(name: str, choice: Choice, taken_ms: dict[str, Array], answers: dict[str, Estimate]) -> dict[str, Any]:
    (own, own_cpu), (plain, plain_cpu) = taken_ms[name].T, taken_ms["torch"].T
    answer, reference = answers[name], answers["torch"]
    east_m, north_m = LocalFrame(reference.point).to_enu(answer.latitude, answer.longitude)
    return {
        "name": name,
        **choice.facts(),
        "median_ms": float(np.median(own)),
        "p90_ms": float(np.percentile(own, 90)),
        "min_ms": float(own.min()),
        "times_faster": float(np.median(plain / own)),
        "cpu_ms": float(np.median(own_cpu)),
        "times_less_cpu": float(np.median(plain_cpu / own_cpu)),
        "position_difference_m": float(np.hypot(east_m, north_m)),
        "heatmap_difference": float(np.abs(answer.heatmap.probability - reference.heatmap.probability).max()),
    }


def _network(model: str) -> tuple[AnyNetwork, Manifest]:
    if model not in ARCHITECTURES or model in shipped_checkpoints():
        return load_checkpoint(model)
    torch.manual_seed(_SEED)
    network = build(model).eval()
    manifest = Manifest(
        name=f"{model}, fresh weights",
        architecture=model,
        inputs={},
        metres_per_pixel=network.metres_per_pixel,
        preprocessing="none",
        training={},
        calibration=None,
        sha256="0" * 64,
        probe=Probe(seed=0, expected=(0.0,) * 8, tolerance=0.1),
        licence="none",
    )
    return network, manifest
