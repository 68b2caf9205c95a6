# SPDX-License-Identifier: Apache-2.0
"""Rendered SynthCity on disk: one folder of memory-mapped arrays a city, written once, as one network reads them.

Labels lie in a file of their own (`truth.npy`), which only supervised training and evaluation open.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.progress import Progress

from geodistill_core.datasets.synthcity import (
    LEVELS,
    WORLD_VERSION,
    build_city,
    draw_conditions,
    render_overhead,
)
from geodistill_core.errors import DatasetError
from geodistill_core.models.registry import build
from geodistill_core.types import Array, GeoPoint, GroundImage, MapTile
from geodistill_training.data.examples import Example, prepare
from geodistill_training.data.synth_stream import stream_example
from geodistill_training.recipe.data import SynthData
from geodistill_training.recipe.network import NetworkRecipe

FLAT_TILE_METRES_PER_PIXEL = 0.25
FLAT_SOURCE_METRES_PER_PIXEL = 0.15
FLAT_SOURCE_PX = 512
_FLAT_STREAM = 77

Kind = Literal["pairs", "flats"]


@dataclass(frozen=True, slots=True)
class CityJob:
    """One city to render."""

    kind: Kind
    style: str
    seed: int
    path: Path


def sample_flat(style: str, seed: int, index: int, tile_extent_m: float) -> tuple[Array, Array]:
    """Two pictures of one place under different light, seasons and cars: tile [N, N, 3] and a finer, wider one."""
    city = build_city(style, seed)
    rng = np.random.default_rng([seed, index, _FLAT_STREAM])
    level = LEVELS["standard"]
    reach = city.size_m / 2 - tile_extent_m / 2
    east, north, _ = city.lane_pose(rng)
    east, north = np.clip(np.array([east, north]) + rng.uniform(-8, 8, 2), -reach, reach)
    seen = draw_conditions(level, rng, True)
    tile = render_overhead(city, east, north, tile_extent_m, FLAT_TILE_METRES_PER_PIXEL, seen, level.change)
    extent_m = FLAT_SOURCE_PX * FLAT_SOURCE_METRES_PER_PIXEL
    other = draw_conditions(level, rng, True)
    source = render_overhead(city, east, north, extent_m, FLAT_SOURCE_METRES_PER_PIXEL, other)
    return tile[0], source[0]


def _rows(found: list[tuple[Example, Array]]) -> dict[str, Array]:
    examples = [example for example, _ in found]
    columns: dict[str, list[Any]] = {
        "tile": [e.tile for e in examples],
        "valid": [e.valid for e in examples],
        "metres_per_pixel": [np.float32(e.metres_per_pixel) for e in examples],
        "pixels": [e.pixels for e in examples],
        "visible": [e.visible for e in examples],
        "mount": [e.mount for e in examples],
        "yaw_enu_rad": [np.float32(e.yaw_enu_rad) for e in examples],
        "place_m": [place.astype(np.float32) for _, place in found],
        "truth": [np.asarray(e.truth, np.float32) for e in examples],
    }
    if examples[0].intrinsics is not None:
        columns["intrinsics"] = [np.asarray(e.intrinsics) for e in examples]
    return {key: np.stack(values) for key, values in columns.items()}


def render_city(job: CityJob, data: SynthData, network: NetworkRecipe) -> None:
    """Render one city's arrays beside their place and move them there in one step; what another process put stays."""
    if job.kind == "pairs":
        reader = build(network.architecture, network.geometry, **network.arguments)
        rows = _rows([stream_example(data, reader, job.style, job.seed, k) for k in range(data.pairs_per_city)])
    else:
        flats = [sample_flat(job.style, job.seed, k, data.tile_extent_m) for k in range(data.flats_per_city)]
        rows = {"tile": np.stack([tile for tile, _ in flats]), "source": np.stack([source for _, source in flats])}
    job.path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{job.path.name}.", dir=job.path.parent) as temporary:
        made = Path(temporary) / "city"
        made.mkdir()
        for key, values in rows.items():
            np.save(made / f"{key}.npy", values)
        try:
            os.replace(made, job.path)
        except OSError:
            if not job.path.is_dir():
                raise


def _reading(network: NetworkRecipe) -> str:
    """A hash of how a network reads images and tiles; networks that differ in weights or widths only share a cache."""
    reader = build(network.architecture, network.geometry, **network.arguments)
    rng = np.random.default_rng(0)
    size = reader.map_size_px or round(64.0 / reader.metres_per_pixel)
    rgb = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    tile = MapTile(rgb, np.ones((size, size), bool), GeoPoint(0.0, 0.0), reader.metres_per_pixel, "")
    image = GroundImage.panorama(rng.integers(0, 256, (256, 512, 3), dtype=np.uint8), height_m=2.0)
    example = prepare(reader, image, tile, 0.0, None, "")
    return hashlib.sha256(example.tile.tobytes() + example.pixels.tobytes() + example.mount.tobytes()).hexdigest()


def city_jobs(data: SynthData, network: NetworkRecipe, root: Path, kind: Kind) -> list[CityJob]:
    """Every city of a data recipe, styles interleaved; the folder's name tells what was rendered for whom."""
    digest = hashlib.sha256(f"{data.rendering()}{_reading(network)}".encode()).hexdigest()[:12]
    folder = root.resolve() / f"synthcity-v{WORLD_VERSION}-{digest}" / kind
    seeds = range(data.first_seed, data.first_seed + data.cities_per_style)
    return [CityJob(kind, style, seed, folder / f"{style}-{seed:05d}") for seed in seeds for style in data.styles]


def render_cache(data: SynthData, network: NetworkRecipe, root: Path, kind: Kind, workers: int) -> list[Path]:
    """Render what is missing (resumable) and return the cities' folders in order."""
    jobs = city_jobs(data, network, root, kind)
    missing = [job for job in jobs if not job.path.is_dir()]
    if missing:
        spawn = multiprocessing.get_context("spawn")
        console = Console(stderr=True)
        shown = Progress(console=console, disable=not console.is_terminal)
        with ProcessPoolExecutor(workers, mp_context=spawn) as pool, shown as progress:
            task = progress.add_task(f"rendering {kind}", total=len(jobs), completed=len(jobs) - len(missing))
            for done in as_completed([pool.submit(render_city, job, data, network) for job in missing]):
                done.result()
                progress.advance(task)
    return [job.path for job in jobs]


def open_city(folder: Path, labels: bool) -> dict[str, Array]:
    """A city's arrays, memory-mapped; the truth only if labels were asked for.

    Raises:
        DatasetError: an array is missing or damaged.
    """
    paths = [path for path in sorted(folder.glob("*.npy")) if labels or path.stem != "truth"]
    if not paths:
        raise DatasetError(f"{folder} holds no arrays; remove it and it is rendered again")
    return {path.stem: _opened(path) for path in paths}


def _opened(path: Path) -> Array:
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); remove its folder and it is rendered again") from error
