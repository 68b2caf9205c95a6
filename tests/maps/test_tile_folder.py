# SPDX-License-Identifier: Apache-2.0
"""Folders of ZOOM/COLUMN/ROW.png against the archive that holds the same tiles."""

from __future__ import annotations

import sqlite3

import cv2
import numpy as np
import pytest

from geodistill_core.errors import MapError
from geodistill_core.geometry import mercator
from geodistill_core.maps import RasterSource, grid, open_map, write_mbtiles
from geodistill_core.maps.slippy import SlippyGrid
from geodistill_core.types import GeoPoint

PLACE = GeoPoint(47.4, 8.5)
ZOOM = 20


def city(place: GeoPoint, side: int = 900) -> RasterSource:
    image = np.random.default_rng(3).integers(0, 256, (side // 10, side // 10, 3), dtype=np.uint8)
    return RasterSource(cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC), place, 0.1)


@pytest.fixture
def archive(tmp_path):
    source = city(PLACE)
    write_mbtiles(tmp_path / "city.mbtiles", source, source.bounds(), ZOOM)
    return tmp_path / "city.mbtiles"


def unpacked(archive, folder, *, from_south=False, suffix="png"):
    """The archive's tiles as files; MBTiles count rows from the south."""
    with sqlite3.connect(archive) as database:
        rows = database.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles").fetchall()
    database.close()
    for zoom, column, row, data in rows:
        path = folder / f"{zoom}/{column}/{row if from_south else (1 << zoom) - 1 - row}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_a_folder_shows_what_the_archive_of_its_tiles_shows(archive, tmp_path):
    folder = unpacked(archive, tmp_path / "tiles")
    (folder / "tiles.yaml").write_text("attribution: Survey\nmap_sigma_m: 0.4\n")
    with open_map(archive) as packed, open_map(folder) as tiles:
        assert tiles.tile(PLACE, 60.0, 0.1).key == packed.tile(PLACE, 60.0, 0.1).key
        info = tiles.info()
        assert (info.kind, info.zooms, info.attribution, tiles.map_sigma_m) == ("tile folder", (20,), "Survey", 0.4)
        around, inside = info.bounds, packed.bounds()
        assert around.west <= inside.west and around.east >= inside.east
        assert around.south <= inside.south and around.north >= inside.north
        assert around.width - inside.width < 3 * 360 / 2**ZOOM


@pytest.mark.parametrize("said", ["tiles.yaml", "tilemapresource.xml"])
def test_rows_from_the_south_are_told_by_a_description(archive, tmp_path, said):
    folder = unpacked(archive, tmp_path / "tiles", from_south=True)
    content = {"tiles.yaml": "scheme: tms", "tilemapresource.xml": '<TileSets profile="mercator"/>'}[said]
    (folder / said).write_text(content)
    with open_map(archive) as packed, open_map(folder) as tiles:
        assert tiles.tile(PLACE, 60.0, 0.1).key == packed.tile(PLACE, 60.0, 0.1).key
        assert tiles.bounds().contains(PLACE)


def test_coarser_levels_and_pictures_of_several_formats_mix(tmp_path):
    column, row = mercator.tile_of(PLACE.latitude, PLACE.longitude, ZOOM)
    for name, level in ((f"{ZOOM}/{column}/{row}.webp", 200), (f"{ZOOM - 2}/{column >> 2}/{row >> 2}.jpg", 90)):
        (tmp_path / name).parent.mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / name), np.full((256, 256, 3), level, np.uint8))
    (tmp_path / "31").mkdir()
    middle = GeoPoint(*mercator.to_geodetic(column + 0.5, row + 0.5, ZOOM, 1))
    with open_map(tmp_path) as tiles:
        assert tiles.info().zooms == (ZOOM - 2, ZOOM)
        assert abs(int(tiles.tile(middle, 10.0, 0.1).rgb.mean()) - 200) <= 2
        assert abs(int(tiles.tile(middle, 10.0, 0.4).rgb.mean()) - 90) <= 2


def test_tiles_on_both_sides_of_the_antimeridian_are_one_map(tmp_path):
    place = GeoPoint(-17.0, 180.0)
    source = city(place)
    write_mbtiles(tmp_path / "a.mbtiles", source, source.bounds(), ZOOM)
    with (
        open_map(tmp_path / "a.mbtiles") as packed,
        open_map(unpacked(tmp_path / "a.mbtiles", tmp_path / "t")) as tiles,
    ):
        assert tiles.bounds().width < 0.01 and tiles.bounds().contains(place)
        assert tiles.tile(place, 60.0, 0.1).key == packed.tile(place, 60.0, 0.1).key


def test_a_warm_tile_decodes_no_picture_again(archive, tmp_path, monkeypatch):
    for map_path in (archive, unpacked(archive, tmp_path / "tiles")):
        with open_map(map_path) as map_:
            map_.tile(PLACE, 80.0, 0.25)
            with monkeypatch.context() as patch:
                patch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded again"))
                for step in range(5):
                    map_.tile(GeoPoint(47.4 + 1e-6 * step, 8.5), 80.0, 0.25)


def test_a_coarse_picture_of_a_fine_map_reads_it_in_strips(archive, monkeypatch):
    read, sizes = SlippyGrid.read, []

    def counted(self, window):
        sizes.append(window.width * window.height)
        return read(self, window)

    with open_map(archive) as map_:
        whole = map_.tile(PLACE, 85.0, 2.0)
        monkeypatch.setattr(grid, "_STRIP_PIXELS", 20_000)
        monkeypatch.setattr(SlippyGrid, "read", counted)
        assert map_.tile(PLACE, 85.0, 2.0).key == whole.key
    assert len(sizes) > 10 and max(sizes) <= 20_000 < sum(sizes)


def test_what_is_no_tile_is_refused_in_words(tmp_path):
    (tmp_path / "18").mkdir()
    with pytest.raises(MapError, match="holds no ZOOM/COLUMN/ROW"):
        open_map(tmp_path)
    path = tmp_path / "18/5/7.png"
    path.parent.mkdir()
    path.write_bytes(b"<html>")
    with pytest.raises(MapError, match="a tile of"):
        open_map(tmp_path)
    cv2.imwrite(str(path), np.zeros((256, 256, 3), np.uint8))
    (tmp_path / "tilemapresource.xml").write_text('<TileSets profile="geodetic"/>')
    with pytest.raises(MapError, match="gdal2tiles"):
        open_map(tmp_path)
    (tmp_path / "tilemapresource.xml").unlink()
    for text in ("scheme: up", "- 1", "zom: 1", "map_sigma_m: -1"):
        (tmp_path / "tiles.yaml").write_text(text)
        with pytest.raises(MapError, match=r"tiles\.yaml"):
            open_map(tmp_path)
