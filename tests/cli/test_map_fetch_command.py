# SPDX-License-Identifier: Apache-2.0
"""`geodistill map fetch` from a loopback server: rectangle, route, drive, limits and refusals."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import yaml

from geodistill_core.bags.fix_lines import fix_lines
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps import RasterSource, open_map
from geodistill_core.maps.holes import STRIP
from geodistill_core.maps.serve import MapSite
from geodistill_core.types import GeoPoint
from tests.maps.server import FaultServer, html, png, status

CENTER = GeoPoint(47.3700, 8.5400)
BBOX = "8.5396,47.3698,8.5404,47.3702"


@pytest.fixture(scope="module")
def server():
    rgb = cv2.resize(np.random.default_rng(1).integers(0, 256, (60, 60, 3), np.uint8), (1200, 1200))
    with RasterSource(rgb, CENTER, 0.25) as source, FaultServer(MapSite(source)) as running:
        yield running


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def source(server, tmp_path):
    """Writes the YAML of the loopback source, with fields changed."""

    def write(**fields):
        spec = {
            "name": "loopback",
            "kind": "xyz",
            "url": f"{server.url}/{{z}}/{{x}}/{{y}}.png",
            "zooms": [15, 20],
            "attribution": "© Nobody",
            "terms_url": "own",
            "terms_accepted": True,
            "cache_allowed": True,
            "allow_private": True,
            "map_sigma_m": 0.7,
            **fields,
        }
        (tmp_path / "source.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True))
        return tmp_path / "source.yaml"

    server.clear()
    server.always(lambda request, answer, running: answer(request))
    return write


def test_a_rectangle_is_fetched_at_the_zoom_of_the_networks(geodistill, source, tmp_path):
    ran = geodistill("map", "fetch", "--bbox", BBOX, "--source", source(), "-o", tmp_path / "a.mbtiles", "--json", "-")
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)
    assert facts["zooms"] == [20] and facts["tiles"]["fetched"] == facts["file"]["tiles"] > 4
    assert "tiles (" in ran.err and "MB" in ran.err and "loopback" in ran.err
    with open_map(tmp_path / "a.mbtiles") as made:
        assert made.attribution == "© Nobody" and made.tile(CENTER, 20.0, 0.15).valid.all()


def test_a_fetched_map_knows_how_far_its_imagery_may_lie_off(geodistill, source, tmp_path):
    geodistill("map", "fetch", "--bbox", BBOX, "--source", source(), "-o", tmp_path / "a.mbtiles")
    with open_map(tmp_path / "a.mbtiles") as made:
        assert made.tile(CENTER, 20.0, 0.15).map_sigma_m == 0.7


def test_a_route_is_fetched_with_its_margin(geodistill, source, tmp_path):
    (tmp_path / "r.gpx").write_text(
        "<gpx><trk><trkseg><trkpt lat='47.3698' lon='8.5396'/><trkpt lat='47.3702' lon='8.5404'/></trkseg></trk></gpx>"
    )
    arguments = ["--route", tmp_path / "r.gpx", "--margin", "40", "--zoom", "18-19"]
    ran = geodistill("map", "fetch", *arguments, "--source", source(), "-o", tmp_path / "a.mbtiles")
    assert ran.code == 0 and "fetched" in ran.out
    with open_map(tmp_path / "a.mbtiles") as made:
        assert made.info().zooms == (18, 19)
        for place in (GeoPoint(47.3698, 8.5396), CENTER, GeoPoint(47.3702, 8.5404)):
            assert made.tile(place, 70.0, 0.25).valid.all()


def test_a_drive_is_fetched_where_its_fixes_are(geodistill, drive, tmp_path):
    arguments = ["--bag", drive.bag, "--margin", "60", "--source", drive.map, "-o", tmp_path / "a.mbtiles"]
    ran = geodistill("map", "fetch", *arguments, "--zoom", "19", "--json", "-")
    assert ran.code == 0, ran.err
    lines = np.concatenate(fix_lines(drive.bag))
    with open_map(drive.map) as whole, open_map(tmp_path / "a.mbtiles") as made:
        for latitude, longitude in lines[:: max(len(lines) // 5, 1)]:
            place = GeoPoint(float(latitude), float(longitude))
            ours, theirs = (m.tile(place, 70.0, 0.3) for m in (made, whole))
            assert (ours.valid | ~theirs.valid).mean() > 0.99
            assert np.median(np.abs(ours.rgb.astype(int) - theirs.rgb)[ours.valid]) <= 4


def test_many_tiles_are_fetched_only_when_asked_to(geodistill, source, server, tmp_path):
    arguments = ["--bbox", "8.53,47.36,8.55,47.38", "--source", source(), "-o", tmp_path / "a.mbtiles"]
    ran = geodistill("map", "fetch", *arguments)
    assert ran.code == 2 and "--yes" in ran.err and not server.log and not list(tmp_path.glob("*.mbtiles*"))


@pytest.mark.parametrize(
    ("fields", "zoom", "message"),
    [
        ({"terms_accepted": False}, "20", "terms_accepted"),
        ({"cache_allowed": False}, "20", "cache_allowed"),
        ({"max_preload_tiles": 2}, "20", "max_preload_tiles"),
        ({}, "21", "zoom 21 is outside 15..20"),
        ({}, "14-16", "zoom 14 is outside"),
        ({}, "20-19", "descends"),
        ({}, "all", "neither a zoom"),
    ],
)
def test_terms_and_zooms_that_forbid_it_are_obeyed_before_the_first_request(
    geodistill, source, server, tmp_path, fields, zoom, message
):
    ran = geodistill(
        "map",
        "fetch",
        "--bbox",
        BBOX,
        "--source",
        source(**fields),
        "-o",
        tmp_path / "a.mbtiles",
        "--zoom",
        zoom,
        "--yes",
    )
    assert ran.code == 2 and message in ran.err
    assert not server.log and not list(tmp_path.glob("*.mbtiles*"))


@pytest.mark.parametrize(
    "arguments", [[], ["--bbox", BBOX, "--route", "r.gpx"], ["--bbox", "1,2,3"], ["--bbox", "a,b,c,d"]]
)
def test_an_area_must_be_given_once_and_in_degrees(geodistill, source, tmp_path, arguments):
    assert geodistill("map", "fetch", *arguments, "--source", source(), "-o", tmp_path / "a.mbtiles").code == 2


def test_a_preset_is_explained_and_printed(geodistill, tmp_path):
    ran = geodistill("map", "fetch", "--bbox", BBOX, "--source", "switzerland", "-o", tmp_path / "a.mbtiles")
    assert ran.code == 2 and "map preset switzerland" in ran.err
    assert "switzerland" in geodistill("map", "preset").out.split()
    assert yaml.safe_load(geodistill("map", "preset", "switzerland").out)["terms_accepted"] is False


def test_tiles_left_out_are_exit_code_3_and_drawn_as_holes(geodistill, source, server, tmp_path):
    path, picture = tmp_path / "a.mbtiles", tmp_path / "holes.png"
    arguments = ("map", "fetch", "--bbox", BBOX, "--source", source(), "-o", path)
    server.script(status(404), html())
    ran = geodistill(*arguments)
    assert ran.code == 3 and "failed: not_an_image" in ran.out and "same command again" in ran.out
    shown = geodistill("map", "info", path, "--picture", picture, "--json", "-")
    facts = json.loads(shown.out)
    assert facts["missing"] == {"absent": 1, "not_an_image": 1}
    pixels = cv2.imread(str(picture))[:-STRIP, :, ::-1].reshape(-1, 3)
    tiles = facts["tiles"] + 2
    for color in ((214, 40, 40), (244, 162, 97)):
        assert (pixels == color).all(axis=1).mean() == pytest.approx(1 / tiles, rel=0.2)
    assert geodistill(*arguments).code == 0
    again = json.loads(geodistill("map", "info", path, "--picture", picture, "--json", "-").out)
    assert again["missing"] == {"absent": 1} and again["covered"] > facts["covered"]


def test_holes_of_a_foreign_map_are_what_its_rectangle_lacks(geodistill, tmp_path):
    from geodistill_core.maps import write_mbtiles

    rgb = np.full((400, 400, 3), 120, np.uint8)
    valid = np.ones((400, 400), bool)
    valid[:, 150:250] = False
    raster = RasterSource(rgb, CENTER, 1.0, valid=valid)
    write_mbtiles(tmp_path / "a.mbtiles", raster, GeoBounds(8.5375, 47.3683, 8.5425, 47.3717), 19)
    ran = geodistill("map", "info", tmp_path / "a.mbtiles", "--picture", tmp_path / "holes.png", "--json", "-")
    facts = json.loads(ran.out)
    red = (cv2.imread(str(tmp_path / "holes.png"))[:-STRIP, :, ::-1] == (214, 40, 40)).all(axis=2)
    assert facts["missing"] == {} and red.mean() == pytest.approx(1 - facts["covered"], abs=0.02)
    height, width = red.shape
    assert red[:, width // 2].all() and not red[height // 2, width // 4] and not red[height // 2, 3 * width // 4]


def test_two_cities_far_apart_in_one_file_are_drawn_in_a_thousand_pixels(geodistill, tmp_path):
    from geodistill_core.maps.address import TileAddress
    from geodistill_core.maps.area_file import AreaFile

    picture = tmp_path / "holes.png"
    with AreaFile(tmp_path / "a.mbtiles", "s") as file:  # at zoom 20 some 35 000 x 10 000 tiles lie between them
        for column in range(8):
            for west, north in ((500_000, 360_000), (535_000, 370_000)):
                for row in range(8):
                    file.put(TileAddress(20, west + column, north + row), png(color=(120, 120, 120)))
        file.miss(TileAddress(20, 500_100, 360_000), "absent")
        file.miss(TileAddress(20, 510_000, 365_000), "server")
        file.finish({})
    ran = geodistill("map", "info", tmp_path / "a.mbtiles", "--picture", picture, "--json", "-")
    assert ran.code == 0 and json.loads(ran.out)["missing"] == {"absent": 1, "server": 1}
    shown = cv2.imread(str(picture))[:-STRIP, :, ::-1]
    assert shown.shape[0] < 400 and 900 < shown.shape[1] <= 1024
    for color, count in (((214, 40, 40), 1), ((244, 162, 97), 1), ((120, 120, 120), 2)):
        assert count <= (shown == color).all(axis=2).sum() <= 2 * count


def test_transparent_parts_of_tiles_are_holes_too(geodistill, tmp_path):
    from geodistill_core.maps import write_mbtiles

    rgb = np.full((400, 400, 3), 120, np.uint8)
    raster = RasterSource(rgb, CENTER, 0.1)
    write_mbtiles(tmp_path / "a.mbtiles", raster, raster.bounds(), 19)
    picture = tmp_path / "holes.png"
    facts = json.loads(geodistill("map", "info", tmp_path / "a.mbtiles", "--picture", picture, "--json", "-").out)
    shown = cv2.imread(str(picture))[:-STRIP, :, ::-1]
    side_m = 51.8  # of a tile of zoom 19 at this latitude
    expected = 40.0**2 / (side_m**2 * facts["tiles"])
    assert facts["covered"] == pytest.approx(expected, rel=0.03)
    assert (shown == 120).all(axis=2).mean() == pytest.approx(expected, rel=0.05)
    assert ((shown == 120).all(axis=2) | (shown == (214, 40, 40)).all(axis=2)).mean() > 0.97
