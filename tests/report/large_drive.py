# SPDX-License-Identifier: Apache-2.0
"""Long runs made of arrays, with pictures that compress as badly as pictures can."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.datasets.truth import Truth
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, summarize
from geodistill_core.evaluation.report import FrameGallery, Report, render_report
from geodistill_core.types import Estimate, GeoPoint, HeatMap, MapTile, Mode, Status

LATITUDE, LONGITUDE = 47.57665, -122.2985
METRES_PER_DEGREE = (111_190.0, 75_120.0)  # here, to the nearest ten
FRAME_NS = 100_000_000


def degrees(east_m, north_m):
    return LATITUDE + north_m / METRES_PER_DEGREE[0], LONGITUDE + east_m / METRES_PER_DEGREE[1]


def long_drive(count, drop_every=50, **fields):
    """A drive of 1 m a frame around a 2 km block; the error is 1 m, with a claimed sigma of 0.8 m on each axis."""
    rng = np.random.default_rng(5)
    error_m, gnss_m = rng.normal(0.0, 0.8, (count, 2)), rng.normal(0.0, 5.0, (count, 2))
    results = []
    for i in range(count):
        angle = i / 320.0
        east, north = 320.0 * math.cos(angle), 320.0 * math.sin(angle)
        truth = Truth(*degrees(east, north), angle + math.pi / 2)
        dropped = "no_fix" if drop_every and i % drop_every == drop_every - 1 else None
        answer = None
        if dropped is None:
            place = degrees(east + error_m[i, 0], north + error_m[i, 1])
            answer = PoseAnswer(*place, truth.yaw_enu_rad + 0.01, np.diag([0.64, 0.64, 1e-3]))
        fix = degrees(east + gnss_m[i, 0], north + gnss_m[i, 1])
        known = {"confidence": 0.2 + 0.6 * (i % 97) / 97, "hpd_level": (i % 101) / 101} if answer else {}
        results.append(
            FrameResult(
                i * FRAME_NS, truth, answer, fix, 12.0 + i % 7, dropped, speed_mps=9.0 + i % 3, **known, **fields
            )
        )
    return results


class NoiseMap:
    """Imagery of noise everywhere."""

    def tile(self, center, extent_m, metres_per_pixel):
        side = round(extent_m / metres_per_pixel)
        rgb = np.random.default_rng(3).integers(0, 255, (side, side, 3), np.uint8)
        return MapTile(rgb, np.ones((side, side), bool), center, metres_per_pixel, "k", "A & B <i>survey</i>")


def page_of(results, title="Drive", pictures=True, configuration=None):
    """The report of a run and its metrics; each frame has a camera picture, a tile and a heat map of noise."""
    rng = np.random.default_rng(4)
    ground = rng.integers(0, 255, (200, 400, 3), np.uint8)
    tile_rgb = rng.integers(0, 255, (288, 288, 3), np.uint8)
    probability = rng.random((1, 64, 64), dtype=np.float32)
    probability[0, 30:34, 40:44] += 60.0
    probability /= probability.sum()
    gallery = FrameGallery()
    for result in results:
        estimate = _estimate(result, tile_rgb, probability) if result.answer and pictures else None
        gallery.add(result, ground if pictures else None, None, estimate)
    summary = summarize(results, model="tiny", map_name="drive.mbtiles", seed=3, versions={"torch": "2"})
    report = Report(
        title,
        summary,
        results,
        configuration or {},
        gallery.sample(),
        gallery.worst(),
        NoiseMap() if pictures else None,
    )
    return render_report(report), summary


def _estimate(result, tile_rgb, probability):
    center = GeoPoint(*result.gnss)
    tile = MapTile(tile_rgb, np.ones((288, 288), bool), center, 0.2, "k")
    heatmap = HeatMap(probability, center, 0.5, np.zeros(1))
    answer = result.answer
    pose = (result.stamp_ns, answer.latitude, answer.longitude, answer.yaw_enu_rad, answer.covariance)
    return Estimate(*pose, Status.OK, (Mode(0.0, 0.0, 0.0, 0.5),), heatmap, tile)
