# SPDX-License-Identifier: Apache-2.0
"""Cards of single frames: the answer on its tile, the camera picture, the figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from geodistill_core.evaluation.metrics import frame_errors, offset_m
from geodistill_core.evaluation.report.columns import Columns
from geodistill_core.evaluation.report.gallery import GalleryFrame
from geodistill_core.evaluation.report.images import data_uri
from geodistill_core.evaluation.report.markup import Markup, element
from geodistill_core.evaluation.report.scene import scene


def cards(frames: Sequence[GalleryFrame], columns: Columns) -> Markup:
    """A grid of cards; a click on one leads to its frame."""
    return element("div", *(_card(frame, columns) for frame in frames), css="cards")


def _card(frame: GalleryFrame, columns: Columns) -> Markup:
    x = columns.x[frame.index]
    name = frame.result.key or (f"{x:.1f} s" if columns.timed else f"frame {frame.index + 1}")
    return element(
        "article",
        scene(frame) or _picture(frame.overlay, "overlay", frame.result.dropped or "no imagery"),
        _picture(frame.ground, "ground", "no camera picture"),
        element("p", element("b", name, css="num"), *_caption(frame)),
        css="card",
        data_frame=frame.index,
    )


def _picture(jpeg: bytes | None, name: str, missing: str) -> Markup:
    if jpeg is None:
        return element("div", missing, css=f"{name} missing")
    return element("img", css=name, src=data_uri(jpeg), alt=name, loading="lazy")


def _caption(frame: GalleryFrame) -> list[Markup]:
    result = frame.result
    parts = []
    if result.answer and result.truth:
        errors = frame_errors(result.answer, result.truth)
        yaw = f" {math.degrees(errors.yaw_rad):+.1f}°"
        parts.append(element("span", element("em", f"{errors.position_m:.2f} m"), yaw))
    if result.gnss and result.truth:
        parts.append(element("span", f"GNSS {math.hypot(*offset_m(*result.gnss, result.truth)):.1f} m"))
    if result.answer and result.answer.status not in ("", "ok"):
        parts.append(element("span", result.answer.status))
    if result.dropped:
        parts.append(element("span", f"dropped: {result.dropped}"))
    return parts
