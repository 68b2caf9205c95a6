# SPDX-License-Identifier: Apache-2.0
"""The part of the page that goes through the run frame by frame: its markup, and the data for its script.

Every frame's figures travel as base64 of little-endian float32, pictures only of the gallery's frames.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from geodistill_core.evaluation.metrics import FrameResult
from geodistill_core.evaluation.report.columns import Columns
from geodistill_core.evaluation.report.gallery import GalleryFrame, Layer
from geodistill_core.evaluation.report.images import data_uri
from geodistill_core.evaluation.report.markup import Markup, element
from geodistill_core.evaluation.report.trajectory import View
from geodistill_core.geometry.geodesy import offsets_enu_m
from geodistill_core.types import Array

ORDERS = (
    ("time", "in order"),
    ("worst", "worst first"),
    ("overconfident", "most overconfident first"),
    ("dropped", "dropped frames"),
)
# names by which the script knows the figures that the columns hold as they are
FIGURES = (
    *("position_m", "lateral_m", "longitudinal_m", "nees", "gnss_m", "radius_m", "var_ee", "var_en", "var_nn"),
    *("speed_mps", "confidence", "hpd_level", "latency_ms"),
)


def scrubber() -> Markup:
    """Slider, steps, order, the camera picture, the map with its marks, and the frame's figures."""
    order = element("select", *(element("option", text, value=value) for value, text in ORDERS), id="order")
    heat = element("label", element("input", type="checkbox", id="heat", checked="checked"), " heat map")
    return element(
        "div",
        element(
            "div",
            element("button", "◀", id="previous", type="button", aria_label="previous frame"),
            element("input", type="range", id="slider", min=0, max=0, value=0, aria_label="frame"),
            element("button", "▶", id="next", type="button", aria_label="next frame"),
            order,
            heat,
            css="controls",
        ),
        element(
            "div",
            element("svg", id="stage", viewBox="-20 -20 40 40", role="img", aria_label="answer on the map"),
            element(
                "div",
                element("img", id="ground", alt="camera picture"),
                element("p", css="remark", id="ground-note"),
                element("dl", id="facts"),
            ),
            css="panes",
        ),
        element("noscript", "Going through the frames needs JavaScript; everything else on this page does not."),
        css="scrubber",
        id="scrubber",
    )


def scrubber_data(
    results: Sequence[FrameResult], columns: Columns, pictures: Iterable[GalleryFrame], view: View | None
) -> Markup:
    """The script's data as JSON in which no character can end the element that holds it."""
    anchors = _anchors(results)
    local = _local(results, anchors)
    figures = {name: getattr(columns, name) for name in FIGURES} | local
    figures["yaw_error_deg"] = np.degrees(columns.yaw_rad)
    figures |= _on_picture(anchors, view)
    payload = {
        "frames": len(results),
        "timed": columns.timed,
        "x": _packed(columns.x, "<f8"),
        "columns": {name: _packed(values, "<f4") for name, values in figures.items()},
        "scale": view.pixels_per_metre if view else 1.0,
        "keys": [r.key for r in results] if any(r.key for r in results) else None,
        **_named(results),
        "pictures": [_picture(frame, anchors) for frame in sorted(pictures, key=lambda frame: frame.index)],
    }
    text = json.dumps(payload, separators=(",", ":"), allow_nan=False)
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return element("script", Markup(safe), type="application/json", id="run")


def _named(results: Sequence[FrameResult]) -> dict[str, Any]:
    """What became of each frame, as a number into a list of texts."""
    texts = [f"dropped: {r.dropped}" if r.answer is None else r.answer.status or "answered" for r in results]
    names = list(dict.fromkeys(texts))
    numbers = {text: number for number, text in enumerate(names)}
    return {"fates": names, "fate": _packed(np.array([numbers[text] for text in texts], dtype=np.float64), "<u2")}


def _anchors(results: Sequence[FrameResult]) -> Array:
    """Latitude and longitude [N, 2] around which a frame is drawn: its answer, else truth, else GNSS, else NaN."""
    rows = []
    for r in results:
        pose = r.answer or r.truth
        rows.append((pose.latitude, pose.longitude) if pose else r.gnss or (math.nan, math.nan))
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _local(results: Sequence[FrameResult], anchors: Array) -> dict[str, Array]:
    """Truth and GNSS in metres east and north of the anchor; yaw of truth and answer."""
    nowhere = (math.nan, math.nan)
    truth = np.array([(r.truth.latitude, r.truth.longitude) if r.truth else nowhere for r in results], np.float64)
    gnss = np.array([r.gnss or nowhere for r in results], np.float64)
    columns: dict[str, Array] = {}
    for name, places in (("truth", truth), ("gnss", gnss)):
        east_m, north_m = offsets_enu_m(*places.reshape(-1, 2).T, *anchors.T)
        columns |= {f"{name}_east_m": east_m, f"{name}_north_m": north_m}
    columns["truth_yaw_rad"] = np.array([r.truth.yaw_enu_rad if r.truth else math.nan for r in results], np.float64)
    columns["yaw_rad"] = np.array([r.answer.yaw_enu_rad if r.answer else math.nan for r in results], np.float64)
    return columns


def _on_picture(anchors: Array, view: View | None) -> dict[str, Array]:
    """Where each frame lies on the trajectory's picture, pixels right and down; the script also measures with it."""
    pixels = np.full((len(anchors), 2), np.nan)
    known = np.isfinite(anchors[:, 0])
    if view is not None and known.any():
        pixels[known] = view.pixels(anchors[known])
    return {"right": pixels[:, 0], "down": pixels[:, 1]}


def _packed(values: Array, kind: str) -> str:
    with np.errstate(over="ignore"):
        return base64.b64encode(np.asarray(values).astype(kind).tobytes()).decode("ascii")


def _picture(frame: GalleryFrame, anchors: Array) -> dict[str, Any]:
    anchor = anchors[frame.index]
    return {
        "frame": frame.index,
        "ground": data_uri(frame.ground) if frame.ground else None,
        "drawn": data_uri(frame.overlay) if frame.overlay else None,
        "tile": _layer(frame.tile, anchor),
        "heat": _layer(frame.heat, anchor),
    }


def _layer(layer: Layer | None, anchor: Array) -> dict[str, Any] | None:
    if layer is None or not np.isfinite(anchor).all():
        return None
    east_m, north_m = offsets_enu_m(layer.center.latitude, layer.center.longitude, float(anchor[0]), float(anchor[1]))
    placed = {"east_m": round(east_m, 3), "north_m": round(north_m, 3), "side_m": round(layer.extent_m, 3)}
    return {"jpeg": data_uri(layer.jpeg), **placed}
