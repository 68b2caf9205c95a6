# SPDX-License-Identifier: Apache-2.0
"""Heat map to pose: modes, float64 two-pass moments on the circle, covariance with its unseen terms, status."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from geodistill_core.errors import NotFiniteError
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.covariance import CovarianceScale, published
from geodistill_core.types import Array, Estimate, HeatMap, MapTile, Mode, Status

_SMALLEST_MODE = 0.02
_LEAST_LOG = -75.0
"""Cells less likely than the likeliest by more than this have no probability: numbers that float32 can only denote with
fewer digits would be next, which take processors ten times as long."""


@dataclass(frozen=True, slots=True)
class EstimateConfig:
    """Radii in metres, variances that the heat map cannot see, the limits of each status, and the calibrated scale.

    `map_sigma_m` is the least that any map is trusted to lie off; a tile that states more is believed.
    """

    mode_radius_m: float = 2.5
    max_modes: int = 5
    ambiguous_separation_m: float = 4.0
    ambiguous_mass_ratio: float = 0.4
    edge_margin_cells: int = 2
    uninformative_mass: float = 0.15
    map_sigma_m: float = 0.1
    floor_sigma_m: float = 0.1
    floor_sigma_yaw_rad: float = math.radians(0.3)
    scale: CovarianceScale = CovarianceScale()  # noqa: RUF009 - frozen

    @property
    def floor_sigmas(self) -> Array:
        """Least standard deviations [3] east m, north m and yaw rad."""
        return np.array([self.floor_sigma_m, self.floor_sigma_m, self.floor_sigma_yaw_rad])

    def over(self, tile: MapTile) -> EstimateConfig:
        """The same with the map's standard deviation that holds for this tile."""
        return replace(self, map_sigma_m=max(self.map_sigma_m, tile.map_sigma_m))


def _disc(radius_cells: int) -> Array:
    axis = np.arange(-radius_cells, radius_cells + 1)
    return np.asarray(axis[:, None] ** 2 + axis[None, :] ** 2 <= radius_cells**2, dtype=np.float64)


class _Surroundings:
    """The cells within a radius of a cell: a `window` [h, w] of the map, its axes, and what of it is `inside`."""

    def __init__(self, heatmap: HeatMap, row: int, column: int, radius_m: float) -> None:
        reach = math.ceil(radius_m / heatmap.metres_per_cell)
        self.window = tuple(slice(max(0, at - reach), at + reach + 1) for at in (row, column))
        east, north = heatmap.axes_m()
        self.east_m, self.north_m = east[self.window[1]], north[self.window[0]]
        d_east, d_north = self.east_m - east[column], self.north_m - north[row]
        self.inside = d_north[:, None] ** 2 + d_east**2 <= radius_m**2


def _circular_mean(weight: Array, angle_rad: Array) -> float:
    return math.atan2(float((weight * np.sin(angle_rad)).sum()), float((weight * np.cos(angle_rad)).sum()))


def find_modes(heatmap: HeatMap, config: EstimateConfig) -> tuple[Mode, ...]:
    """Local maxima of the position marginal by the mass within `mode_radius_m`, heaviest first.

    Each mode sits at the mean of its disc's mass (sub-cell) and carries that disc's circular mean yaw.
    """
    position = heatmap.position()
    disc = _disc(max(1, round(config.mode_radius_m / heatmap.metres_per_cell)))
    left = cv2.filter2D(position.astype(np.float32), cv2.CV_32F, disc, borderType=cv2.BORDER_CONSTANT)
    modes: list[Mode] = []
    for _ in range(config.max_modes):
        row, column = divmod(int(left.argmax()), left.shape[1])
        if modes and left[row, column] < _SMALLEST_MODE:
            break
        near = _Surroundings(heatmap, row, column, config.mode_radius_m)
        weight = position[near.window] * near.inside
        total = float(weight.sum())
        of_yaw = np.einsum("yrc,rc->y", heatmap.probability[(slice(None), *near.window)], near.inside, dtype=np.float64)
        modes.append(
            Mode(
                float(weight.sum(0) @ near.east_m) / total,
                float(weight.sum(1) @ near.north_m) / total,
                _circular_mean(of_yaw, heatmap.yaw_enu_rad),
                total,
            )
        )
        taken = _Surroundings(heatmap, row, column, 2 * config.mode_radius_m)
        left[taken.window][taken.inside] = 0.0
    return tuple(modes)


def posterior(log_p: Array, grid: HeatMap) -> HeatMap:
    """Softmax of logarithms [Y, H, W], which are finite somewhere, on the cells of `grid`."""
    probability = np.empty(log_p.shape, np.float32)
    np.subtract(log_p, log_p.max(), out=probability, casting="same_kind")  # in float64, as the sum
    possible = probability > _LEAST_LOG
    np.maximum(probability, _LEAST_LOG, out=probability)
    np.exp(probability, out=probability)
    probability *= possible
    probability /= np.float32(probability.sum(dtype=np.float64))
    return replace(grid, probability=probability)


def covariance_about(heatmap: HeatMap, mode: Mode) -> Array:
    """Second moments [3, 3] of the whole heat map about a pose (east m, north m, yaw rad), in float64.

    About the pose and not about the mean, so that mass in other modes widens it. Each axis adds its cell's own
    variance, width^2 / 12.
    """
    east, north = heatmap.axes_m()
    d_east, d_north = east - mode.east_m, north - mode.north_m
    d_yaw = np.asarray(wrap(heatmap.yaw_enu_rad - mode.yaw_enu_rad))
    p = heatmap.probability.astype(np.float64)
    of_column = np.stack([np.ones_like(d_east), d_east, d_east**2], axis=1)
    mass, at_east, at_east_sq = np.moveaxis(p @ of_column, -1, 0)  # [Y, H] each
    P = np.diag([at_east_sq.sum(), mass.sum(axis=0) @ d_north**2, mass.sum(axis=1) @ d_yaw**2])
    P[0, 1] = P[1, 0] = at_east.sum(axis=0) @ d_north
    P[0, 2] = P[2, 0] = d_yaw @ at_east.sum(axis=1)
    P[1, 2] = P[2, 1] = d_yaw @ mass @ d_north
    widths = np.array([heatmap.metres_per_cell, heatmap.metres_per_cell, heatmap.yaw_step_rad])
    return np.asarray(P / mass.sum() + np.diag(widths**2 / 12))


def published_covariance(heatmap: HeatMap, mode: Mode, config: EstimateConfig) -> Array:
    """`covariance_about`, scaled as calibrated, with the map's sigma added and each variance at least its floor."""
    moments = covariance_about(heatmap, mode)
    return published(moments, mode.yaw_enu_rad, config.map_sigma_m, config.floor_sigmas, config.scale)


def _unseen_beyond(heatmap: HeatMap) -> Array:
    """What a peak at the edge leaves open [2, 2]: the true one may lie as far beyond as the window is wide.

    The variance of a window that says nothing, width^2 / 12 in each direction.
    """
    _, height, width = heatmap.probability.shape
    return np.diag(np.square([width, height])) * (heatmap.metres_per_cell**2 / 12)


def status_of(heatmap: HeatMap, modes: tuple[Mode, ...], config: EstimateConfig) -> Status:
    """How far an answer at the first of the modes may be trusted."""
    best = modes[0]
    if best.mass < config.uninformative_mass:
        return Status.UNINFORMATIVE
    for other in modes[1:]:
        apart = math.hypot(other.east_m - best.east_m, other.north_m - best.north_m)
        if apart >= config.ambiguous_separation_m and other.mass >= config.ambiguous_mass_ratio * best.mass:
            return Status.AMBIGUOUS
    east, north = heatmap.axes_m()
    margin = config.edge_margin_cells * heatmap.metres_per_cell
    if max(abs(best.east_m), abs(best.north_m)) > min(east[-1], north[0]) - margin:
        return Status.EDGE
    return Status.OK


def estimate(heatmap: HeatMap, tile: MapTile, stamp_ns: int, config: EstimateConfig) -> Estimate:
    """The pose at the heaviest mode, its covariance and status.

    Raises:
        NotFiniteError: the heat map holds NaN, infinite or negative values, or no mass.
    """
    total = float(heatmap.probability.sum(dtype=np.float64))
    if not (np.isfinite(total) and total > 0.5 and heatmap.probability.min() >= 0):
        raise NotFiniteError(f"heat map sums to {total}, expected 1; the network's output is not finite")
    modes = find_modes(heatmap, config)
    best = modes[0]
    status = status_of(heatmap, modes, config)
    P = published_covariance(heatmap, best, config.over(tile))
    if status is Status.EDGE:
        P[:2, :2] += _unseen_beyond(heatmap)
    latitude, longitude = LocalFrame(heatmap.center).to_geodetic(best.east_m, best.north_m)
    return Estimate(
        stamp_ns,
        float(latitude),
        float(longitude),
        best.yaw_enu_rad,
        P,
        status,
        modes,
        heatmap,
        tile,
    )
