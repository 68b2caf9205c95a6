# SPDX-License-Identifier: Apache-2.0
"""The drive on its imagery: truth, estimates with their ellipses, and the raw GNSS fixes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geodistill_core.errors import MapError
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, ellipse_quantile_sq
from geodistill_core.evaluation.report.images import data_uri, encode_jpeg
from geodistill_core.evaluation.report.markup import Markup, element
from geodistill_core.evaluation.report.svg import path
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import GeoPoint, MapTile

if TYPE_CHECKING:
    from geodistill_core.maps import MapSource

PICTURE_PIXELS = 1024
MARGIN_M = 25.0
MIN_EXTENT_M = 60.0
MIN_ASPECT = 0.45
MAX_MARKS = 400
MAX_ELLIPSES = 70


@dataclass(frozen=True, slots=True)
class View:
    """The rectangle of the world that the picture shows; its longer side has PICTURE_PIXELS."""

    frame: LocalFrame
    width_m: float
    height_m: float

    @property
    def extent_m(self) -> float:
        """The longer side."""
        return max(self.width_m, self.height_m)

    @property
    def pixels_per_metre(self) -> float:
        """Scale of the picture."""
        return PICTURE_PIXELS / self.extent_m

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return round(self.width_m * self.pixels_per_metre), round(self.height_m * self.pixels_per_metre)

    def pixel(self, latitude: float, longitude: float) -> tuple[float, float]:
        """Degrees to picture coordinates (right, down)."""
        east_m, north_m = self.frame.to_enu(latitude, longitude)
        width, height = self.size
        scale = self.pixels_per_metre
        return width / 2 + float(east_m) * scale, height / 2 - float(north_m) * scale


def view_of(results: Sequence[FrameResult]) -> View | None:
    """A rectangle around truth and estimates (GNSS outliers may fall outside), None without any."""
    places = [(r.truth.latitude, r.truth.longitude) for r in results if r.truth]
    places += [(r.answer.latitude, r.answer.longitude) for r in results if r.answer]
    if not places:
        return None
    first = LocalFrame(GeoPoint(*places[0]))
    east_m, north_m = (np.asarray(axis) for axis in first.to_enu(*np.array(places).T))
    center = first.point(float(np.ptp(east_m)) / 2 + east_m.min(), float(np.ptp(north_m)) / 2 + north_m.min())
    width_m = max(float(np.ptp(east_m)) + 2 * MARGIN_M, MIN_EXTENT_M)
    height_m = max(float(np.ptp(north_m)) + 2 * MARGIN_M, MIN_EXTENT_M)
    longest = max(width_m, height_m)
    return View(LocalFrame(center), max(width_m, longest * MIN_ASPECT), max(height_m, longest * MIN_ASPECT))


def backdrop(source: MapSource | None, view: View) -> MapTile | None:
    """The imagery under the view, a square of its longer side; None where the map has none."""
    if source is None:
        return None
    try:
        return source.tile(view.frame.origin, view.extent_m, 1.0 / view.pixels_per_metre)
    except MapError:
        return None


def trajectory_svg(results: Sequence[FrameResult], view: View, tile: MapTile | None) -> Markup:
    """The picture as an SVG element."""
    every = max(1, math.ceil(len(results) / MAX_MARKS))
    fixes = [view.pixel(*r.gnss) for r in results[::every] if r.gnss]
    answers = [r.answer for r in results[::every] if r.answer]
    poses = [view.pixel(a.latitude, a.longitude) for a in answers]
    truth = path(view.pixel(r.truth.latitude, r.truth.longitude) for r in results if r.truth)
    return element(
        "svg",
        *_ground(tile, *view.size),
        *(_ellipse(answer, view) for answer in answers[:: math.ceil(len(answers) / MAX_ELLIPSES) or 1]),
        *(element("circle", css="fix", cx=x, cy=y, r=4) for x, y in fixes),
        *(element("polyline", css=name, points=truth) for name in ("halo", "truth") if truth),
        *(element("circle", css="pose", cx=x, cy=y, r=4.5) for x, y in poses),
        _scale_bar(view),
        css="trajectory",
        viewBox="0 0 {} {}".format(*view.size),
        role="img",
        aria_label="Trajectory on imagery",
    )


def _ground(tile: MapTile | None, width: int, height: int) -> list[Markup]:
    parts = [element("rect", css="ground", width=width, height=height)]
    if tile is not None:
        top, left = (tile.rgb.shape[0] - height) // 2, (tile.rgb.shape[1] - width) // 2
        cut = np.ascontiguousarray(tile.rgb[top : top + height, left : left + width])
        picture = data_uri(encode_jpeg(cut, quality=82))
        parts.append(element("image", href=picture, width=width, height=height))
        parts.append(element("text", tile.attribution, x=width - 12, y=height - 14, text_anchor="end"))
    return parts


def _ellipse(answer: PoseAnswer, view: View) -> Markup:
    values, vectors = np.linalg.eigh(np.asarray(answer.covariance, dtype=np.float64)[:2, :2])
    scale = view.pixels_per_metre
    minor, major = (math.sqrt(ellipse_quantile_sq(0.95) * v) * scale for v in values)
    turn_deg = -math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    x, y = view.pixel(answer.latitude, answer.longitude)
    placed = f"translate({x:.1f} {y:.1f}) rotate({turn_deg:.1f})"
    return element("ellipse", css="ellipse", rx=major, ry=minor, transform=placed)


def _scale_bar(view: View) -> Markup:
    wanted_m = view.extent_m / 6
    magnitude = 10.0 ** math.floor(math.log10(wanted_m))
    length_m = max(m * magnitude for m in (1, 2, 5) if m * magnitude <= wanted_m)
    width = length_m * view.pixels_per_metre
    y = view.size[1] - 20
    line = element("path", d=f"M20 {y - 8}V{y}H{20 + width:.1f}V{y - 8}")
    return element("g", line, element("text", f"{length_m:g} m", x=28 + width, y=y + 1), css="scale")
