# SPDX-License-Identifier: Apache-2.0
"""VIGOR's label files: what a line means, what a bad one is answered with, and the real files of Chicago."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from geodistill_core.datasets.vigor.labels import METRES_PER_PIXEL, TileOffset, read_labels
from geodistill_core.errors import DatasetError
from geodistill_core.geometry.geodesy import LocalFrame

REAL = Path(__file__).parents[2] / "../shared/data"
CHICAGO = REAL / "vigor_labels/Chicago"
TILES = [f"satellite_41.{n}_-87.{n}.png" for n in (1, 2, 3, 4)]
GOOD = " ".join(["cam,41.15,-87.05,.jpg", f"{TILES[0]} 10.0 -20.0", *(f"{tile} 300.0 -310.0" for tile in TILES[1:])])


def _read(tmp_path, text, city="Chicago"):
    path = tmp_path / "labels.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(path, tmp_path / city)


def test_a_positive_row_is_south_and_a_positive_column_is_west():
    assert TileOffset(10.0, 20.0).camera_px == (300.0, 330.0)
    assert TileOffset(160.0, 160.0).quarter_tiles() == (-1.0, 1.0)


def test_whole_pixels_of_the_small_tile_are_met_half_to_even():
    # 0.8 * 3.125 = 2.5 and 0.8 * 4.375 = 3.5 pixels: both halves go to the even neighbour.
    assert TileOffset(3.125, 4.375).rounded_quarter_tiles() == (-4 / 128, 2 / 128)
    assert TileOffset(71.0, -141.0).rounded_quarter_tiles() == (113 / 128, 57 / 128)


def test_a_line_gives_files_places_and_metres(tmp_path):
    [sample] = _read(tmp_path, GOOD)
    assert sample.panorama == tmp_path / "Chicago/panorama/cam,41.15,-87.05,.jpg"
    assert [sample.tile(group).name for group in range(4)] == TILES
    assert sample.tile() == tmp_path / "Chicago/satellite" / TILES[0]
    assert (sample.panorama_point.latitude, sample.panorama_point.longitude) == (41.15, -87.05)
    assert (sample.tile_center(2).latitude, sample.tile_center(2).longitude) == (41.3, -87.3)
    assert sample.camera_east_north_m() == pytest.approx((20 * 0.111262, -10 * 0.111262))
    assert sample.camera_east_north_m(1) == pytest.approx((310 * 0.111262, -300 * 0.111262))


@pytest.mark.parametrize(
    ("good", "bad", "named"),
    [
        (GOOD, GOOD.rsplit(" ", 1)[0], "12 fields"),
        (GOOD, GOOD + " 7", "14 fields"),
        ("10.0 -20.0", "ten -20.0", "ten"),
        ("10.0 -20.0", "nan -20.0", "nan"),
        ("10.0 -20.0", "10.0 -321.0", "-321.0"),
        ("300.0 -310.0", "900.0 -310.0", "900.0"),
        (TILES[0], "sat_41.1_-87.1.png", "sat_41.1_-87.1.png"),
        (TILES[0], "../" + TILES[0], "../satellite"),
        (TILES[0], TILES[0].replace("41.1", "91.1"), "91.1"),
        ("cam,41.15,", "cam,41.15N,", "41.15N"),
        ("cam,", "/etc/cam,", "/etc/cam"),
    ],
)
def test_a_malformed_line_is_named_with_file_number_value_and_remedy(tmp_path, good, bad, named):
    with pytest.raises(DatasetError) as caught:
        _read(tmp_path, GOOD + "\n\n" + GOOD.replace(good, bad) + "\n")
    for part in (str(tmp_path / "labels.txt"), "line 3", named, "corrected VIGOR label files"):
        assert part in str(caught.value)


@pytest.mark.parametrize("text", ["", " \n\n", b"\xff\xfe\x00\x81"], ids=["empty", "blank", "binary"])
def test_a_file_without_labels_is_refused(tmp_path, text):
    with pytest.raises(DatasetError, match=r"labels\.txt"):
        _read(tmp_path, text)


def test_a_missing_file_and_an_unknown_city_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"absent\.txt cannot be read"):
        read_labels(tmp_path / "absent.txt", tmp_path / "Chicago")
    with pytest.raises(DatasetError, match="NewYork, Seattle, SanFrancisco, Chicago"):
        _read(tmp_path, GOOD, city="Boston")


def test_windows_line_ends_and_byte_order_mark_do_no_harm(tmp_path):
    [plain] = _read(tmp_path, GOOD)
    assert _read(tmp_path, b"\xef\xbb\xbf" + f"{GOOD}\r\n{GOOD}\r\n".encode()) == [plain, plain]


@pytest.fixture(scope="module")
def chicago():
    if not CHICAGO.is_dir():
        pytest.skip("real data absent: vigor_labels/Chicago")
    return [s for path in sorted(CHICAGO.glob("same_area_*.txt")) for s in read_labels(path, CHICAGO)]


def test_real_labels_have_the_spread_that_was_counted_elsewhere(chicago):
    positives = np.array([(s.offsets[0].row, s.offsets[0].column) for s in chicago])
    semi = np.array([(o.row, o.column) for s in chicago for o in s.offsets[1:]])
    assert len(chicago) == 25_479
    assert np.abs(positives).max(axis=0).tolist() == [164.0, 165.0]
    assert np.abs(semi).max() == 331.0
    assert positives.std(axis=0) == pytest.approx((93.92822591438312, 95.56401723765624))


def test_real_labels_meet_the_places_in_the_names_in_metres(chicago):
    """Names are rounded to 0.1 m and labels to whole pixels, so a sign or a scale gone wrong would stand out."""
    misses = []
    for sample in chicago[::500]:
        frame = LocalFrame(sample.tile_center())
        named = frame.to_enu(sample.panorama_point.latitude, sample.panorama_point.longitude)
        misses.append(np.subtract(named, sample.camera_east_north_m()))
    assert np.abs(np.mean(misses, axis=0)).max() < 0.1
    assert np.std(misses, axis=0).max() < 0.25


@pytest.mark.skipif(not (REAL / "vigor_sample").is_dir(), reason="real data absent: vigor_sample")
def test_the_real_sample_has_its_camera_where_its_description_says():
    meta = json.loads((REAL / "vigor_sample/meta.json").read_text())
    column, row = TileOffset(*meta["label_d_row_d_col"]).camera_px
    assert {"col": column, "row": row} == {key: meta["camera_pixel"][key] for key in ("col", "row")}
    assert METRES_PER_PIXEL["Seattle"] == pytest.approx(meta["metres_per_pixel"], rel=2e-3)
