# SPDX-License-Identifier: Apache-2.0
"""What the tile server gives, against rasterio and GDAL reading the same imagery."""

from __future__ import annotations

import http.client
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_bounds
from rasterio.warp import Resampling, reproject, transform_bounds

from geodistill_core.errors import MapError
from geodistill_core.geometry import mercator
from geodistill_core.maps import open_map
from geodistill_core.maps.serve import Request, serve
from geodistill_core.maps.serve.ranges import file_reply

REAL = Path("../shared/data/geotiff/201404_13SED190110_201404_0x1500m_CL_1.tif")
ZOOM = 20
WORLD_M = 20_037_508.342789244


@pytest.fixture(scope="module")
def site():
    if not REAL.exists():
        pytest.skip("../shared/data/geotiff is absent")
    with open_map(REAL) as source, serve(source, file=REAL) as server:
        yield server, source


def _get(server, target, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", target, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body, dict(answer.headers)


def _rgb(body):
    return cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def _middle_tile(source):
    return mercator.tile_of(source.bounds().center.latitude, source.bounds().center.longitude, ZOOM)


def _warped(box, crs, size):
    with rasterio.open(REAL) as dataset:
        made = np.zeros((3, size[1], size[0]), np.uint8)
        transform = from_bounds(*box, *size)
        reproject(
            dataset.read([1, 2, 3]),
            made,
            src_transform=dataset.transform,
            src_crs=dataset.crs,
            dst_crs=crs,
            dst_transform=transform,
            resampling=Resampling.bilinear,
        )
    return np.moveaxis(made, 0, 2).astype(int)


def _tile_box(column, row, zoom):
    side = 2 * WORLD_M / 2**zoom
    return (column * side - WORLD_M, WORLD_M - (row + 1) * side, (column + 1) * side - WORLD_M, WORLD_M - row * side)


@pytest.mark.parametrize(("form", "side"), [("/{z}/{x}/{y}.png", 256), ("/{z}/{x}/{y}@2x.png", 512)])
def test_a_tile_is_the_picture_that_rasterio_warps_to_its_mercator_square(site, form, side):
    server, source = site
    column, row = _middle_tile(source)
    status, body, headers = _get(server, form.format(z=ZOOM, x=column, y=row))
    assert status == 200 and headers["Content-Type"] == "image/png"
    expected = _warped(_tile_box(column, row, ZOOM), "EPSG:3857", (side, side))
    assert _rgb(body).shape == (side, side, 3)
    assert np.median(np.abs(_rgb(body) - expected)) <= 1.0


def test_tms_wmts_and_xyz_name_the_same_tile(site):
    server, source = site
    column, row = _middle_tile(source)
    expected = _get(server, f"/{ZOOM}/{column}/{row}.png")[1]
    kvp = f"/wmts?service=WMTS&request=GetTile&tilematrix={ZOOM}&tilecol={column}&tilerow={row}&Format=image/png"
    rest = f"/wmts/map/default/GoogleMapsCompatible/{ZOOM}/{row}/{column}.png"
    for other in (f"/tms/{ZOOM}/{column}/{2**ZOOM - 1 - row}.png", kvp, rest):
        assert _get(server, other)[1] == expected


def test_a_large_tile_is_the_four_small_ones_a_zoom_level_down(site):
    server, source = site
    column, row = _middle_tile(source)
    large = _rgb(_get(server, f"/512/{ZOOM - 1}/{column // 2}/{row // 2}.png")[1])
    small = _rgb(_get(server, f"/{ZOOM}/{column}/{row}.png")[1])
    top, left = 256 * (row % 2), 256 * (column % 2)
    np.testing.assert_allclose(large[top : top + 256, left : left + 256].astype(int), small, atol=1)


@pytest.mark.parametrize(
    ("version", "name", "crs", "swapped"),
    [
        ("1.3.0", "CRS", "EPSG:3857", False),
        ("1.3.0", "CRS", "EPSG:4326", True),
        ("1.3.0", "CRS", "CRS:84", False),
        ("1.1.1", "SRS", "EPSG:4326", False),
        ("1.3.0", "CRS", "EPSG:26913", False),
    ],
)
def test_wms_maps_follow_the_axis_order_of_their_version(site, version, name, crs, swapped):
    server, source = site
    bounds, epsg = source.bounds(), crs.replace("CRS:84", "EPSG:4326")
    middle = bounds.center
    degrees = (middle.longitude - 4e-4, middle.latitude - 2e-4, middle.longitude + 4e-4, middle.latitude + 2e-4)
    box = transform_bounds("EPSG:4326", epsg, *degrees)
    sent = (box[1], box[0], box[3], box[2]) if swapped else box
    query = f"REQUEST=GetMap&VERSION={version}&{name}={crs}&BBOX={','.join(map(repr, sent))}&WIDTH=300&HEIGHT=180"
    status, body, _ = _get(server, f"/wms?SERVICE=WMS&LAYERS=map&STYLES=&FORMAT=image/png&{query}")
    assert status == 200, body
    expected = _warped(box, epsg, (300, 180))
    assert _rgb(body).shape == (180, 300, 3) and np.median(np.abs(_rgb(body) - expected)) <= 2.0


@pytest.mark.parametrize("broken", ["BBOX=1,2,3", "BBOX=3,2,1,4", "WIDTH=99999", "CRS=EPSG:1", "FORMAT=text/html"])
def test_wms_nonsense_is_a_service_exception(site, broken):
    good = {"CRS": "EPSG:3857", "BBOX": "0,0,1,1", "WIDTH": "16", "HEIGHT": "16", "FORMAT": "image/png"}
    good.update([broken.split("=", 1)])
    status, body, _ = _get(site[0], "/wms?REQUEST=GetMap&" + "&".join(f"{k}={v}" for k, v in good.items()))
    assert status == 400 and b"ServiceException" in body


@pytest.mark.parametrize("path", ["/20/0/0.png", "/5/3/3.png", "/20/99999999/1.png", "/../etc/passwd", "/file/other"])
def test_what_is_not_there_is_404(site, path):
    assert _get(site[0], path)[0] == 404


def test_an_unchanged_tile_is_304_and_the_answer_says_how_long_it_keeps(site):
    server, source = site
    column, row = _middle_tile(source)
    _, _, headers = _get(server, f"/{ZOOM}/{column}/{row}.png")
    assert "max-age" in headers["Cache-Control"] and headers["Access-Control-Allow-Origin"] == "*"
    status, body, _ = _get(server, f"/{ZOOM}/{column}/{row}.png", **{"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, b"")


def test_capabilities_are_well_formed_and_name_the_coverage(site):
    server, source = site
    tiles = json.loads(_get(server, "/tiles.json")[1])
    assert tiles["tiles"] == [f"{server.url}/{{z}}/{{x}}/{{y}}.png"] and tiles["minzoom"] < ZOOM <= tiles["maxzoom"]
    for path in ("/wms?REQUEST=GetCapabilities", "/wmts?REQUEST=GetCapabilities"):
        text = _get(server, path)[1]
        ElementTree.fromstring(text)
        assert str(source.bounds().west).encode() in text
        ElementTree.fromstring(_get(server, path, Host='a"b&c<d')[1])


def test_gdal_reads_the_wmts_layer_where_it_is(site):
    server, source = site
    middle = source.bounds().center
    x, y = transform_bounds("EPSG:4326", "EPSG:3857", *[middle.longitude, middle.latitude] * 2)[:2]
    box = (x - 10, y - 10, x + 10, y + 10)
    with rasterio.open(f"WMTS:{server.url}/wmts?REQUEST=GetCapabilities,layer=map") as layer:
        window = rasterio.windows.from_bounds(*box, layer.transform)
        read = layer.read([1, 2, 3], window=window, out_shape=(3, 134, 134), resampling=Resampling.bilinear)
    assert np.median(np.abs(np.moveaxis(read, 0, 2) - _warped(box, "EPSG:3857", (134, 134)))) <= 3.0


def test_ranges_of_the_file_are_its_bytes(site):
    server = site[0]
    target, size = f"/file/{REAL.name}", REAL.stat().st_size
    content = REAL.read_bytes()
    assert _get(server, target)[1] == content
    for header, expected in (
        ("bytes=5-9", content[5:10]),
        ("bytes=-7", content[-7:]),
        (f"bytes={size - 3}-", content[-3:]),
    ):
        status, body, headers = _get(server, target, Range=header)
        assert (status, body) == (206, expected) and headers["Content-Range"].endswith(f"/{size}")
    assert _get(server, target, Range=f"bytes={size}-")[0] == 416
    assert _get(server, target, Range="bytes=0-9,20-29")[0] == 416


def test_a_long_range_is_not_read_into_memory_at_once(tmp_path):
    with (tmp_path / "large.tif").open("wb") as file:
        file.truncate(40 << 20)
    reply = file_reply(tmp_path / "large.tif", Request("", "", {}, {"range": "bytes=5-"}, 1))
    assert reply.status == 206 and reply.headers["Content-Length"] == str((40 << 20) - 5)
    parts = list(reply.body)
    assert max(map(len, parts)) <= 1 << 20 and sum(map(len, parts)) == (40 << 20) - 5


def test_an_address_in_use_is_a_map_error(site):
    with pytest.raises(MapError, match="choose another"):
        serve(site[1], port=site[0].port)
