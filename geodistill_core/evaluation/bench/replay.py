# SPDX-License-Identifier: Apache-2.0
"""What a replay costs beyond inference, and how fast its images come in: CPU time of one core, on a made-up drive.

CPU time and not time of day, so that other programs on the machine count little.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geodistill_core.bags.drive_writer import DriveWriter
from geodistill_core.bags.images import decode_compressed
from geodistill_core.bags.reader import DriveReader, read_drive
from geodistill_core.bags.topics import StreamKind
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.bench.pictures import natural
from geodistill_core.evaluation.outcome import RESULTS
from geodistill_core.evaluation.replay import locate_frame, replay
from geodistill_core.evaluation.report.images import encode_jpeg
from geodistill_core.evaluation.result_bag import ResultBag, datum_of
from geodistill_core.evaluation.run_info import run_info
from geodistill_core.evaluation.threads import torch_threads
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.localization.readings import AttitudeReading, MotionReading
from geodistill_core.maps import RasterSource, open_map, write_mbtiles
from geodistill_core.models.checkpoint import load_checkpoint
from geodistill_core.runtime.device import processor
from geodistill_core.types import Estimate, GeoPoint, GroundImage, Prior, level_mount

IMAGE_PX = (1024, 2048)
OVERHEAD_LIMIT_MS = 5.0
INTAKE_LIMIT_HZ = 30.0
STEPS = 3
_DATUM = GeoPoint(47.5, 8.7)
_START_NS = 1_700_000_000_000_000_000
_SPEED_MPS, _MAP_M, _MAP_PX_M = 5.0, 240.0, 0.25
_PICTURES, _SEED = 6, 7


@dataclass(frozen=True, slots=True)
class ReplayBenchOptions:
    """A drive of `frames` panoramas, localized with `model`."""

    model: str = "tiny"
    frames: int = 1000

    def __post_init__(self) -> None:
        if not 5 <= self.frames <= 10_000:
            raise ConfigError(f"frames {self.frames} is outside 5..10000")


class _InstantLocalizer(Localizer):
    """Gives its first answer to every image, so that a replay of it costs what it costs beyond inference."""

    _answer: Estimate | None = None

    def locate(self, image: GroundImage, prior: Prior) -> Estimate:
        if self._answer is None:
            self._answer = super().locate(image, prior)
        return replace(self._answer, stamp_ns=image.stamp_ns)


def bench_replay(options: ReplayBenchOptions, step: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Milliseconds of CPU time a frame, by what they were spent on; `step` is called STEPS times.

    `overhead` is everything of a replay, from opening the bag to its last file, but for `decode` (JPEG to pixels) and
    inference. `intake` is decoding and projecting an image, nothing else.

    Raises:
        CheckpointError: the model cannot be used.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with tempfile.TemporaryDirectory(prefix="geodistill-bench-") as folder, torch_threads(1):
            bag = _write_drive(Path(folder), options.frames)
            step()
            network, manifest = load_checkpoint(options.model)
            source = open_map(bag.with_suffix(".mbtiles"))
            localizer = _InstantLocalizer(network, manifest, source, LocalizerConfig())
            first = next(iter(read_drive(bag).frames()))
            locate_frame(first, localizer)
            intake_s, decode_s = _intake(read_drive(bag), localizer)
            step()
            whole_s = _replayed(bag, localizer)
            step()
    finally:
        cv2.setNumThreads(threads)
    overhead_ms = (whole_s / options.frames - decode_s) * 1e3
    return {
        "image_px": list(IMAGE_PX),
        "frames": options.frames,
        "model": manifest.name,
        "machine": {"processor": processor(), "threads": 1},
        "milliseconds_a_frame": {"overhead": overhead_ms, "decode": decode_s * 1e3, "intake": intake_s * 1e3},
        "intake_hz": 1.0 / intake_s,
        "limits": {"overhead_ms": OVERHEAD_LIMIT_MS, "intake_hz": INTAKE_LIMIT_HZ},
        "within_limits": overhead_ms <= OVERHEAD_LIMIT_MS and 1.0 / intake_s >= INTAKE_LIMIT_HZ,
    }


def _replayed(bag: Path, localizer: Localizer) -> float:
    """CPU seconds of a whole replay as `replay_drive` does it, without loading the model."""
    folder = bag.parent / "out"
    before_s = time.process_time()
    reader = read_drive(bag)
    info = run_info(reader, localizer, bag.with_suffix(".mbtiles"), "offline")
    with ResultBag(folder / RESULTS, datum_of(reader)) as record:
        outcome = replay(reader, localizer, info, record=record)
    outcome.save(folder, localizer.source)
    return time.process_time() - before_s


def _intake(reader: DriveReader, localizer: Localizer) -> tuple[float, float]:
    """Mean CPU seconds of decoding and projecting an image, and of decoding alone."""
    rolls, whole, decoding = np.random.default_rng(_SEED), [], []
    for raw in reader.source.messages([reader.topics[StreamKind.IMAGE]]):
        message, tilt = reader.source.decode(raw), float(rolls.normal(0.0, 0.01))
        before_s = time.process_time()
        rgb = decode_compressed(message, panorama=True)
        decoded_s = time.process_time()
        localizer.network.prepare_ground(GroundImage(rgb, 1, reader.mount(), roll_rad=tilt, pitch_rad=-tilt))
        whole.append(time.process_time() - before_s)
        decoding.append(decoded_s - before_s)
    return float(np.mean(whole)), float(np.mean(decoding))


def _write_drive(folder: Path, frames: int) -> Path:
    """A drive to and fro over made-up imagery: images at 10 Hz with the spectrum of real ones, IMU at 100 Hz,
    odometry at 50 Hz, GNSS at 5 Hz."""
    rng, local = np.random.default_rng(_SEED), LocalFrame(_DATUM)
    side = round(_MAP_M / _MAP_PX_M)
    source = RasterSource(natural(rng, side, side), _DATUM, _MAP_PX_M, "made up")
    bag = folder / "drive.mcap"
    write_mbtiles(bag.with_suffix(".mbtiles"), source, source.bounds(), 19, attribution="made up", image_format="jpg")
    pictures = [encode_jpeg(natural(rng, *IMAGE_PX), 90) for _ in range(_PICTURES)]
    with DriveWriter(bag, level_mount(2.0), datum=_DATUM, map_name="drive.mbtiles") as drive:
        for number in range(frames * 10):  # 100 Hz
            stamp_ns = _START_NS + number * 10_000_000
            truth = local.point(30.0 * math.sin(_SPEED_MPS * number * 0.01 / 30.0), 0.0)
            roll, pitch = rng.normal(0.0, 0.01, 2)
            drive.attitude(AttitudeReading(stamp_ns, float(roll), float(pitch), 0.0, 0.05))
            if number % 2 == 0:
                drive.motion(MotionReading(stamp_ns, _SPEED_MPS, 0.0))
            if number % 20 == 0:
                drive.fix(stamp_ns, truth, 5.0)
            if number % 10 == 0:
                drive.truth(stamp_ns, Truth(truth.latitude, truth.longitude, 0.0))
                drive.image(stamp_ns, pictures[number // 10 % _PICTURES])
    return bag
