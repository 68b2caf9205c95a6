# SPDX-License-Identifier: Apache-2.0
"""What the report's figures are drawn from: columns, claims against truth, imagery along the way, latency, drops."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from simulated import answer_off, calibrated_drive, result_off, truth_at

from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import MapError
from geodistill_core.evaluation.metrics import FrameResult, summarize
from geodistill_core.evaluation.report import FrameGallery, Report, render_report
from geodistill_core.evaluation.report.against import error_against
from geodistill_core.evaluation.report.backdrop import PLAIN, backdrop
from geodistill_core.evaluation.report.columns import columns_of
from geodistill_core.evaluation.report.gallery import GalleryFrame, Layer
from geodistill_core.evaluation.report.honesty import ellipsoid_level, stanford, stanford_figure, strata_table
from geodistill_core.evaluation.report.operation import drops_table, latency_figure
from geodistill_core.evaluation.report.scene import scene
from geodistill_core.evaluation.report.trajectory import trajectory_svg, view_of, way
from geodistill_core.localization.protection import ProtectionLevel
from geodistill_core.types import GeoPoint, MapTile


def straight(count, step_m=2.0, step_ns=10**8, **fields):
    """A drive to the east; each answer is a metre to the north."""
    truths = [truth_at(i * step_m, 0.0) for i in range(count)]
    return [FrameResult(i * step_ns, truth, answer_off(truth, 0.0, 1.0), **fields) for i, truth in enumerate(truths)]


def test_the_way_driven_grows_by_each_step_and_not_over_a_gap():
    frames = straight(5)
    assert columns_of(frames).distance_m == pytest.approx([0, 2, 4, 6, 8], abs=1e-3)
    far = [replace(f, truth=truth_at(1000.0 + 2 * i, 0.0)) for i, f in enumerate(frames[3:])]
    assert columns_of([*frames[:3], *far]).distance_m == pytest.approx([0, 2, 4, 4, 6], abs=1e-2)


def test_samples_of_a_data_set_are_numbered_and_have_no_way_driven():
    columns = columns_of(straight(5, step_m=400.0, step_ns=1))
    assert not columns.timed and columns.x.tolist() == [0, 1, 2, 3, 4] and np.isnan(columns.distance_m).all()
    assert columns_of(straight(5)).x == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_drives_one_after_the_other_are_drawn_by_number():
    frames = straight(4)
    assert not columns_of([*frames, *frames]).timed


def test_the_claimed_radius_is_half_the_long_axis_of_the_95_percent_ellipse():
    turned = np.array([[2.0, 1.5, 0.0], [1.5, 2.0, 0.0], [0.0, 0.0, 1e-4]])
    truth = truth_at()
    columns = columns_of([FrameResult(0, truth, answer_off(truth, 0.0, 0.0, covariance=turned))])
    # the largest eigenvalue is 3.5; 5.991 is the chi-square quantile
    assert columns.radius_m[0] == pytest.approx(np.sqrt(5.991 * 3.5), abs=1e-3)


@pytest.mark.parametrize("nees", [0.1, 1.0, 2.366, 7.815, 20.0])
def test_the_level_of_an_ellipsoid_is_the_chi_square_distribution(nees):
    stats = pytest.importorskip("scipy.stats")
    assert ellipsoid_level(nees) == pytest.approx(stats.chi2.cdf(nees, 3), abs=1e-12)


def protected(east_m, sigma_m):
    """Heading north: the error to the east is lateral."""
    covariance = np.diag([sigma_m**2, 1.0, 1e-4])
    truth = truth_at(yaw_rad=np.pi / 2)
    return FrameResult(0, truth, answer_off(truth, east_m, 0.0, covariance=covariance))


def test_the_zones_of_the_stanford_diagram_are_those_of_integrity():
    # protection level 2.58 sigma, where none is stated; alert limit 0.5 m
    frames = [
        protected(0.1, 0.1),  # 0.1 <= 0.26 <= 0.5
        protected(1.0, 1.0),  # 1.0 <= 2.6, above the limit
        protected(0.4, 0.1),  # 0.4 > 0.26, not dangerous
        protected(4.0, 1.0),  # 4.0 > 2.6, but nobody was told to rely on it
        protected(0.6, 0.1),  # 0.6 > 0.5 while 0.26 was claimed
    ]
    diagram = stanford(columns_of(frames), "lateral")
    assert diagram.zones() == {"available": 1, "unavailable": 1, "misleading": 2, "hazardous": 1}
    assert "hazardous 1 (20.0 %)" in stanford_figure(diagram)


def test_a_lateral_claim_is_taken_across_the_heading():
    truth = truth_at(yaw_rad=0.3)
    along = np.array([np.cos(0.3), np.sin(0.3)])
    covariance = np.zeros((3, 3))
    covariance[:2, :2] = 4.0 * np.outer(along, along) + 0.01 * (np.eye(2) - np.outer(along, along))
    covariance[2, 2] = 1e-4
    columns = columns_of([FrameResult(0, truth, answer_off(truth, 0.0, 0.0, covariance=covariance))])
    assert stanford(columns, "longitudinal").protection_m == pytest.approx(2.5758 * 2.0, rel=1e-3)
    assert stanford(columns, "lateral").protection_m == pytest.approx(2.5758 * 0.1, rel=1e-3)


def test_the_diagram_shows_the_protection_level_that_an_answer_states():
    frame = protected(1.0, 0.1)
    stated = replace(frame, answer=replace(frame.answer, protection=ProtectionLevel(1.5, 7.0, 0.002)))
    columns = columns_of([stated, replace(stated, answer=None, dropped="no_fix")])
    assert stanford(columns, "lateral").protection_m.tolist() == [1.5]
    assert stanford(columns, "longitudinal").protection_m.tolist() == [7.0]
    summary = summarize([stated], model="tiny", map_name="m")
    assert "claims that 99.8 % of errors" in render_report(Report("One", summary, [stated]))


def test_a_stratum_outside_of_its_bounds_is_marked():
    names = ("sure", "unsure")
    frames = [replace(f, road=names[i % 2]) for i, f in enumerate(calibrated_drive(200))]
    wrong = [replace(f, answer=replace(f.answer, covariance=f.answer.covariance / 9)) for f in frames[::2]]
    strata = summarize([*wrong, *frames[1::2]], model="m", map_name="m")["strata"]
    rows = re.findall(r"<tr>.*?</tr>", strata_table([one for one in strata if one["by"] == "road"]))
    assert ['class="outside"' in row for row in rows[1:]] == [True, False]
    assert "road: sure" in rows[1] and "<td>100</td>" in rows[1]


def test_errors_are_drawn_against_what_the_frames_know():
    frames = [replace(f, speed_mps=float(i), confidence=0.5) for i, f in enumerate(calibrated_drive(60))]
    titles = re.findall(r"<figcaption>([^<]*)", "".join(error_against(columns_of(frames))))
    assert titles == ["Distance driven", "Speed", "GNSS error", "Claimed radius"]
    assert error_against(columns_of(frames[:1])) == []


class PatchyMap:
    """Counts what is asked for; knows nothing west of the origin."""

    def __init__(self):
        self.asked = []

    def tile(self, center, extent_m, metres_per_pixel):
        self.asked.append(center)
        if center.longitude < -122.2985:
            raise MapError("nothing here")
        side = round(extent_m / metres_per_pixel)
        return MapTile(
            np.full((side, side, 3), 60, np.uint8), np.ones((side, side), bool), center, metres_per_pixel, "k", "by us"
        )


def test_a_long_drive_reads_imagery_along_its_way_only():
    source, frames = PatchyMap(), straight(1000)
    view = view_of(frames)
    picture, attribution = backdrop(source, view, view.pixels(way(frames)))
    height, width = picture.shape[:2]
    assert (width, height) == view.size and attribution == "by us"
    # two kilometres wide and 900 m high: a third of the 16 x 8 squares at most
    assert len(source.asked) <= 16 * 3
    assert (picture[height // 2] == 60).all(axis=-1).mean() > 0.95
    assert (picture[20] == PLAIN).all()


def test_a_map_with_holes_leaves_them_plain():
    frames = [FrameResult(0, truth_at(-400.0, 0.0), dropped="x"), FrameResult(10**9, truth_at(400.0, 0.0), dropped="x")]
    view = view_of(frames)
    picture, _ = backdrop(PatchyMap(), view, view.pixels(way(frames)))
    middle = picture.shape[0] // 2
    assert (picture[middle, 40] == PLAIN).all() and (picture[middle, -40] == 60).all()


def test_places_too_far_apart_for_one_picture_have_none():
    frames = [
        FrameResult(0, Truth(47.0, 8.0, 0.0), dropped="x"),
        FrameResult(10**9, Truth(-33.9, 18.4, 0.0), dropped="x"),
    ]
    assert view_of(frames) is None
    summary = summarize(frames, model="tiny", map_name="m")
    assert "too far apart" in render_report(Report("Two", summary, frames))


def test_the_line_of_truth_is_cut_where_the_drive_jumps():
    frames = straight(20)
    frames += [replace(f, truth=truth_at(2.0 * i, 600.0)) for i, f in enumerate(frames)]
    view = view_of(frames)
    assert trajectory_svg(frames, view, None).count('class="truth"') == 2
    assert trajectory_svg(frames[:20], view_of(frames[:20]), None).count('class="truth"') == 1


def test_a_still_picture_has_the_truth_where_it_is():
    frame = result_off(3.0, 4.0)
    center = GeoPoint(frame.truth.latitude, frame.truth.longitude)
    picture = scene(GalleryFrame(0, frame, None, Layer(b"jpeg", center, 60.0), Layer(b"heat", center, 30.0)))
    assert 'viewBox="-30.00 -30.00 60.00 60.00"' in picture
    assert 'class="truth" cx="0.000" cy="-0.000"' in picture and 'class="answer" cx="3.000" cy="-4.000"' in picture
    assert re.search(r'<image class="heat"[^>]* width="30.000" height="30.000" x="-15.000" y="-15.000">', picture)
    assert scene(GalleryFrame(0, frame)) is None


def test_latency_and_drops_are_accounted_for():
    frames = [
        replace(f, latency_ms=10.0 + i % 10 if f.answer else None)
        for i, f in enumerate(calibrated_drive(40, drop_every=4))
    ]
    summary = summarize(frames, model="tiny", map_name="m")
    figure = latency_figure(columns_of(frames))
    assert f"50 % within {summary['latency_ms']['p50']:.1f} ms" in figure
    assert latency_figure(columns_of(calibrated_drive(3))) is None
    rows = re.findall(r"<th>([^<]*)</th><td>(\d+)</td><td>([^<]*)", drops_table(summary))
    assert rows == [
        ("localized", "30", "75.0 %"),
        ("no_fix", "10", "25.0 %"),
        ("frames in the recording", "40", "100.0 %"),
    ]


def run_data(page):
    return json.loads(re.search(r'<script type="application/json" id="run">(.*?)</script>', page, re.DOTALL)[1])


def test_the_scrubber_has_every_frames_figures_and_pictures_of_the_kept_ones():
    frames = calibrated_drive(30, drop_every=5)
    gallery = FrameGallery(sample=6, worst=2)
    for frame in frames:
        gallery.add(frame, None, lambda: np.zeros((32, 32, 3), np.uint8))
    summary = summarize(frames, model="tiny", map_name="m")
    data = run_data(render_report(Report("Drive", summary, frames, {}, gallery.sample(), gallery.worst())))
    position = np.frombuffer(base64.b64decode(data["columns"]["position_m"]), "<f4")
    assert data["frames"] == 30 and np.nanmax(position) == pytest.approx(summary["position_error_m"]["max"], rel=1e-6)
    assert np.isnan(position).sum() == 6 and data["fates"] == ["ok", "dropped: no_fix"]
    assert 6 <= len(data["pictures"]) <= 8
    # a run played to the node has kept drawings and no imagery
    assert all(one["drawn"].startswith("data:image/jpeg") and one["tile"] is None for one in data["pictures"])
    worst = int(np.nanargmax(position))
    assert worst in [one["frame"] for one in data["pictures"]]
