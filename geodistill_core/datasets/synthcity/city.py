# SPDX-License-Identifier: Apache-2.0
"""A city: geometry, ground textures and drivable lanes, built once and kept for the next pair."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from threading import Lock

import cv2
import numpy as np

from geodistill_core.datasets.synthcity import bake, roofs, routes
from geodistill_core.datasets.synthcity.blocks import BUILDING_COLUMNS, TREE_COLUMNS, furnish
from geodistill_core.datasets.synthcity.layout import Network, lay_streets
from geodistill_core.datasets.synthcity.paint import Paint, paint_streets
from geodistill_core.datasets.synthcity.streams import stream
from geodistill_core.datasets.synthcity.styles import STYLES, Style
from geodistill_core.datasets.synthcity.terrain import road_field
from geodistill_core.datasets.synthcity.variations import VARIATIONS
from geodistill_core.errors import ConfigError
from geodistill_core.types import Array, GeoPoint

MAP_MARGIN_M = 62.0
CROSSING_REACH_M = 20.0
_KEPT_MAPS = 2
_KEPT_AREA_SQ_M = 8 * 320.0**2  # about 100 MB for each city of 320 m


@dataclass(slots=True, eq=False)
class City:
    """A procedural city on its own ENU plane: metres east and north of `datum`, square of `size_m`, north up.

    `buildings`, `trees`, `poles`, `slots` are float64 tables (columns: see blocks.py). `ground` is the ground
    view's texture pyramid (uint8 [H, W, 4], 0.125, 0.25, 0.5 and 1 m), `kerbs` (uint8, 0.125 m) rises through
    127.5 where the ground steps up by a kerb.
    """

    style: Style
    seed: int
    size_m: float
    datum: GeoPoint
    network: Network
    paint: Paint
    surface: bake.Surface
    buildings: Array
    trees: Array
    poles: Array
    slots: Array
    lanes: Array
    ground: tuple[Array, ...]
    kerbs: Array
    _maps: dict[float, Array] = field(default_factory=dict)

    def overhead_bake(self, change: float) -> Array:
        """The map's texture (uint8 [H, W, 4], 0.125 m), a fraction `change` of things outdated."""
        if change not in self._maps:
            while len(self._maps) >= _KEPT_MAPS:
                self._maps.pop(next(iter(self._maps)))
            self._maps[change] = _bake_overhead(self, change)
        return self._maps[change]

    def lean(self) -> Array:
        """Displacement of high things in the map, metres per metre of height (east, north)."""
        rng = stream(self.style.name, self.seed, "lean")
        angle, size = rng.uniform(0, 2 * math.pi), rng.uniform(0.0, 0.12)
        return np.array([math.cos(angle), math.sin(angle)]) * size

    def route(self, seed: int, length_m: float) -> Array:
        """A drive along lanes: [N, 2] metres east, north, 0.5 m apart, smooth, turning at crossings, never
        leaving the part of the city whose surroundings are mapped. Raises ConfigError when the city has no
        such lane."""
        rng = stream(self.style.name, self.seed, "route", seed)
        return routes.drive(self.network, self.style, rng, length_m, self.size_m / 2 - MAP_MARGIN_M)

    def road_kind(self, east_m: float, north_m: float) -> str:
        """`crossing` near where streets meet, else `avenue` or `street` by the nearest one's rank."""
        here = np.array([east_m, north_m])
        if float(np.hypot(*(self.network.nodes - here).T).min()) <= CROSSING_REACH_M:
            return "crossing"
        nearest = min(self.network.roads, key=lambda road: float(np.hypot(*(road.points - here).T).min()))
        return "avenue" if nearest.major else "street"

    def lane_pose(self, rng: np.random.Generator) -> tuple[float, float, float]:
        """A random place on a lane whose surroundings are mapped: east, north, yaw of the lane."""
        return routes.lane_pose(self.lanes, rng, self.size_m / 2 - MAP_MARGIN_M)


_cities: dict[tuple[str, int, float], City] = {}
_lock = Lock()


def _bake_overhead(city: City, change: float) -> Array:
    rng = stream(city.style.name, city.seed, "overhead")
    skip = stream(city.style.name, city.seed, "changed markings").random(city.paint.group_count + 1) < change
    image = bake.bake_ground(city.surface, city.paint, skip, city.style, rng, city.size_m, overhead=True)
    angle = rng.uniform(0, 2 * math.pi)
    light, lean = np.array([math.cos(angle), math.sin(angle)]), city.lean()
    small = city.buildings[:, 3] * city.buildings[:, 4] < 60.0
    buildings = city.buildings[~(small & (city.buildings[:, 14] < change))]
    roofs.draw_roofs(image, buildings, lean, rng, city.size_m, light)
    trees = city.trees.copy()
    other = trees[:, 6] < change
    trees[other, :2] += stream(city.style.name, city.seed, "changed trees").normal(0, 6.0, (int(other.sum()), 2))
    trees = trees[~other | (trees[:, 6] > change / 2)]
    roofs.draw_crowns(image, trees, lean, rng, city.size_m, light)
    return image


def _pyramid(image: Array) -> tuple[Array, ...]:
    levels = [image]
    for _ in range(3):
        side = levels[-1].shape[0] // 2
        levels.append(cv2.resize(levels[-1], (side, side), interpolation=cv2.INTER_AREA))
    return tuple(levels)


def _table(rows: list[list[float]], columns: int) -> Array:
    return np.array(rows, dtype=np.float64).reshape(len(rows), columns)


def _style(name: str) -> Style:
    found = STYLES.get(name) or VARIATIONS.get(name)
    if found is None:
        raise ConfigError(f"city style {name!r} is unknown; choose one of {', '.join(STYLES)}")
    return found


def _build(name: str, seed: int, size_m: float) -> City:
    style = _style(name)
    rng = stream(name, seed, "datum")
    datum = GeoPoint(float(np.degrees(np.arcsin(rng.uniform(-0.86, 0.86)))), float(rng.uniform(-180, 180)))
    network = lay_streets(style, stream(name, seed, "streets"), size_m)
    paint = paint_streets(network, style, stream(name, seed, "paint"))
    distance, medians = road_field(network, style, size_m)
    things = furnish(network, style, stream(name, seed, "blocks"), distance, paint, size_m)
    surface = bake.draw_surface(distance, medians, things.patches, stream(name, seed, "wear"), size_m)
    nothing = np.zeros(paint.group_count + 1, bool)
    ground = bake.bake_ground(surface, paint, nothing, style, stream(name, seed, "ground"), size_m, overhead=False)
    kerbs = np.clip(127.5 + (surface.fine_distance() - 0.06) * 255.0, 0, 255).astype(np.uint8)
    kerbs[surface.material != 0] = 0
    return City(
        style, seed, size_m, datum, network, paint, surface,
        _table(things.buildings, BUILDING_COLUMNS), _table(things.trees, TREE_COLUMNS),
        _table(things.poles, 4),
        _table([list(s) for s in things.slots], 3), routes.lane_segments(network, style), _pyramid(ground),
        kerbs,
    )  # fmt: skip


def build_city(style: str, seed: int, size_m: float = 320.0) -> City:
    """The city of a style and seed; recent ones are cached. ConfigError for unknown styles and bad sizes."""
    _style(style)
    if not 240.0 <= size_m <= 1000.0 or size_m % 1.0:
        raise ConfigError(f"city size {size_m} m must be a whole number of metres in 240..1000")
    key = (style, int(seed), float(size_m))
    with _lock:
        city = _cities.pop(key, None) or _build(*key)
        _cities[key] = city
        while len(_cities) > 1 and sum(k[2] ** 2 for k in _cities) > _KEPT_AREA_SQ_M:
            _cities.pop(next(iter(_cities)))
    return city
