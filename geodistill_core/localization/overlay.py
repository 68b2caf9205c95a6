# SPDX-License-Identifier: Apache-2.0
"""An estimate as a picture: tile, heat map, 95 % ellipse, heading, attribution."""

from __future__ import annotations

import math

import cv2
import numpy as np

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import Array, Estimate, GeoPoint

_CHI2_95_2DOF = 5.991
_SHIFT = 4
_ESTIMATE_COLOUR = (255, 64, 64)
_PRIOR_COLOUR = (64, 160, 255)
_OPACITY = 0.75
_TRUTH_COLOUR = (64, 255, 96)
# OpenCV makes its table anew for every picture
_INFERNO = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_INFERNO).reshape(256, 3)[:, ::-1].copy()


def _lay_heat(picture: Array, estimate: Estimate) -> None:
    """Draw the position marginal over the picture of the tile [N, N, 3], into which it fits."""
    heatmap, tile = estimate.heatmap, estimate.tile
    position, size = heatmap.position(), picture.shape[0]
    side = round(position.shape[1] * heatmap.metres_per_cell * size / (tile.rgb.shape[1] * tile.metres_per_pixel))
    strength = _strength(position)
    colours, opacity = (
        cv2.resize(layer, (side, side), interpolation=cv2.INTER_LINEAR)
        for layer in (_inferno(strength), strength * _OPACITY)
    )
    margin = (size - side) // 2
    window = picture[margin : margin + side, margin : margin + side]
    window[:] = cv2.blendLinear(np.ascontiguousarray(window), colours, 1.0 - opacity, opacity)


def _strength(position: Array) -> Array:
    """Square root of the probability relative to the peak, so that weak modes are seen: float32 [H, W] in 0..1."""
    return np.sqrt(position / max(float(position.max()), 1e-30), dtype=np.float32)


def _inferno(strength: Array) -> Array:
    """0..1 [H, W] as colours [H, W, 3] uint8 RGB."""
    return np.asarray(_INFERNO.take((strength * 255.0).astype(np.uint8), axis=0))


def heatmap_picture(position: Array) -> Array:
    """A position marginal [H, W] in colour on black, north up, a pixel for each cell: [H, W, 3] uint8 RGB."""
    return _inferno(_strength(position))


def _draw_cross(picture: Array, at: tuple[float, float], colour: tuple[int, int, int], arm: int) -> None:
    x, y = round(at[0]), round(at[1])
    cv2.drawMarker(picture, (x, y), (0, 0, 0), cv2.MARKER_CROSS, arm + 2, 4, cv2.LINE_AA)
    cv2.drawMarker(picture, (x, y), colour, cv2.MARKER_CROSS, arm, 2, cv2.LINE_AA)


def _draw_pose(picture: Array, estimate: Estimate, at: tuple[float, float], pixels_per_metre: float) -> None:
    values, vectors = np.linalg.eigh(estimate.covariance[:2, :2])
    axes = np.sqrt(np.maximum(values, 0) * _CHI2_95_2DOF) * pixels_per_metre
    angle_deg = -math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    center = (round(at[0] * 2**_SHIFT), round(at[1] * 2**_SHIFT))
    lengths = (round(axes[1] * 2**_SHIFT), round(axes[0] * 2**_SHIFT))
    cv2.ellipse(picture, center, lengths, angle_deg, 0, 360, _ESTIMATE_COLOUR, 2, cv2.LINE_AA, _SHIFT)
    tip = (at[0] + 30 * math.cos(estimate.yaw_enu_rad), at[1] - 30 * math.sin(estimate.yaw_enu_rad))
    cv2.arrowedLine(
        picture,
        (round(at[0]), round(at[1])),
        (round(tip[0]), round(tip[1])),
        _ESTIMATE_COLOUR,
        2,
        cv2.LINE_AA,
        0,
        0.3,
    )


def render_overlay(
    estimate: Estimate, *, size: int = 512, prior: GeoPoint | None = None, truth: GeoPoint | None = None
) -> Array:
    """The picture [size, size, 3] uint8 RGB: ours red, the prior blue, the truth green where given."""
    tile = estimate.tile
    picture = cv2.resize(tile.rgb, (size, size), interpolation=cv2.INTER_LINEAR)
    _lay_heat(picture, estimate)
    frame, zoom = LocalFrame(tile.center), size / tile.rgb.shape[1]

    def place(point: GeoPoint) -> tuple[float, float]:
        east_m, north_m = frame.to_enu(point.latitude, point.longitude)
        column, row = tile.enu_to_pixel(np.asarray(east_m), np.asarray(north_m))
        return float(column) * zoom, float(row) * zoom

    if prior is not None:
        _draw_cross(picture, place(prior), _PRIOR_COLOUR, 16)
    if truth is not None:
        _draw_cross(picture, place(truth), _TRUTH_COLOUR, 16)
    _draw_pose(picture, estimate, place(estimate.point), zoom / tile.metres_per_pixel)
    if tile.attribution:
        cv2.putText(
            picture,
            tile.attribution,
            (6, size - 8),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.4,
            (255, 255, 255),
            1,
            cv2.LINE_AA,
        )
    return np.asarray(picture)
