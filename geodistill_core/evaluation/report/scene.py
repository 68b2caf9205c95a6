# SPDX-License-Identifier: Apache-2.0
"""One answer on its map as a still picture: imagery, heat map, 95 % ellipse, truth and GNSS, north up, in metres."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.evaluation.metrics import PoseAnswer, ellipse_quantile_sq
from geodistill_core.evaluation.report.gallery import GalleryFrame, Layer
from geodistill_core.evaluation.report.images import data_uri
from geodistill_core.evaluation.report.markup import Markup, element
from geodistill_core.geometry.geodesy import offsets_enu_m

Place = tuple[float, float]


def scene(frame: GalleryFrame) -> Markup | None:
    """The picture, None where no imagery has been kept. The imagery's centre is the origin."""
    if frame.tile is None:
        return None
    half = frame.tile.extent_m / 2
    origin = (frame.tile.center.latitude, frame.tile.center.longitude)
    marks = [_square(layer, origin, css) for layer, css in ((frame.tile, "tile"), (frame.heat, "heat")) if layer]
    result = frame.result
    if result.answer:
        marks.append(_ellipse(result.answer, origin))
    if result.gnss:
        marks += _mark(result.gnss, None, origin, "gnss", half)
    for pose, css in ((result.truth, "truth"), (result.answer, "answer")):
        if pose:
            marks += _mark((pose.latitude, pose.longitude), pose.yaw_enu_rad, origin, css, half)
    box = f"{-half:.2f} {-half:.2f} {2 * half:.2f} {2 * half:.2f}"
    return element("svg", *marks, css="scene", viewBox=box, role="img", aria_label="answer on the map")


def _square(layer: Layer, origin: Place, css: str) -> Markup:
    east_m, north_m = offsets_enu_m(layer.center.latitude, layer.center.longitude, *origin)
    half = layer.extent_m / 2
    box = {"x": f"{east_m - half:.3f}", "y": f"{-north_m - half:.3f}"}
    side = f"{layer.extent_m:.3f}"
    return element("image", css=css, href=data_uri(layer.jpeg), width=side, height=side, **box)


def _ellipse(answer: PoseAnswer, origin: Place) -> Markup:
    east_m, north_m = offsets_enu_m(answer.latitude, answer.longitude, *origin)
    values, vectors = np.linalg.eigh(np.asarray(answer.covariance, dtype=np.float64)[:2, :2])
    minor, major = (math.sqrt(ellipse_quantile_sq(0.95) * max(v, 0.0)) for v in values)
    turn_deg = -math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    placed = f"translate({east_m:.3f} {-north_m:.3f}) rotate({turn_deg:.1f})"
    return element("ellipse", css="ellipse", rx=f"{major:.3f}", ry=f"{minor:.3f}", transform=placed)


def _mark(place: Place, yaw_rad: float | None, origin: Place, css: str, half_m: float) -> list[Markup]:
    east_m, north_m = offsets_enu_m(*place, *origin)
    x, y = f"{east_m:.3f}", f"{-north_m:.3f}"
    marks = [element("circle", css=css, cx=x, cy=y, r=f"{half_m / 45:.3f}")]
    if yaw_rad is not None:
        reach_m = half_m / 7
        tip = f"{east_m + math.cos(yaw_rad) * reach_m:.3f}", f"{-north_m - math.sin(yaw_rad) * reach_m:.3f}"
        marks.append(element("line", css=css, x1=x, y1=y, x2=tip[0], y2=tip[1]))
    return marks
