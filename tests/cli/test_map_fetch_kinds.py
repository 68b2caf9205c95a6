# SPDX-License-Identifier: Apache-2.0
"""`geodistill map fetch` from every kind of service: the file shows what the service shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from rasterio.transform import from_origin

from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps import open_map, write_mbtiles
from geodistill_core.maps.serve import serve
from geodistill_core.types import GeoPoint
from tests.maps.remote import REAL, to_pmtiles

SOURCE = REAL / "201404_13SED190110_201404_0x1500m_CL_1.tif"
TERMS = {"attribution": "© Survey", "terms_url": "own", "terms_accepted": True, "cache_allowed": True}
real_data = pytest.mark.skipif(not SOURCE.exists(), reason="real data absent: geotiff")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The imagery, its server, and the square of 24 m around its middle."""
    folder = tmp_path_factory.mktemp("served")
    with open_map(SOURCE) as local:
        square = _square(local.bounds().center, 12.0)
        write_mbtiles(folder / "a.mbtiles", local, _square(local.bounds().center, 20.0), 20)
        archive = to_pmtiles(folder / "a.mbtiles", folder / "a.pmtiles")
        with serve(local, file=SOURCE) as server, serve(local, file=archive) as archives:
            yield (
                {
                    "": server.url,
                    "cog": f"{server.url}/file/{SOURCE.name}",
                    "pmtiles": archives.url + "/file/a.pmtiles",
                },
                square,
            )


def _square(center, reach_m):
    edge = np.array([-reach_m, reach_m])
    return GeoBounds.enclosing(*LocalFrame(center).to_geodetic(edge, edge))


def _written(path: Path, **fields) -> Path:
    spec = {"name": "loopback", "allow_private": True} | TERMS | fields
    path.write_text(yaml.safe_dump(spec, allow_unicode=True))
    return path


KINDS = {
    "cog": ("cog", "", {}),
    "pmtiles": ("pmtiles", "", {}),
    "wms": ("wms", "/wms", {"layers": "map", "zooms": [17, 20]}),
    "wms in UTM": ("wms", "/wms", {"layers": "map", "crs": "EPSG:26913", "zooms": [21, 25]}),
    "wmts": ("wmts", "/wmts", {"layer": "map", "tile_matrix_set": "GoogleMapsCompatible", "zooms": [17, 20]}),
    "tms": ("tms", "/tms/{z}/{x}/{y}.png", {"zooms": [17, 20]}),
    "xyz of 512 pixels": ("xyz", "/512/{z}/{x}/{y}.png", {"zooms": [16, 19], "tile_size": 512}),
}


@real_data
@pytest.mark.parametrize("kind", KINDS)
def test_a_fetched_area_shows_what_its_service_shows(geodistill, served, kind, tmp_path):
    urls, square = served
    base, path, fields = KINDS[kind]
    source = _written(tmp_path / "s.yaml", kind=base, url=urls.get(base, urls[""] + path), map_sigma_m=0.7, **fields)
    box = f"{square.west},{square.south},{square.east},{square.north}"
    ran = geodistill("map", "fetch", "--bbox", box, "--source", source, "-o", tmp_path / "a.mbtiles", "--json", "-")
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)
    assert facts["tiles"]["absent"] == 0 and facts["tiles"]["failed"] == {}
    with open_map(source) as service, open_map(tmp_path / "a.mbtiles") as made:
        theirs, ours = (part.tile(square.center, 20.0, 0.15) for part in (service, made))
    assert ours.valid.all() and theirs.valid.all()
    assert np.median(np.abs(ours.rgb.astype(int) - theirs.rgb)) <= 2
    assert (ours.attribution, ours.map_sigma_m) == ("© Survey", 0.7)


@real_data
@pytest.mark.parametrize("kind", ["cog", "pmtiles", "local"])
def test_imagery_is_not_fetched_finer_than_it_is(geodistill, tmp_path, kind):
    """Half-metre imagery at 39 degrees: zoom 18 has 0.46 m per pixel."""
    rgb = np.full((200, 200, 3), 90, np.uint8)
    rgb[::2] = 120
    center = GeoPoint(39.0, -104.8)
    with rasterio.open(
        tmp_path / "coarse.tif", "w", driver="GTiff", width=200, height=200, count=3, dtype="uint8", crs=f"+proj=ortho "
        f"+lat_0={center.latitude} +lon_0={center.longitude}", transform=from_origin(-50.0, 50.0, 0.5, 0.5),
    ) as file:  # fmt: skip
        file.write(np.moveaxis(rgb, 2, 0))
    square = _square(center, 20.0)
    with open_map(tmp_path / "coarse.tif") as local:
        write_mbtiles(tmp_path / "b.mbtiles", local, square, 18)
        archive = to_pmtiles(tmp_path / "b.mbtiles", tmp_path / "b.pmtiles")
        served = archive if kind == "pmtiles" else tmp_path / "coarse.tif"
        with serve(local, file=served) as server:
            source = served
            if kind != "local":
                source = _written(tmp_path / "s.yaml", kind=kind, url=f"{server.url}/file/{served.name}")
            box = f"{square.west},{square.south},{square.east},{square.north}"
            arguments = ["--bbox", box, "--source", source, "-o", tmp_path / "a.mbtiles", "--json", "-"]
            ran = geodistill("map", "fetch", *arguments)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["zooms"] == [18]
