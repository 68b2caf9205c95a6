# SPDX-License-Identifier: Apache-2.0
"""The street network: a grid, bent, shaken and thinned until it looks like one kind of city."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from geodistill_core.datasets.synthcity import polyline
from geodistill_core.datasets.synthcity.styles import Style
from geodistill_core.types import Array

PARKING_WIDTH_M = 2.2
BIKE_WIDTH_M = 1.6
GUTTER_M = 0.3


@dataclass(slots=True)
class Road:
    """A street between two crossings: centre line [N, 2] in metres, about 1.5 m apart, and its cross
    section."""

    points: Array
    nodes: tuple[int, int]
    major: bool
    lanes: int
    lane_width_m: float
    median_m: float
    bike: bool
    parking: bool
    half_width_m: float
    trims_m: list[float] = field(default_factory=lambda: [0.0, 0.0])
    crossings: list[bool] = field(default_factory=lambda: [False, False])
    crosswalks: list[bool] = field(default_factory=lambda: [False, False])

    @property
    def length_m(self) -> float:
        """Length of the centre line."""
        return float(polyline.arc_lengths(self.points)[-1])

    def lane_offset_m(self, lane: int) -> float:
        """Distance of a lane's centre from the centre line."""
        return self.median_m / 2 + self.lane_width_m * (lane + 0.5)


@dataclass(slots=True)
class Network:
    """Crossings [K, 2] in metres and the roads between them."""

    nodes: Array
    roads: list[Road]
    incident: dict[int, list[tuple[int, int]]]  # node -> [(road index, which end)]


def _warp(style: Style, rng: np.random.Generator) -> Callable[[Array], Array]:
    """A smooth invertible displacement of the plane."""
    angles = rng.uniform(0, 2 * math.pi, 4)
    phases = rng.uniform(0, 2 * math.pi, 4)
    waves = 2 * math.pi / rng.uniform(190, 380, 4)
    amplitude = style.warp_m * rng.uniform(0.6, 1.0)

    def bend(p: Array) -> Array:
        out = p.astype(float).copy()
        for a, f, k in zip(angles, phases, waves, strict=True):
            along = p[:, 0] * math.cos(a) + p[:, 1] * math.sin(a)
            push = 0.6 * amplitude * np.sin(k * along + f)
            out[:, 0] -= math.sin(a) * push
            out[:, 1] += math.cos(a) * push
        return out

    return bend


def _positions(style: Style, rng: np.random.Generator, reach: float) -> Array:
    steps = rng.uniform(*style.block_m, size=int(2 * reach / style.block_m[0]) + 4)
    start = -reach - rng.uniform(0, style.block_m[1])
    return np.asarray(start + np.cumsum(steps))


def _road(style: Style, points: Array, nodes: tuple[int, int], major: bool) -> Road:
    lanes = style.major_lanes if major else style.minor_lanes
    median = style.median_m if major else 0.0
    bike = style.bike_lane and (major or style.median_m == 0.0)
    parking = style.parking_lane
    half = median / 2 + lanes * style.lane_width_m + GUTTER_M
    half += (BIKE_WIDTH_M if bike else 0.0) + (PARKING_WIDTH_M if parking else 0.0)
    return Road(points, nodes, major, lanes, style.lane_width_m, median, bike, parking, half)


def lay_streets(style: Style, rng: np.random.Generator, size_m: float) -> Network:
    """Streets of a city of `size_m`, reaching a little beyond its edge so that every road runs off the
    map."""
    reach = 0.75 * size_m + 60.0
    xs, ys = _positions(style, rng, reach), _positions(style, rng, reach)
    if style.twin_m > 0.0:
        ys = np.sort(np.concatenate([ys, ys + style.twin_m]))
    bend = _warp(style, rng)
    theta = rng.uniform(0, math.pi / 2)
    rotation = np.array([[math.cos(theta), math.sin(theta)], [-math.sin(theta), math.cos(theta)]])
    gx, gy = np.meshgrid(xs, ys)
    shake = style.jitter * style.block_m[0]
    flat = np.stack([gx.ravel(), gy.ravel()], axis=1) + rng.uniform(-shake, shake, (gx.size, 2))
    columns, rows = len(xs), len(ys)
    phase_x, phase_y = rng.integers(0, style.major_every, 2)
    pairs: list[tuple[int, int, bool]] = []
    for j in range(rows):
        for i in range(columns):
            k = j * columns + i
            if i + 1 < columns:
                pairs.append((k, k + 1, (j + phase_y) % style.major_every == 0))
            if j + 1 < rows:
                pairs.append((k, k + columns, (i + phase_x) % style.major_every == 0))
    keep = rng.random(len(pairs)) >= style.removal
    nodes = bend(flat @ rotation)
    inside = np.abs(nodes).max(axis=1) < size_m / 2 + 40.0
    chosen = [p for p, k in zip(pairs, keep, strict=True) if (k or p[2]) and (inside[p[0]] or inside[p[1]])]
    chosen = _prune_dead_ends(chosen, inside)
    roads = []
    for a, b, major in chosen:
        line = bend(np.linspace(flat[a], flat[b], 24) @ rotation)
        roads.append(_road(style, polyline.resample(line, 1.5), (a, b), major))
    incident: dict[int, list[tuple[int, int]]] = {}
    for index, road in enumerate(roads):
        for end in (0, 1):
            incident.setdefault(road.nodes[end], []).append((index, end))
    network = Network(nodes, roads, incident)
    _trim(network, style, rng)
    return network


def _prune_dead_ends(pairs: list[tuple[int, int, bool]], inside: Array) -> list[tuple[int, int, bool]]:
    while True:
        degree: dict[int, int] = {}
        for a, b, _ in pairs:
            degree[a] = degree.get(a, 0) + 1
            degree[b] = degree.get(b, 0) + 1
        kept = [p for p in pairs if not any(degree[n] == 1 and inside[n] for n in p[:2])]
        if len(kept) == len(pairs):
            return kept
        pairs = kept


def outward(road: Road, end: int) -> Array:
    """Unit direction in which the road leaves its crossing `end` (0 = start, 1 = finish)."""
    line = road.points if end == 0 else road.points[::-1]
    d = line[min(4, len(line) - 1)] - line[0]
    return np.asarray(d / np.hypot(*d))


def _trim(network: Network, style: Style, rng: np.random.Generator) -> None:
    """How far each road's markings stay away from its crossings, and which crossings have crosswalks."""
    for _, ends in sorted(network.incident.items()):
        real = len(ends) >= 3
        walks = real and bool(rng.random() < style.crosswalk_probability)
        for index, end in ends:
            road = network.roads[index]
            u = outward(road, end)
            need = 0.0
            for other_index, other_end in ends:
                if other_index == index:
                    continue
                other = network.roads[other_index]
                v = outward(other, other_end)
                cosine, sine = float(u @ v), abs(float(u[0] * v[1] - u[1] * v[0]))
                if cosine < -0.93:
                    continue
                need = max(need, (other.half_width_m + road.half_width_m * max(cosine, 0.0)) / max(sine, 0.35))
            corner = style.corner_m * 0.5 if need > 0 else 0.0
            road.trims_m[end] = min(need + corner, 0.42 * road.length_m)
            road.crossings[end] = real
            road.crosswalks[end] = walks and bool(rng.random() < 0.9)
