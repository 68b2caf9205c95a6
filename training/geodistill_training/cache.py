# SPDX-License-Identifier: Apache-2.0
"""Rendered training cities on disk: one folder of memory-mapped arrays a city, written once.

A *pair* is a ground strip with its heading prior and the tile around its position prior; where in the tile it was
taken is not stored. A *flat* is two overhead pictures of one place under different light, for the pretext.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.progress import Progress

from geodistill_core.datasets.synthcity import (
    LEVELS,
    TRAIN_STYLES,
    WORLD_VERSION,
    Level,
    build_city,
    draw_conditions,
    render_overhead,
    sample_pair,
)
from geodistill_core.geometry.ground_plane import camera_in_level
from geodistill_core.models.strip import StripGeometry, ground_strip
from geodistill_core.types import Array
from geodistill_training.recipe import DataRecipe

TILE_METRES_PER_PIXEL = 0.25
FLAT_METRES_PER_PIXEL = 0.15
_HEADING_SIGMA_DEG = 2.0
_FLAT_STREAM = 77


def training_levels(data: DataRecipe) -> tuple[Level, Level]:
    """Clear and adverse conditions, with the position uniform in the search range and a fair compass."""
    common: dict[str, Any] = {
        "position_m": data.position_range_m,
        "uniform_position": True,
        "clip_m": data.position_range_m * math.sqrt(2),
        "sigma_yaw_deg": _HEADING_SIGMA_DEG,
        "uniform_yaw_deg": 0.0,
        "canyon_probability": 0.0,
    }
    return replace(LEVELS["standard"], name="clear", **common), replace(LEVELS["hard"], name="adverse", **common)


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
    tile = render_overhead(
        city,
        east,
        north,
        tile_extent_m,
        TILE_METRES_PER_PIXEL,
        draw_conditions(level, rng, True),
        level.change,
    )
    source = render_overhead(
        city,
        east,
        north,
        512 * FLAT_METRES_PER_PIXEL,
        FLAT_METRES_PER_PIXEL,
        draw_conditions(level, rng, True),
    )
    return tile[0], source[0]


def _pairs(job: CityJob, data: DataRecipe) -> dict[str, list[Array]]:
    geometry = StripGeometry()
    clear, adverse = training_levels(data)
    rows: dict[str, list[Array]] = {key: [] for key in ("strip", "visible", "mount", "yaw", "tile")}
    for index in range(data.pairs_per_city):
        level = adverse if index % 4 == 3 else clear
        pair = sample_pair(
            job.style,
            job.seed,
            index,
            level,
            tile_extent_m=data.tile_extent_m,
            metres_per_pixel=TILE_METRES_PER_PIXEL,
        )
        strip, visible = ground_strip(pair.ground, geometry)
        rows["strip"].append(strip)
        rows["visible"].append((visible * 255).astype(np.uint8))
        rows["mount"].append(camera_in_level(pair.ground)[1].astype(np.float32))
        rows["yaw"].append(np.array(pair.prior.yaw_enu_rad, np.float32))
        rows["tile"].append(pair.tile.rgb)
    return rows


def _flats(job: CityJob, data: DataRecipe) -> dict[str, list[Array]]:
    samples = [sample_flat(job.style, job.seed, index, data.tile_extent_m) for index in range(data.flats_per_city)]
    return {"flat": [tile for tile, _ in samples], "flat_source": [source for _, source in samples]}


def render_city(job: CityJob, data: DataRecipe) -> None:
    """Render one city's arrays beside their place and move them there in one step."""
    rows = _pairs(job, data) if job.kind == "pairs" else _flats(job, data)
    temporary = job.path.with_name(f".{job.path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for key, values in rows.items():
        np.save(temporary / f"{key}.npy", np.stack(values))
    os.replace(temporary, job.path)


def city_jobs(data: DataRecipe, root: Path, kind: Kind) -> list[CityJob]:
    """Every city of a data recipe, styles interleaved."""
    digest = hashlib.sha256(data.model_dump_json().encode()).hexdigest()[:12]
    folder = root.resolve() / f"synthcity-v{WORLD_VERSION}-{digest}" / kind
    seeds = range(data.first_seed, data.first_seed + data.cities_per_style)
    return [CityJob(kind, style, seed, folder / f"{style}-{seed:05d}") for seed in seeds for style in TRAIN_STYLES]


def render_cache(data: DataRecipe, root: Path, kind: Kind, workers: int) -> list[Path]:
    """Render what is missing (resumable) and return the cities' folders in order."""
    jobs = city_jobs(data, root, kind)
    jobs[0].path.parent.mkdir(parents=True, exist_ok=True)
    missing = [job for job in jobs if not job.path.is_dir()]
    if missing:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=spawn) as pool, Progress() as progress:
            task = progress.add_task(f"rendering {kind}", total=len(jobs), completed=len(jobs) - len(missing))
            for done in as_completed([pool.submit(render_city, job, data) for job in missing]):
                done.result()
                progress.advance(task)
    return [job.path for job in jobs]


def open_city(folder: Path) -> dict[str, Array]:
    """A city's arrays, memory-mapped."""
    return {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}
