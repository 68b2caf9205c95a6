# SPDX-License-Identifier: Apache-2.0
"""What SynthCity promises of its cities and pairs."""

import hashlib
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from pyproj import Geod

from geodistill_core.datasets.synthcity import (
    LEVELS,
    SEEDS,
    SMALL_PANORAMA_RIG,
    STYLES,
    TRAIN_STYLES,
    UNSEEN_STYLES,
    VALIDATION_STYLES,
    CameraRig,
    Conditions,
    GroundPose,
    build_city,
    contact_sheet,
    pinhole_rig,
    render_ground,
    render_overhead,
    sample_pair,
)
from geodistill_core.datasets.synthcity import city as city_module
from geodistill_core.datasets.synthcity.pairs import draw_position_error, draw_yaw_error
from geodistill_core.errors import ConfigError

RIG = CameraRig("panorama", 256, 128)


def digest(pair):
    h = hashlib.sha256(pair.ground.rgb.tobytes() + pair.tile.rgb.tobytes())
    h.update(repr((pair.prior, pair.truth, pair.ground.roll_rad, pair.tile.key, pair.pose)).encode())
    return h.hexdigest()


def test_the_same_arguments_give_the_same_bytes_in_another_process():
    code = (
        "from geodistill_core.datasets.synthcity import sample_pair, CameraRig\n"
        "import hashlib\n"
        "p = sample_pair('old_town', 5, 3, 'hard', rig=CameraRig('panorama', 256, 128))\n"
        "h = hashlib.sha256(p.ground.rgb.tobytes() + p.tile.rgb.tobytes())\n"
        "h.update(repr((p.prior, p.truth, p.ground.roll_rad, p.tile.key, p.pose)).encode())\n"
        "print(h.hexdigest())\n"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == digest(sample_pair("old_town", 5, 3, "hard", rig=RIG))


def test_pairs_do_not_depend_on_what_was_sampled_before():
    first = digest(sample_pair("suburb", 2, 1, "standard", rig=RIG))
    sample_pair("suburb", 2, 7, "hard", rig=RIG)
    build_city("suburb", 2).overhead_bake(0.5)
    assert digest(sample_pair("suburb", 2, 1, "standard", rig=RIG)) == first


def test_style_seed_index_and_level_each_change_the_pair():
    arguments = [("suburb", 2, 1, "easy"), ("campus", 2, 1, "easy"), ("suburb", 3, 1, "easy"), ("suburb", 2, 2, "easy")]
    arguments.append(("suburb", 2, 1, "standard"))
    assert len({digest(sample_pair(*a, rig=RIG)) for a in arguments}) == len(arguments)


def test_styles_are_split_into_five_one_and_two_without_overlap():
    assert (len(TRAIN_STYLES), len(VALIDATION_STYLES), len(UNSEEN_STYLES)) == (5, 1, 2)
    assert sorted(TRAIN_STYLES + VALIDATION_STYLES + UNSEEN_STYLES) == sorted(STYLES)


def test_seed_ranges_are_disjoint_and_stay_below_the_reserved_ones():
    everything = [seed for seeds in SEEDS.values() for seed in seeds]
    assert len(set(everything)) == len(everything)
    assert max(everything) < 900_000


@pytest.mark.parametrize(
    "arguments", [("atlantis", 0, 0, "easy"), ("suburb", -1, 0, "easy"), ("suburb", 2**31, 0, "easy")]
)
def test_unknown_styles_and_seeds_out_of_range_are_refused(arguments):
    with pytest.raises(ConfigError):
        sample_pair(*arguments)


def test_unknown_levels_and_city_sizes_are_refused():
    with pytest.raises(ConfigError, match="easy"):
        sample_pair("suburb", 0, 0, "impossible")
    with pytest.raises(ConfigError, match="240"):
        build_city("suburb", 0, 20.0)


@pytest.mark.parametrize("level", list(LEVELS))
def test_the_tile_is_centred_at_the_prior_and_the_truth_is_off_by_the_drawn_error(level):
    pair = sample_pair("downtown", 4, 2, level, rig=RIG)
    assert pair.tile.center == pair.prior.point
    azimuth, _, distance = Geod(ellps="WGS84").inv(
        pair.truth.longitude, pair.truth.latitude, pair.prior.longitude, pair.prior.latitude
    )
    east, north = distance * math.sin(math.radians(azimuth)), distance * math.cos(math.radians(azimuth))
    assert np.allclose([east, north], pair.offset_m, atol=0.01)
    assert pair.prior.yaw_enu_rad - pair.truth.yaw_enu_rad == pytest.approx(pair.yaw_error_rad)


def test_position_errors_have_the_spread_that_the_prior_states():
    rng = np.random.default_rng(1)
    easy = np.array([draw_position_error(LEVELS["easy"], rng) for _ in range(4000)])
    assert np.abs(easy).max() <= 17.0
    assert np.allclose(easy.std(axis=0), 17 / math.sqrt(3), rtol=0.05)
    for name in ("standard", "hard"):
        errors = np.array([draw_position_error(LEVELS[name], rng) for _ in range(4000)])
        assert np.hypot(*errors.T).max() <= 20.0 + 1e-9
        assert np.allclose(errors.std(axis=0), 8.0, rtol=0.12)


def test_yaw_errors_are_gaussian_on_easy_and_uniform_within_bounds_elsewhere():
    rng = np.random.default_rng(2)
    easy = np.degrees([draw_yaw_error(LEVELS["easy"], rng) for _ in range(4000)])
    assert easy.std() == pytest.approx(2.0, rel=0.06)
    for name, bound in (("standard", 10.0), ("hard", 45.0)):
        errors = np.degrees([draw_yaw_error(LEVELS[name], rng) for _ in range(4000)])
        assert np.abs(errors).max() <= bound
        assert errors.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_easy_pairs_are_level_and_hard_ones_measure_their_tilt_with_an_error():
    easy = sample_pair("midtown", 1, 0, "easy", rig=RIG)
    assert (easy.ground.roll_rad, easy.ground.pitch_rad, easy.pose.roll_rad, easy.pose.pitch_rad) == (0, 0, 0, 0)
    assert abs(easy.pose.height_m - easy.ground.height_m) <= 0.05
    hard = [sample_pair("midtown", 1, i, "hard", rig=RIG) for i in range(12)]
    errors = np.degrees([p.ground.roll_rad - p.pose.roll_rad for p in hard])
    assert 0.0 < np.abs(errors).max() < 4.0
    assert 1.0 < np.degrees(np.std([p.pose.roll_rad for p in hard])) < 6.0


@pytest.mark.parametrize("style", list(STYLES))
def test_the_vehicle_stands_on_the_carriageway_of_a_fully_mapped_tile(style):
    city = build_city(style, 6)
    for index in range(4):
        pair = sample_pair(style, 6, index, "standard", rig=RIG)
        column = int((pair.pose.east_m + city.size_m / 2) / 0.25)
        row = int((city.size_m / 2 - pair.pose.north_m) / 0.25)
        assert city.surface.distance[row, column] < -0.5
        assert pair.tile.valid.all()
        assert pair.tile.rgb.shape == (320, 320, 3)


def test_lane_markings_lie_on_the_carriageway_in_every_style():
    for style in STYLES:
        city = build_city(style, 6)
        street = [p for p, g in zip(city.paint.polygons, city.paint.groups, strict=True) if g < 40]
        points = np.concatenate(street)
        points = points[np.abs(points).max(axis=1) < city.size_m / 2 - 1]
        column = ((points[:, 0] + city.size_m / 2) / 0.25).astype(int)
        row = ((city.size_m / 2 - points[:, 1]) / 0.25).astype(int)
        assert (city.surface.distance[row, column] < 0.3).mean() > 0.99


@pytest.mark.parametrize("style", list(STYLES))
def test_routes_follow_lanes_smoothly_with_turns(style):
    city = build_city(style, 1, 480.0)
    route = city.route(0, 250.0)
    steps = np.diff(route, axis=0)
    assert len(route) == 501
    assert np.allclose(np.hypot(*steps.T), 0.5, atol=0.01)
    curvature = np.abs(np.diff(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])))) / 0.5
    assert curvature.max() < 1 / 3.0
    assert np.abs(route).max() < city.size_m / 2 - 40
    column = ((route[:, 0] + city.size_m / 2) / 0.25).astype(int)
    row = ((city.size_m / 2 - route[:, 1]) / 0.25).astype(int)
    assert city.surface.distance[row, column].max() < 0.0


def test_recent_cities_are_kept_and_old_ones_released(monkeypatch):
    monkeypatch.setattr(city_module, "_KEPT_AREA_SQ_M", 2 * 240.0**2)
    first = build_city("suburb", 50, 240.0)
    second = build_city("suburb", 51, 240.0)
    assert build_city("suburb", 50, 240.0) is first
    build_city("suburb", 52, 240.0)
    assert build_city("suburb", 50, 240.0) is first
    assert build_city("suburb", 51, 240.0) is not second


def test_changes_leave_the_ground_view_alone_and_alter_the_map():
    city, sky = build_city("suburb", 6), Conditions()
    before = render_ground(city, GroundPose(0, 0, 0), RIG, sky)
    now, _ = render_overhead(city, 0, 0, 80, 0.25, sky, change=0.0)
    old, _ = render_overhead(city, 0, 0, 80, 0.25, sky, change=0.25)
    assert np.array_equal(before, render_ground(city, GroundPose(0, 0, 0), RIG, sky))
    share = (np.abs(now.astype(int) - old).max(axis=2) > 12).mean()
    assert 0.002 < share < 0.3


def test_beyond_the_city_the_tile_is_black_and_invalid():
    city = build_city("downtown", 1)
    rgb, valid = render_overhead(city, city.size_m / 2, 0.0, 40, 0.25, Conditions(noise=4.0))
    assert valid[:, :79].all() and not valid[:, 81:].any()
    assert not rgb[~valid].any()


def test_a_wall_rises_from_the_row_that_its_distance_demands():
    """One red box on a green plain: its base and top appear at the elevations of trigonometry."""
    city = build_city("industrial", 1)
    half_length, distance, height_m, eye_m = 4.0, 14.0, 9.0, 2.0
    box = np.array([[distance, 0, 0, half_length, 5.0, height_m, 255, 0, 0, 255, 0, 0, 0, 0.5, 0.5]], dtype=float)
    green = tuple(np.full_like(level, 0) + np.array([0, 200, 0, 0], np.uint8) for level in city.ground)
    city = replace(
        city, buildings=box, trees=city.trees[:0], poles=city.poles[:0], kerbs=np.zeros_like(city.kerbs), ground=green
    )
    view = Conditions(cars=False, shadow=0.0, overcast=1.0, visibility_m=1e9)
    column = render_ground(city, GroundPose(0, 0, 0, 0, 0, eye_m), CameraRig("panorama", 1024, 512), view)[:, 512]
    front = distance - half_length
    base = (0.5 + math.atan2(eye_m, front) / math.pi) * 512
    top = (0.5 - math.atan2(height_m - eye_m, front) / math.pi) * 512
    ground_starts = int(np.nonzero((column[:, 1] > 150) & (column[:, 0] < 20) & (column[:, 2] < 20))[0][0])
    wall_starts = int(np.nonzero(column[:, 2] < 120)[0][0])
    assert abs(ground_starts - base) < 1.0
    assert abs(wall_starts - top) < 1.0


def test_turning_the_vehicle_rolls_the_panorama():
    city = build_city("campus", 1)
    sky = Conditions(cars=False)
    ahead = render_ground(city, GroundPose(3, 2, 0.4), SMALL_PANORAMA_RIG, sky)
    turned = render_ground(city, GroundPose(3, 2, 0.4 + 2 * math.pi / 8), SMALL_PANORAMA_RIG, sky)
    # Turning left by 45 degrees moves the world to the right by an eighth of the image.
    difference = np.abs(np.roll(ahead, 80, axis=1).astype(int) - turned)
    assert difference.mean() < 1.0


def test_a_pinhole_rig_gives_an_image_with_its_camera_model():
    pair = sample_pair("boulevard", 3, 1, "hard", rig=pinhole_rig(320, 180, 90.0))
    assert pair.ground.camera is not None
    assert pair.ground.rgb.shape == (180, 320, 3)
    assert pair.ground.rgb.std() > 5


def test_a_contact_sheet_shows_every_requested_style():
    sheet = contact_sheet("easy", ("suburb", "campus"), columns=1, rig=RIG)
    assert sheet.shape == (640, 960, 3)
