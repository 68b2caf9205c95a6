# SPDX-License-Identifier: Apache-2.0
"""A heat map as evidence about poses on the track's plane: how much likelier than a uniform map says."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import placed
from geodistill_core.types import Array, HeatMap

_SMALLEST = 1e-30


class Evidence:
    """Log-likelihood ratios of one heat map against the uniform one over its window, never below `log_floor`."""

    def __init__(self, heatmap: HeatMap, frame: LocalFrame, least_ratio: float) -> None:
        self.heatmap = heatmap
        self.log_floor = math.log(least_ratio)
        center = heatmap.center
        east, north, self.turn_rad = placed(frame, center.latitude, center.longitude)
        self.center = np.array([east, north])
        self._log_cells = math.log(heatmap.probability.size)
        self._yaw = np.asarray(heatmap.yaw_enu_rad, np.float64)

    def log_ratio(self, poses: Array) -> Array:
        """Trilinear in the logarithm at poses [N, 3] on the plane; the floor outside of the window."""
        probability, cell = self.heatmap.probability, self.heatmap.metres_per_cell
        count, height, width = probability.shape
        local = self._local(poses)
        column = local[:, 0] / cell + width / 2 - 0.5
        row = height / 2 - local[:, 1] / cell - 0.5
        yaw = self._yaw_index(local[:, 2])
        inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
        inside &= (yaw >= -0.5) & (yaw <= count - 0.5)
        found = np.full(len(poses), self.log_floor)
        if inside.any():
            at = np.stack([np.clip(yaw[inside], 0, count - 1), row[inside], column[inside]])
            found[inside] = np.maximum(self._interpolated(at) + self._log_cells, self.log_floor)
        return found

    def drawn(self, log_weight: Array, count: int, power: float, rng: np.random.Generator) -> Array:
        """Poses [count, 3] drawn by ratio^power times a position weight [H, W] (logarithms, any scale)."""
        probability = self.heatmap.probability
        ratio = np.log(np.maximum(probability, _SMALLEST)) + self._log_cells
        mass = np.exp(power * np.maximum(ratio, self.log_floor) + (log_weight - log_weight.max()))
        cumulative = np.cumsum(mass.ravel(), dtype=np.float64)
        at = (rng.random() + np.arange(count)) / count * cumulative[-1]
        index = np.minimum(np.searchsorted(cumulative, at), mass.size - 1)
        y, r, c = np.unravel_index(index, probability.shape)
        cell, step = self.heatmap.metres_per_cell, self.heatmap.yaw_step_rad
        east, north = self.heatmap.axes_m()
        within = rng.uniform(-0.5, 0.5, (3, count))
        local = np.stack([east[c] + within[0] * cell, north[r] + within[1] * cell, self._yaw[y] + within[2] * step], 1)
        return self._global(local)

    def cells(self) -> tuple[Array, Array]:
        """East and north [H, W] of the cells on the plane."""
        east, north = self.heatmap.axes_m()
        e, n = np.meshgrid(east, north)
        c, s = math.cos(self.turn_rad), math.sin(self.turn_rad)
        return self.center[0] + c * e - s * n, self.center[1] + s * e + c * n

    def _local(self, poses: Array) -> Array:
        off = poses[:, :2] - self.center
        c, s = math.cos(self.turn_rad), math.sin(self.turn_rad)
        return np.stack([c * off[:, 0] + s * off[:, 1], -s * off[:, 0] + c * off[:, 1], poses[:, 2] - self.turn_rad], 1)

    def _global(self, local: Array) -> Array:
        c, s = math.cos(self.turn_rad), math.sin(self.turn_rad)
        east = self.center[0] + c * local[:, 0] - s * local[:, 1]
        north = self.center[1] + s * local[:, 0] + c * local[:, 1]
        return np.stack([east, north, local[:, 2] + self.turn_rad], 1)

    def _yaw_index(self, yaw_rad: Array) -> Array:
        step = self.heatmap.yaw_step_rad
        if step == 0.0:
            return np.zeros(len(yaw_rad))
        middle = (self._yaw[0] + self._yaw[-1]) / 2
        return np.asarray(wrap(yaw_rad - middle)) / step + (len(self._yaw) - 1) / 2

    def _interpolated(self, at: Array) -> Array:
        """Log probability, linear between the eight neighbours of fractional indices [3, M]."""
        probability = self.heatmap.probability
        low = np.minimum(np.floor(at).astype(np.int64), np.array(probability.shape)[:, None] - 1)
        high = np.minimum(low + 1, np.array(probability.shape)[:, None] - 1)
        share = at - low
        total = np.zeros(at.shape[1])
        for corner in range(8):
            take = [(corner >> axis) & 1 for axis in range(3)]
            index = tuple(high[axis] if take[axis] else low[axis] for axis in range(3))
            weight = np.prod([share[axis] if take[axis] else 1.0 - share[axis] for axis in range(3)], axis=0)
            total += weight * np.log(np.maximum(probability[index], _SMALLEST))
        return total
