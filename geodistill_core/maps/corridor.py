# SPDX-License-Identifier: Apache-2.0
"""Where a vehicle will need imagery, soonest first: along its predicted track, along its path, around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.geometry.lattice import nearest_node
from geodistill_core.types import Array, GeoPoint

# Below this speed the course says little, and a vehicle may turn anywhere.
_SLOW_MPS = 1.0
# How fast a vehicle may leave its predicted track for what lies around it.
_SIDEWAYS_MPS = 5.0


@dataclass(frozen=True, slots=True)
class Track:
    """Where a vehicle is, how it moves (metres per second), and the path it means to follow, if it has one."""

    point: GeoPoint
    east_mps: float = 0.0
    north_mps: float = 0.0
    path: tuple[GeoPoint, ...] = ()

    @property
    def speed_mps(self) -> float:
        """Metres per second over ground."""
        return float(np.hypot(self.east_mps, self.north_mps))

    def distance_m(self, point: GeoPoint) -> float:
        """Metres from the vehicle to a point."""
        return float(np.hypot(*LocalFrame(self.point).to_enu(point.latitude, point.longitude)))

    def ahead(self, horizon_s: float, pitch_m: float) -> tuple[GeoPoint, ...]:
        """Points every `pitch_m` metres from here to where the vehicle is after `horizon_s` at this velocity."""
        length_m = self.speed_mps * horizon_s if self.speed_mps >= _SLOW_MPS else 0.0
        steps = np.arange(0.0, length_m + 1e-9, pitch_m) / max(self.speed_mps, _SLOW_MPS)
        return _points(LocalFrame(self.point), np.stack([self.east_mps * steps, self.north_mps * steps], axis=1))


@dataclass(frozen=True, slots=True)
class Outlook:
    """How far to look: seconds along the track, metres around the vehicle, metres along its path."""

    horizon_s: float = 30.0
    around_m: float = 150.0
    path_m: float = 2000.0
    pitch_m: float = 24.0


def needed(track: Track, outlook: Outlook) -> list[GeoPoint]:
    """Nodes of a grid of `pitch_m` where imagery will be needed, soonest first, none twice."""
    frame, speed_mps = LocalFrame(track.point), max(track.speed_mps, _SIDEWAYS_MPS)
    ahead = track.ahead(outlook.horizon_s, outlook.pitch_m)
    due_s = {point: number * outlook.pitch_m / speed_mps for number, point in enumerate(ahead)}
    offsets_m = _disc(outlook.around_m, outlook.pitch_m)
    for point, offset_m in zip(_points(frame, offsets_m), np.hypot(*offsets_m.T), strict=True):
        due_s[point] = min(float(offset_m) / _SIDEWAYS_MPS, due_s.get(point, np.inf))
    for point, along_m in _on_path(frame, track.path, outlook):
        due_s[point] = min(along_m / speed_mps, due_s.get(point, np.inf))
    nodes = (nearest_node(point, outlook.pitch_m) for point in sorted(due_s, key=due_s.__getitem__))
    return list(dict.fromkeys(nodes))


def disc(center: GeoPoint, radius_m: float, pitch_m: float) -> tuple[GeoPoint, ...]:
    """Points of a square grid such that squares of `pitch_m` around them cover the disc, nearest first."""
    offsets_m = _disc(radius_m + pitch_m / 2**0.5, pitch_m)
    return _points(LocalFrame(center), offsets_m[np.hypot(*offsets_m.T).argsort(kind="stable")])


def _points(frame: LocalFrame, offsets_m: Array) -> tuple[GeoPoint, ...]:
    latitude, longitude = frame.to_geodetic(offsets_m[:, 0], offsets_m[:, 1])
    return tuple(map(GeoPoint, latitude.tolist(), longitude.tolist()))


def _disc(radius_m: float, pitch_m: float) -> Array:
    """Offsets (east, north) [N, 2] of a square grid within `radius_m`."""
    steps = np.arange(-(radius_m // pitch_m), radius_m // pitch_m + 1) * pitch_m
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return np.asarray(grid[np.hypot(*grid.T) <= radius_m])


def _on_path(frame: LocalFrame, path: tuple[GeoPoint, ...], outlook: Outlook) -> list[tuple[GeoPoint, float]]:
    """Points every `pitch_m` of the path from its place nearest to the vehicle on, with the way to each in metres."""
    if len(path) < 2:
        return []
    degrees = np.array([(point.latitude, point.longitude) for point in path])
    vertices = np.stack(frame.to_enu(degrees[:, 0], degrees[:, 1]), axis=1)
    vertices = vertices[int(np.hypot(*vertices.T).argmin()) :]
    along_m = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(vertices, axis=0).T))])
    wanted_m = np.arange(0.0, min(along_m[-1], outlook.path_m) + 1e-9, outlook.pitch_m)
    offsets_m = np.stack([np.interp(wanted_m, along_m, vertices[:, axis]) for axis in (0, 1)], axis=1)
    return list(zip(_points(frame, offsets_m), wanted_m.tolist(), strict=True))
