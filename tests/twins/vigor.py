# SPDX-License-Identifier: Apache-2.0
"""A VIGOR tree of a simulated world: panoramas and tiles of known places, named and labelled as VIGOR's are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from geodistill_core.datasets.synthcity import (
    CameraRig,
    Conditions,
    GroundPose,
    build_city,
    map_tile,
    render_ground,
)
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import GeoPoint

CITIES = ("NewYork", "Seattle", "SanFrancisco", "Chicago")
# Chosen here, so that a label read with another resolution than the city's own would miss.
METRES_PER_PIXEL = {"NewYork": 0.113248, "Seattle": 0.100817, "SanFrancisco": 0.118141, "Chicago": 0.111262}
DATUMS = {
    "NewYork": GeoPoint(40.75, -73.98),
    "Seattle": GeoPoint(47.61, -122.33),
    "SanFrancisco": GeoPoint(37.77, -122.42),
    "Chicago": GeoPoint(41.88, -87.63),
}
LISTS = ("same_area_balanced_train", "same_area_balanced_test", "pano_label_balanced")
RIG = CameraRig("panorama", 512, 256)
CLEAR = Conditions(cars=False)
_TILE_PX = 640
_FAR_PX = 240


@dataclass(frozen=True)
class Placed:
    """What was rendered: the camera from its tile's centre, and the line that says so."""

    city: str
    line: str
    east_m: float
    north_m: float


def write_vigor_twin(root: Path, per_city: int = 2, cities: tuple[str, ...] = CITIES) -> list[Placed]:
    """`per_city` panoramas of each city; the last is in the same-area test list, the others in its training list.

    One simulated town stands in all four places: pictures of two cities are of one town, their names far apart.
    """
    placed = []
    for number, name in enumerate(cities):
        found = [_sample(root / name, name, number * per_city + index) for index in range(per_city)]
        lines = [one.line for one in found]
        _write_lists(root, name, lines)
        placed += found
    return placed


def _write_lists(root: Path, city: str, lines: list[str]) -> None:
    parts = dict(zip(LISTS, (lines[:-1], lines[-1:], lines), strict=True))
    for folder, suffix in (("splits__corrected", "__corrected"), ("splits", "")):
        (root / folder / city).mkdir(parents=True)
        for name, held in parts.items():
            (root / folder / city / f"{name}{suffix}.txt").write_text("".join(f"{line}\n" for line in held))


def _sample(folder: Path, name: str, index: int) -> Placed:
    """A camera on a lane, its positive tile beside it, and three tiles on whose rim it lies."""
    city = build_city("midtown", 500, 320.0)
    rng = np.random.default_rng([500, index])
    east, north, _ = city.lane_pose(rng)
    scale, frame = METRES_PER_PIXEL[name], LocalFrame(DATUMS[name])
    # Well off both axes, so that an exchanged or flipped sign is metres away.
    row, column = (float(rng.choice((-1, 1)) * rng.integers(60, 110)) for _ in range(2))
    far = tuple(int(-math.copysign(_FAR_PX, value)) for value in (row, column))
    # One wide view, of which the four tiles are windows.
    middle = east + (column + far[1] / 2) * scale, north + (row + far[0] / 2) * scale
    wide = map_tile(city, *middle, (_TILE_PX + _FAR_PX) * scale, scale, CLEAR).rgb
    fields = []
    for down, left in ((0, 0), (0, far[1]), (far[0], 0), far):
        point = frame.point(east + (column + left) * scale, north + (row + down) * scale)
        tile = f"satellite_{point.latitude:.12f}_{point.longitude:.12f}.png"
        top, first = (_FAR_PX + far[0]) // 2 - down, (_FAR_PX - far[1]) // 2 + left
        _write(folder / "satellite" / tile, wide[top : top + _TILE_PX, first : first + _TILE_PX])
        fields.append(f"{tile} {row + down:.1f} {column + left:.1f}")
    here = frame.point(east, north)
    panorama = f"twin{index},{here.latitude:.6f},{here.longitude:.6f},.jpg"
    _write(folder / "panorama" / panorama, render_ground(city, GroundPose(east, north, math.pi / 2), RIG, CLEAR))
    return Placed(name, " ".join([panorama, *fields]), -column * scale, -row * scale)


def _write(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, quality=95, compress_level=1)
