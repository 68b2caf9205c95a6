# SPDX-License-Identifier: Apache-2.0
"""The drive on its imagery: truth, estimates with their ellipses, and the raw GNSS fixes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, ellipse_quantile_sq
from geodistill_core.evaluation.report.columns import JUMP_M, places, steps_m
from geodistill_core.evaluation.report.images import data_uri, encode_jpeg
from geodistill_core.evaluation.report.markup import Markup, element
from geodistill_core.evaluation.report.svg import path
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import Array, GeoPoint

PICTURE_PIXELS = 1024
MARGIN_M = 25.0
MIN_EXTENT_M = 60.0
MIN_ASPECT = 0.45
MAX_MARKS = 400
MAX_ELLIPSES = 70
MAX_LINE_POINTS = 6000
MAX_EXTENT_M = 200_000.0


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

    def pixels(self, latitude_longitude: Array) -> Array:
        """Degrees [N, 2] to picture coordinates [N, 2], right and down."""
        east_m, north_m = self.frame.to_enu(*latitude_longitude.reshape(-1, 2).T)
        width, height = self.size
        scale = self.pixels_per_metre
        return np.stack([width / 2 + np.asarray(east_m) * scale, height / 2 - np.asarray(north_m) * scale], axis=1)

    def point(self, right: float, down: float) -> GeoPoint:
        """Picture coordinates to degrees."""
        width, height = self.size
        scale = self.pixels_per_metre
        return self.frame.point((right - width / 2) / scale, (height / 2 - down) / scale)


def view_of(results: Sequence[FrameResult]) -> View | None:
    """A rectangle around truth and estimates (GNSS outliers may fall outside).

    None without any, and where they are too far apart for one picture.
    """
    found = [(p.latitude, p.longitude) for r in results for p in (r.truth, r.answer) if p is not None]
    if not found:
        return None
    first = LocalFrame(GeoPoint(*found[0]))
    east_m, north_m = (np.asarray(axis) for axis in first.to_enu(*np.array(found).T))
    if max(np.ptp(east_m), np.ptp(north_m)) > MAX_EXTENT_M:
        return None
    center = first.point(float(np.ptp(east_m)) / 2 + east_m.min(), float(np.ptp(north_m)) / 2 + north_m.min())
    width_m = max(float(np.ptp(east_m)) + 2 * MARGIN_M, MIN_EXTENT_M)
    height_m = max(float(np.ptp(north_m)) + 2 * MARGIN_M, MIN_EXTENT_M)
    longest = max(width_m, height_m)
    return View(LocalFrame(center), max(width_m, longest * MIN_ASPECT), max(height_m, longest * MIN_ASPECT))


def way(results: Sequence[FrameResult]) -> Array:
    """Latitude and longitude [N, 2] of every frame that has truth or an answer."""
    found = places(results)
    return found[np.isfinite(found[:, 0])]


def trajectory_svg(results: Sequence[FrameResult], view: View, imagery: tuple[Array, str] | None) -> Markup:
    """The picture as an SVG element; the script moves the ring `here` to the frame that is looked at."""
    every = max(1, math.ceil(len(results) / MAX_MARKS))
    fixes = view.pixels(np.array([r.gnss for r in results[::every] if r.gnss], dtype=np.float64))
    answers = [r.answer for r in results[::every] if r.answer]
    poses = view.pixels(np.array([(a.latitude, a.longitude) for a in answers], dtype=np.float64))
    drawn = slice(None, None, math.ceil(len(answers) / MAX_ELLIPSES) or 1)
    truth = np.array([(r.truth.latitude, r.truth.longitude) for r in results if r.truth], dtype=np.float64)
    lines = [path(stretch) for stretch in _stretches(truth.reshape(-1, 2), view)]
    return element(
        "svg",
        *_ground(imagery, *view.size),
        *(_ellipse(answer, view, at) for answer, at in zip(answers[drawn], poses[drawn], strict=True)),
        *(element("circle", css="fix", cx=float(x), cy=float(y), r=4) for x, y in fixes),
        *(element("polyline", css=name, points=line) for name in ("halo", "truth") for line in lines),
        *(element("circle", css="pose", cx=float(x), cy=float(y), r=4.5) for x, y in poses),
        _scale_bar(view),
        element("circle", css="here", cx=-99, cy=-99, r=12),
        css="trajectory",
        id="trajectory",
        viewBox="0 0 {} {}".format(*view.size),
        role="img",
        aria_label="Trajectory on imagery",
    )


def _stretches(truth: Array, view: View) -> Iterator[list[tuple[float, float]]]:
    """Pixels of the way driven, cut where the next frame is somewhere else."""
    every = max(1, math.ceil(len(truth) / MAX_LINE_POINTS))
    if not len(truth):
        return
    cuts = np.flatnonzero(steps_m(truth) > JUMP_M) + 1
    for part in np.split(view.pixels(truth), cuts):
        kept = part[::every] if len(part) <= every else np.concatenate([part[::every], part[-1:]])
        yield [(float(x), float(y)) for x, y in kept]


def _ground(imagery: tuple[Array, str] | None, width: int, height: int) -> list[Markup]:
    parts = [element("rect", css="ground", width=width, height=height)]
    if imagery is not None:
        rgb, attribution = imagery
        picture = data_uri(encode_jpeg(rgb, quality=82))
        parts.append(element("image", href=picture, width=width, height=height))
        parts.append(element("text", attribution, x=width - 12, y=height - 14, text_anchor="end"))
    return parts


def _ellipse(answer: PoseAnswer, view: View, at: Array) -> Markup:
    values, vectors = np.linalg.eigh(np.asarray(answer.covariance, dtype=np.float64)[:2, :2])
    scale = view.pixels_per_metre
    minor, major = (math.sqrt(ellipse_quantile_sq(0.95) * v) * scale for v in values)
    turn_deg = -math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    placed = f"translate({at[0]:.1f} {at[1]:.1f}) rotate({turn_deg:.1f})"
    return element("ellipse", css="ellipse", rx=major, ry=minor, transform=placed)


def _scale_bar(view: View) -> Markup:
    wanted_m = view.extent_m / 6
    magnitude = 10.0 ** math.floor(math.log10(wanted_m))
    length_m = max(m * magnitude for m in (1, 2, 5) if m * magnitude <= wanted_m)
    width = length_m * view.pixels_per_metre
    y = view.size[1] - 20
    line = element("path", d=f"M20 {y - 8}V{y}H{20 + width:.1f}V{y - 8}")
    return element("g", line, element("text", f"{length_m:g} m", x=28 + width, y=y + 1), css="scale")
