# SPDX-License-Identifier: Apache-2.0
"""Folders of GeoTIFFs as one map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from gdal_oracle import gdal_tile, shift_px
from pyproj import Transformer
from rasterio.transform import from_origin
from remote import REAL

from geodistill_core.errors import MapError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps import mosaic, open_map, resample
from geodistill_core.types import GeoPoint

PLACE = GeoPoint(47.4, 9.0)


def sheet(
    path, level: int, crs: str, offset_m: tuple[float, float], side_m: float, pixel_m: float, place=PLACE, **tags
):
    """A grey square whose middle lies `offset_m` (east, north) of a place in the units of its system."""
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(place.longitude, place.latitude)
    side = round(side_m / pixel_m)
    left, top = x + offset_m[0] - side_m / 2, y + offset_m[1] + side_m / 2
    how = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8", "crs": crs}
    with rasterio.open(path, "w", **how, transform=from_origin(left, top, pixel_m, pixel_m)) as dataset:
        dataset.write(np.full((3, side, side), level, np.uint8))
        dataset.update_tags(**tags)


@pytest.fixture
def folder(tmp_path):
    """West and east in two systems; a finer one in the middle of both."""
    sheet(tmp_path / "west.tif", 50, "EPSG:32632", (-50.0, 0.0), 100.0, 0.5, TIFFTAG_COPYRIGHT="Survey")
    sheet(tmp_path / "east.TIFF", 100, "EPSG:2056", (50.0, 0.0), 104.0, 0.5, TIFFTAG_COPYRIGHT="Canton")
    sheet(tmp_path / "fine.tif", 200, "EPSG:32632", (0.0, 0.0), 30.0, 0.2)
    (tmp_path / "notes.txt").write_text("not a map")
    return tmp_path


def level_at(tile, east_m: float, north_m: float) -> int:
    column, row = (int(part) for part in tile.enu_to_pixel(east_m, north_m))
    return int(tile.rgb[row, column, 0])


def test_sheets_of_two_systems_join_and_the_finest_wins(folder):
    with open_map(folder) as source:
        tile = source.tile(PLACE, 120.0, 0.25)
        assert source.info().kind == "mosaic" and source.info().metres_per_pixel == pytest.approx(0.2, rel=1e-3)
        assert set(source.attribution.split("; ")) == {"Survey", "Canton"}
    places = {
        (-40.0, 0.0): 50,
        (40.0, 10.0): 100,
        (0.0, 0.0): 200,
        (14.0, 14.0): 200,
        (-17.0, 0.0): 50,
        (17.0, 0.0): 100,
    }
    assert {at: level_at(tile, *at) for at in places} == places
    assert not tile.valid[0, 0] and tile.valid[:, 10:-10].mean() > 0.8


def test_beyond_the_sheets_the_nearest_is_named(folder):
    with open_map(folder) as source:
        center = LocalFrame(PLACE).point(-400.0, 0.0)
        with pytest.raises(MapError, match=r"nearest coverage is (29|30)\d m away"):
            source.tile(center, 60.0, 0.5)
        assert source.bounds().contains(PLACE) and not source.bounds().contains(center)


def test_sheets_meet_across_the_antimeridian(tmp_path):
    place = GeoPoint(-17.0, 180.0)
    sheet(tmp_path / "west.tif", 50, "EPSG:32760", (-60.0, 0.0), 120.0, 0.5, place)
    sheet(tmp_path / "east.tif", 100, "EPSG:32701", (60.0, 0.0), 120.0, 0.5, place)
    with open_map(tmp_path) as source:
        tile = source.tile(place, 60.0, 0.25)
        assert source.bounds().width < 0.01
    assert level_at(tile, -20.0, 0.0) == 50 and level_at(tile, 20.0, 0.0) == 100
    assert tile.valid.mean() > 0.97


def test_where_sheets_of_one_survey_overlap_the_nearest_wins(tmp_path):
    sheet(tmp_path / "west.tif", 50, "EPSG:32632", (-10.0, 0.0), 100.0, 0.5)
    sheet(tmp_path / "east.tif", 100, "EPSG:32632", (10.0, 3.0), 100.0, 0.5)
    with open_map(tmp_path) as source:
        for east_m, level in ((-20.0, 50), (20.0, 100)):
            tile = source.tile(LocalFrame(PLACE).point(east_m, 0.0), 30.0, 0.25)
            assert tile.valid.all() and (tile.rgb == level).all()


@pytest.fixture
def quilt(tmp_path):
    """Nine sheets, three by three."""
    for column in range(3):
        for row in range(3):
            offset_m = (100.0 * (column - 1), 100.0 * (row - 1))
            sheet(tmp_path / f"{column}{row}.tif", 10 + 10 * (3 * column + row), "EPSG:32632", offset_m, 100.0, 1.0)
    return tmp_path


def test_a_tile_opens_the_sheets_that_it_shows_and_keeps_them_open(quilt, monkeypatch):
    with open_map(quilt) as source:
        opened, really = [], mosaic.GeoTiffSource
        monkeypatch.setattr(mosaic, "GeoTiffSource", lambda path: opened.append(path.name) or really(path))
        for _ in range(3):
            source.tile(PLACE, 60.0, 0.5)
        assert opened == ["11.tif"]
        source.tile(LocalFrame(PLACE).point(50.0, 0.0), 60.0, 0.5)
        assert opened == ["11.tif", "21.tif"]


def test_what_one_sheet_has_filled_is_not_read_from_another(quilt, monkeypatch):
    monkeypatch.setattr(resample, "_BLOCK", 40)
    read, blocks = mosaic.GeoTiffSource.read_means, []
    monkeypatch.setattr(
        mosaic.GeoTiffSource, "read_means", lambda self, *how: blocks.append(self.info().location) or read(self, *how)
    )
    sheet(quilt / "over.tif", 200, "EPSG:32632", (0.0, 0.0), 160.0, 0.5)
    with open_map(quilt) as source:
        tile = source.tile(PLACE, 200.0, 1.0)
    # 25 blocks; the finest sheet fills the 9 in the middle, the others are asked for the 16 around.
    count = {name: sum(at.endswith(name) for at in blocks) for name in ("over.tif", "11.tif")}
    assert count == {"over.tif": 25, "11.tif": 16} and len(blocks) < 25 + 9 * 16
    assert tile.valid.all() and (tile.rgb[25:175, 25:175] == 200).all()


def test_of_many_sheets_few_stay_open(quilt, monkeypatch):
    def open_sheets() -> int:
        files = (entry.resolve() for entry in Path("/proc/self/fd").iterdir() if entry.exists())
        return sum(path.parent == quilt.resolve() for path in files)

    monkeypatch.setattr(mosaic, "_OPEN_FILES", 2)
    with open_map(quilt) as source:
        assert open_sheets() == 0
        tile = source.tile(PLACE, 280.0, 1.0)
        assert tile.valid.all() and {int(level) for level in tile.rgb[50::90, 50::90, 0].flat} == {*range(10, 100, 10)}
        assert 0 < open_sheets() <= 2
    assert open_sheets() == 0


def test_a_file_that_is_no_map_is_named(folder):
    (folder / "broken.tif").write_bytes(b"II*\x00 nothing")
    with pytest.raises(MapError, match=r"broken\.tif"):
        open_map(folder)


@pytest.mark.skipif(not REAL.is_dir(), reason="real data absent: geotiff")
def test_a_folder_of_real_imagery_shows_what_gdal_warps(tmp_path):
    for name in ("deepforest_rdnew_test_tiled.tif", "deepforest_manila_epsg3395.tif"):
        (tmp_path / name).symlink_to((REAL / name).resolve())
    with open_map(tmp_path) as source:
        for name in ("deepforest_rdnew_test_tiled.tif", "deepforest_manila_epsg3395.tif"):
            with open_map(REAL / name) as local:
                center = local.bounds().center
            tile = source.tile(center, 32.0, 0.25)
            reference = gdal_tile(REAL / name, center, 128, 0.25)
            assert tile.valid.all() and shift_px(tile.rgb, reference) < 0.5
            assert np.median(np.abs(tile.rgb.astype(int) - reference)) <= 2
