# SPDX-License-Identifier: Apache-2.0
"""The papers' answer to a heat map: its highest cell, and the heading there."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.estimate import EstimateConfig, published_covariance
from geodistill_core.types import Estimate, HeatMap, MapTile, Mode, Status


def peak(heatmap: HeatMap, config: EstimateConfig) -> Mode:
    """The cell that is the most probable whatever the heading, and the circular mean of the heading in that cell.

    The mass is that within `mode_radius_m`, as of the localizer's modes.
    """
    position = heatmap.position()
    east, north = heatmap.axes_m()
    row, column = np.unravel_index(int(position.argmax()), position.shape)
    here = heatmap.probability[:, row, column].astype(np.float64)
    yaw = math.atan2(float(here @ np.sin(heatmap.yaw_enu_rad)), float(here @ np.cos(heatmap.yaw_enu_rad)))
    near = (north[:, None] - north[row]) ** 2 + (east[None, :] - east[column]) ** 2 <= config.mode_radius_m**2
    return Mode(float(east[column]), float(north[row]), yaw, float(position[near].sum()))


def peak_estimate(heatmap: HeatMap, tile: MapTile, config: EstimateConfig) -> Estimate:
    """The peak with the covariance of the whole heat map about it."""
    mode = peak(heatmap, config)
    latitude, longitude = LocalFrame(heatmap.center).to_geodetic(mode.east_m, mode.north_m)
    P = published_covariance(heatmap, mode, config)
    return Estimate(0, float(latitude), float(longitude), mode.yaw_enu_rad, P, Status.OK, (mode,), heatmap, tile)
