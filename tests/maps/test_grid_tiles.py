# SPDX-License-Identifier: Apache-2.0
"""WMTS and WMS whose tiles lie in a grid of their own, against GDAL's own warp and against arithmetic."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import rasterio
from gdal_oracle import gdal_tile, shift_px
from pyproj import Transformer
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject
from remote import REAL, a_spec, opened
from server import FaultServer, status

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps import RasterSource, open_map
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.serve import Reply, serve
from geodistill_core.types import GeoPoint

SWISS = GeoPoint(47.4, 8.5)
SWISS_GRID = {"crs": "EPSG:2056", "origin": [2420000.0, 1350000.0]}
# Metres per pixel of levels 24..27, which do not halve; an OGC pixel has 0.28 mm.
SWISS_M = [1.0, 0.5, 0.25, 0.1]
SWISS_SCALES = [metres / 0.00028 for metres in SWISS_M]
FOOT_M = 1200 / 3937
GRIDS = {
    "deepforest_rdnew_test_tiled.tif": {
        "crs": "EPSG:28992",
        "origin": [-285401.92, 903401.92],
        "zooms": [13, 14],
        "scale_denominators": [12288000 / 2**zoom for zoom in (13, 14)],
    },
    "201404_13SED190110_201404_0x1500m_CL_1.tif": {
        "crs": "EPSG:2232",
        "origin": [2000000.0, 2500000.0],
        "zooms": [0, 1],
        "scale_denominators": [feet * FOOT_M / 0.00028 for feet in (1.7, 0.5)],
    },
}


def png(rgb: np.ndarray) -> Reply:
    return Reply(bytes(cv2.imencode(".png", rgb[..., ::-1])[1]), "image/png")


def drawn_by_gdal(path, fields: dict, pixel_units: list[float]):
    """A WMTS of one file: GDAL draws every tile."""
    with rasterio.open(path) as dataset:
        bands, transform, crs = dataset.read([1, 2, 3]), dataset.transform, dataset.crs

    def answer(request):
        zoom, column, row = (int(part) for part in request.path.removesuffix(".png").strip("/").split("/"))
        step = pixel_units[zoom - fields["zooms"][0]]
        left, top = fields["origin"][0] + column * 256 * step, fields["origin"][1] - row * 256 * step
        tile = np.zeros((3, 256, 256), np.uint8)
        where = {"dst_transform": from_origin(left, top, step, step), "dst_crs": fields["crs"]}
        reproject(bands, tile, src_transform=transform, src_crs=crs, resampling=Resampling.bilinear, **where)
        return png(np.moveaxis(tile, 0, 2))

    return answer


@pytest.mark.skipif(not REAL.is_dir(), reason="real data absent: geotiff")
@pytest.mark.parametrize("name", GRIDS)
def test_a_wmts_in_a_national_grid_shows_what_gdal_warps(name, tmp_path):
    fields = GRIDS[name]
    # As the providers' tables have them: metres of the Dutch grid, feet of Colorado's.
    units = [3440.64 / 2**zoom for zoom in (13, 14)] if fields["crs"] == "EPSG:28992" else [1.7, 0.5]
    with open_map(REAL / name) as local:
        center = local.bounds().center
    with (
        FaultServer(drawn_by_gdal(REAL / name, fields, units)) as server,
        opened("wmts", server.url + "/{TileMatrix}/{TileCol}/{TileRow}.png", tmp_path, **fields) as source,
    ):
        tile = source.tile(center, 32.0, 0.25)
        assert {path.split("/")[1] for path in server.paths} == {str(fields["zooms"][1])}
    reference = gdal_tile(REAL / name, center, tile.rgb.shape[0], 0.25)
    assert tile.valid.all() and shift_px(tile.rgb, reference) < 0.5
    assert np.median(np.abs(tile.rgb.astype(int) - reference)) <= 2


class SwissService:
    """Tiles of one grey a level; `absent(zoom, column, row)` has none."""

    def __init__(self):
        self.absent = lambda zoom, column, row: False

    def __call__(self, request):
        zoom, column, row = (int(part) for part in request.path.removesuffix(".png").strip("/").split("/"))
        if self.absent(zoom, column, row):
            return Reply(b"", status=404)
        return png(np.full((256, 256, 3), 10 * (zoom - 20), np.uint8))


@pytest.fixture
def swiss(tmp_path):
    service = SwissService()
    with FaultServer(service) as server:

        def start(**fields):
            given = SWISS_GRID | {"zooms": [24, 27], "scale_denominators": SWISS_SCALES} | fields
            return opened("wmts", server.url + "/{TileMatrix}/{TileCol}/{TileRow}.png", tmp_path, **given)

        yield service, server, start


@pytest.mark.parametrize("metres_per_pixel, zoom", [(0.1, 27), (0.2, 27), (0.25, 26), (0.4, 26), (0.5, 25), (3.0, 24)])
def test_the_coarsest_level_that_is_as_fine_is_asked(swiss, metres_per_pixel, zoom):
    _, server, start = swiss
    with start() as source:
        tile = source.tile(SWISS, 60.0, metres_per_pixel)
        assert source.info().metres_per_pixel == pytest.approx(0.1, rel=1e-3)
    assert tile.valid.all() and (tile.rgb == 10 * (zoom - 20)).all()
    x, y = Transformer.from_crs(4326, 2056, always_xy=True).transform(SWISS.longitude, SWISS.latitude)
    side_m = 256 * SWISS_M[zoom - 24]
    assert f"/{zoom}/{int((x - 2420000) // side_m)}/{int((1350000 - y) // side_m)}.png" in server.paths


def test_coarser_levels_that_do_not_nest_stand_in_for_gaps(swiss):
    service, server, start = swiss
    service.absent = lambda zoom, column, row: zoom == 27 and column % 2 == 0
    with start() as source:
        tile = source.tile(SWISS, 60.0, 0.1)
        assert tile.valid.all() and set(np.unique(tile.rgb)) <= {*range(60, 71)}
        assert (tile.rgb == 60).any() and (tile.rgb == 70).any()
        assert source.missing(SWISS, 60.0, 0.1) == ()
        asked = len(server.paths)
        assert source.tile_at_hand(SWISS, 60.0, 0.1).key == source.tile(SWISS, 60.0, 0.1).key == tile.key
        assert len(server.paths) == asked


def test_beyond_the_corner_of_the_grid_nothing_is_asked(swiss):
    _, server, start = swiss
    x, y = 2420000.0 + 3.0, 1350000.0 - 2.0
    longitude, latitude = Transformer.from_crs(2056, 4326, always_xy=True).transform(x, y)
    with start() as source:
        tile = source.tile(GeoPoint(latitude, longitude), 20.0, 0.1)
    assert set(server.paths) == {"/27/0/0.png"} and 0.3 < tile.valid.mean() < 0.5
    with start() as source, pytest.raises(MapError, match="no imagery"):
        source.tile(GeoPoint(47.0, 2.0), 20.0, 0.1)


def test_nothing_is_asked_beyond_the_bounds_of_a_service_in_its_own_grid(swiss):
    _, server, start = swiss
    with start(bounds=[8.5, 47.38, 8.6, 47.42]) as source:
        middle = source.tile(LocalFrame(SWISS).point(-300.0, 0.0), 1000.0, 1.0)
        assert 0.2 < middle.valid.mean() < 1.0
        asked = len(server.paths)
        with pytest.raises(MapError, match="no imagery"):
            source.tile(GeoPoint(47.4, 8.3), 60.0, 0.1)
    assert len(server.paths) == asked


def city(place: GeoPoint) -> RasterSource:
    noise = np.random.default_rng(2).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    return RasterSource(cv2.resize(noise, (800, 800), interpolation=cv2.INTER_CUBIC), place, 0.25)


@pytest.mark.parametrize("crs, place", [("EPSG:4647", GeoPoint(54.3, 10.1)), ("EPSG:4326", GeoPoint(-17.0, 180.0))])
def test_a_wms_shows_its_map_whatever_the_numbers_of_its_system(crs, place, tmp_path):
    source = city(place)
    fields = {"layers": "map", "crs": crs, "zooms": [18, 22]}
    with serve(source) as server, opened("wms", f"{server.url}/wms", tmp_path, **fields) as remote:
        tile, direct = remote.tile(place, 60.0, 0.25), source.tile(place, 60.0, 0.25)
    assert tile.valid.all() and shift_px(tile.rgb, direct.rgb) < 0.5
    assert np.median(np.abs(tile.rgb.astype(int) - direct.rgb)) <= 2


def test_a_wms_is_asked_for_nothing_beyond_its_bounds(tmp_path):
    fields = {"layers": "map", "crs": "EPSG:25832", "zooms": [20, 20], "bounds": [9.0, 54.0, 9.5, 54.5]}
    with FaultServer(status(500)) as server, opened("wms", f"{server.url}/wms", tmp_path, **fields) as remote:
        with pytest.raises(MapError, match="no imagery"):
            remote.tile(GeoPoint(54.2, 10.0), 60.0, 0.25)
        assert server.paths == []


@pytest.mark.parametrize(
    "crs, origin",
    [
        ("EPSG:28992", [-285401.92, 903401.92]),
        ("EPSG:25832", [-46133.17, 6301219.54]),
        ("EPSG:3006", [-1200000, 8500000]),
        ("EPSG:3067", [-548576, 8388608]),
        ("EPSG:2180", [100000, 850000]),
        ("EPSG:4326", [-180, 90]),
        ("EPSG:3857", [-20037508.34, 20037508.34]),
    ],
)
def test_corners_of_grids_in_use_are_taken(crs, origin):
    fields = {"crs": crs, "origin": origin, "zooms": [3, 3], "scale_denominators": [1000.0]}
    spec = a_spec("wmts", "https://tiles.example/{TileMatrix}/{TileCol}/{TileRow}.png", **fields)
    assert not spec.is_slippy and spec.tile_url(TileAddress(3, 1, 2)).endswith("/3/1/2.png")


@pytest.mark.parametrize(
    "fields, says",
    [
        ({"origin": None}, "origin is missing"),
        ({"crs": None}, "crs is missing"),
        ({"scale_denominators": None}, "scale_denominators is missing"),
        ({"zooms": [24, 26]}, r"scale_denominators are 4; zooms \[24, 26\] need 3"),
        ({"scale_denominators": SWISS_SCALES[::-1]}, "must descend"),
        ({"origin": [1350000.0, 2420000.0]}, "east, north"),
        ({"crs": "EPSG:999999"}, "EPSG:999999 is unknown"),
    ],
)
def test_half_a_grid_is_refused_with_what_to_write(fields, says):
    given = SWISS_GRID | {"zooms": [24, 27], "scale_denominators": SWISS_SCALES} | fields
    with pytest.raises(ConfigError, match=says):
        a_spec(
            "wmts",
            "https://tiles.example/{TileMatrix}/{TileCol}/{TileRow}.png",
            **{name: value for name, value in given.items() if value is not None},
        )
