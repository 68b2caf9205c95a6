# SPDX-License-Identifier: Apache-2.0
"""A small chart kit: axes, lines, bands, dots and cells as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from geodistill_core.evaluation.report.markup import Markup, element

Point = tuple[float, float]
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 42


@dataclass(frozen=True, slots=True)
class Axis:
    """Data range, ticks and caption; logarithmic where `log`."""

    low: float
    high: float
    ticks: tuple[float, ...]
    label: str
    log: bool = False

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high end, clipped to the range."""
        clipped = min(max(value, self.low), self.high)
        if self.log:
            return math.log(clipped / self.low) / math.log(self.high / self.low)
        return (clipped - self.low) / (self.high - self.low)


def linear_axis(low: float, high: float, label: str, wanted: int = 5) -> Axis:
    """An axis from `low` to `high` with about `wanted` round ticks."""
    high = high if high > low else low + 1.0
    raw = (high - low) / wanted
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Axis(low, high, tuple(round(i * step, 10) for i in range(first, last + 1)), label)


def log_axis(low: float, high: float, label: str) -> Axis:
    """A logarithmic axis with ticks at 1 and 3 of each decade."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    candidates = (m * 10.0**d for d in decades for m in (1, 3))
    return Axis(low, high, tuple(t for t in candidates if low * 0.999 <= t <= high * 1.001), label, log=True)


@dataclass(slots=True)
class Chart:
    """Collects marks in data coordinates; `render` gives the `<svg>` element."""

    x: Axis
    y: Axis
    title: str
    width: int = 960
    height: int = 300
    marks: list[Markup] = field(default_factory=list)

    def at(self, x: float, y: float) -> Point:
        """Data to pixels."""
        inner_width, inner_height = self.width - LEFT - RIGHT, self.height - TOP - BOTTOM
        return LEFT + self.x.share(x) * inner_width, TOP + (1.0 - self.y.share(y)) * inner_height

    def line(self, points: Iterable[Point], name: str) -> None:
        """A polyline of class `name`."""
        pixels = path(self.at(*p) for p in points)
        if pixels:
            self.marks.append(element("polyline", css=f"line {name}", points=pixels))

    def band(self, lower: Sequence[Point], upper: Sequence[Point], name: str) -> None:
        """The area between two lines."""
        outline = [*lower, *reversed(upper)]
        if outline:
            points = path(self.at(*p) for p in outline)
            self.marks.append(element("polygon", css=f"band {name}", points=points))

    def dots(self, points: Iterable[tuple[float, float, str]], name: str) -> None:
        """Dots with a tool tip each."""
        for x, y, tip in points:
            self._dot(x, y, tip, name)

    def frame_dots(self, points: Iterable[tuple[float, float, str, int]], name: str) -> None:
        """Dots with a tool tip and the number of the frame that a click leads to."""
        for x, y, tip, frame in points:
            self._dot(x, y, tip, name, data_frame=frame)

    def _dot(self, x: float, y: float, tip: str, name: str, **attributes: object) -> None:
        px, py = self.at(x, y)
        title = element("title", tip)
        self.marks.append(element("circle", title, css=f"dot {name}", cx=px, cy=py, r=2.6, **attributes))

    def cells(self, cells: Iterable[tuple[float, float, float, float, float, str]], name: str) -> None:
        """Rectangles from (x, y) to (x, y) with an opacity and a tool tip each."""
        for x0, y0, x1, y1, opacity, tip in cells:
            (left, bottom), (right, top) = self.at(x0, y0), self.at(x1, y1)
            box = {"x": left, "y": top, "width": right - left, "height": bottom - top}
            shade = f"{opacity:.2f}"
            self.marks.append(element("rect", element("title", tip), css=f"cell {name}", fill_opacity=shade, **box))

    def ticks_below(self, marks: Iterable[tuple[float, str]], name: str) -> None:
        """Short strokes on the x axis with a tool tip each."""
        base = self.height - BOTTOM
        for x, tip in marks:
            px = self.at(x, self.y.low)[0]
            title = element("title", tip)
            self.marks.append(element("line", title, css=f"tick {name}", x1=px, x2=px, y1=base - 9, y2=base))

    def render(self, **attributes: object) -> Markup:
        """The SVG element, scaling with its container; further attributes become its own."""
        box = f"0 0 {self.width} {self.height}"
        named = {"viewBox": box, "role": "img", "aria_label": self.title, **attributes}
        return element("svg", *self._grid(), *self.marks, css="chart", **named)

    def _grid(self) -> list[Markup]:
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        parts = []
        for tick in self.y.ticks:
            py = self.at(self.x.low, tick)[1]
            parts.append(element("line", css="grid", x1=LEFT, x2=right, y1=py, y2=py))
            parts.append(element("text", f"{tick:.6g}", css="num", x=LEFT - 8, y=py + 4, text_anchor="end"))
        for tick in self.x.ticks:
            px = self.at(tick, self.y.low)[0]
            parts.append(element("line", css="grid", x1=px, x2=px, y1=TOP, y2=bottom))
            parts.append(element("text", f"{tick:.6g}", css="num", x=px, y=bottom + 17, text_anchor="middle"))
        middle = (LEFT + right) // 2
        turned = f"translate(13 {(TOP + bottom) // 2}) rotate(-90)"
        parts.append(element("text", self.x.label, x=middle, y=self.height - 6, text_anchor="middle"))
        parts.append(element("text", self.y.label, transform=turned, text_anchor="middle"))
        return parts


def path(points: Iterable[Point]) -> str:
    """Pixels as the `points` attribute of a polyline."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
