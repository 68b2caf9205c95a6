# SPDX-License-Identifier: Apache-2.0
"""Real imagery through every kind of source, against GDAL's own warp of the file."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
from gdal_oracle import gdal_tile, shift_px
from remote import REAL, opened, to_pmtiles

from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps import open_map, write_mbtiles
from geodistill_core.maps.serve import serve

COLORADO = "201404_13SED190110_201404_0x1500m_CL_1.tif"
MPP = 0.25
# Files, and a zoom level whose pixels are finer than their own.
FILES = {COLORADO: 21, "deepforest_rdnew_test_tiled.tif": 20, "deepforest_manila_epsg3395.tif": 21}
KINDS = {
    "xyz": ("xyz", "/{z}/{x}/{y}.png", {}),
    "xyz of 512 pixels": ("xyz", "/512/{z}/{x}/{y}.png", {"tile_size": 512}),
    "xyz at 2x": ("xyz", "/{z}/{x}/{y}@2x.png", {"scale": 2}),
    "tms": ("tms", "/tms/{z}/{x}/{y}.png", {}),
    "wmts": ("wmts", "/wmts/map/default/GoogleMapsCompatible/{TileMatrix}/{TileRow}/{TileCol}.png", {}),
    "wmts by query": ("wmts", "/wmts", {"layer": "map", "tile_matrix_set": "GoogleMapsCompatible"}),
    "wms": ("wms", "/wms", {"layers": "map"}),
    "wms 1.1.1": ("wms", "/wms", {"layers": "map", "version": "1.1.1"}),
    "wms in degrees": ("wms", "/wms", {"layers": "map", "crs": "EPSG:4326"}),
    "wms in UTM": ("wms", "/wms", {"layers": "map", "crs": "EPSG:26913"}),
    "wms in feet": ("wms", "/wms", {"layers": "map", "crs": "EPSG:2232"}),
}
real_data = pytest.mark.skipif(not REAL.is_dir(), reason="real data absent: geotiff")


def assert_shows(source, name) -> None:
    """The source's picture of a file's middle lies and looks as GDAL warps the file itself."""
    with open_map(REAL / name) as local:
        center = local.bounds().center
    tile = source.tile(center, 32.0, MPP)
    reference = gdal_tile(REAL / name, center, tile.rgb.shape[0], MPP)
    assert tile.valid.all()
    assert shift_px(tile.rgb, reference) < 0.5
    assert np.median(np.abs(tile.rgb.astype(int) - reference)) <= 2


@pytest.fixture(scope="module")
def colorado():
    with open_map(REAL / COLORADO) as local, serve(local) as server:
        yield server.url


@real_data
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_service_shows_what_gdal_warps(colorado, kind, tmp_path):
    base, path, fields = KINDS[kind]
    # Tiles of 512 pixels are as fine as those of 256 a zoom level down.
    zoom = FILES[COLORADO] - (fields.get("tile_size") == 512 or fields.get("scale") == 2)
    with opened(base, colorado + path, tmp_path, zooms=[zoom, zoom], **fields) as source:
        assert_shows(source, COLORADO)


@real_data
@pytest.mark.parametrize("name", [name for name in FILES if name != COLORADO])
@pytest.mark.parametrize("kind", ["xyz", "wms"])
def test_services_of_imagery_in_other_systems_show_what_gdal_warps(name, kind, tmp_path):
    base, path, fields = KINDS[kind]
    with (
        open_map(REAL / name) as local,
        serve(local) as server,
        opened(base, server.url + path, tmp_path, zooms=[FILES[name]] * 2, **fields) as source,
    ):
        assert_shows(source, name)


@real_data
@pytest.mark.parametrize("name", [*FILES, "cog_rgb.tif", "cog_rgb_mask.tif", "cog_rgba.tif"])
def test_a_geotiff_read_by_ranges_shows_what_gdal_warps(name, tmp_path):
    with (
        open_map(REAL / name) as local,
        serve(local, file=REAL / name) as server,
        opened("cog", f"{server.url}/file/{name}", tmp_path) as source,
    ):
        center = local.bounds().center
        tile, direct = source.tile(center, 32.0, MPP), local.tile(center, 32.0, MPP)
        assert tile.key == direct.key
        if direct.valid.all():
            assert_shows(source, name)


@real_data
@pytest.mark.parametrize("name", FILES)
def test_archives_show_what_gdal_warps(name, tmp_path):
    with open_map(REAL / name) as local:
        center = local.bounds().center
        around = GeoBounds.enclosing(*LocalFrame(center).to_geodetic(np.array([-20.0, 20.0]), np.array([-20.0, 20.0])))
        write_mbtiles(tmp_path / "a.mbtiles", local, around, FILES[name])
        path = to_pmtiles(tmp_path / "a.mbtiles", tmp_path / "a.pmtiles")
        for copy in (tmp_path / "a.mbtiles", path):
            with open_map(copy) as source:
                assert_shows(source, name)
        with ExitStack() as stack:
            url = stack.enter_context(serve(local, file=path)).url
            assert_shows(stack.enter_context(opened("pmtiles", f"{url}/file/{path.name}", tmp_path)), name)
