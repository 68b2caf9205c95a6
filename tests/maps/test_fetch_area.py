# SPDX-License-Identifier: Apache-2.0
"""Areas fetched from a real server on loopback: complete, politely, to be continued."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps import RasterSource, open_map
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.area import BoxArea, CorridorArea
from geodistill_core.maps.area_file import AreaFile
from geodistill_core.maps.fetch import Fetcher, FetchError
from geodistill_core.maps.fetch_area import ask, draw, estimate, fetch_area, patient
from geodistill_core.maps.serve import MapSite
from geodistill_core.maps.spec import SourceSpec
from geodistill_core.types import GeoPoint
from tests.maps.server import FaultServer, html, png, reply, status

ZOOM = 19
BOX = GeoBounds(8.5400, 47.3700, 8.5420, 47.3712)


def _spec(server, **fields):
    return SourceSpec(
        name="loopback",
        kind="xyz",
        url=fields.pop("url", f"{server.url}/{{z}}/{{x}}/{{y}}.png"),
        attribution="© Nobody",
        terms_url="own",
        terms_accepted=True,
        cache_allowed=True,
        allow_private=True,
        zooms=(0, 22),
        **fields,
    )


AREA = BoxArea(BOX)


def _fetch(spec, path, area=AREA, zooms=(ZOOM,), sleep=None, **options):
    with Fetcher(spec, sleep=sleep or (lambda seconds: None)) as fetcher, AreaFile(path, spec.source_id) as file:
        return fetch_area(
            area,
            zooms,
            patient(ask(spec, fetcher), fetcher, print),
            file,
            metadata={"attribution": spec.attribution},
            connections=spec.max_connections,
            stop=fetcher.stop,
            **options,
        )


def _tiles(path):
    with closing(sqlite3.connect(path)) as database:
        return {(z, x, (1 << z) - 1 - y): data for z, x, y, data in database.execute("SELECT * FROM tiles")}


@pytest.fixture
def city():
    """Noise blurred to ground detail, 300 m around the box, as a web map."""
    rng = np.random.default_rng(3)
    rgb = cv2.GaussianBlur(rng.integers(0, 256, (1500, 1500, 3), np.uint8), (0, 0), 3)
    rgb = cv2.normalize(rgb, None, 0, 255, cv2.NORM_MINMAX)
    with RasterSource(rgb, BOX.center, 0.2, "© Nobody") as source, FaultServer(MapSite(source)) as server:
        yield server, source


def test_the_file_holds_every_tile_of_the_area_as_the_server_gave_it(city, tmp_path):
    server, source = city
    done = _fetch(_spec(server), tmp_path / "a.mbtiles")
    wanted = {(t.zoom, t.column, t.row) for t in BoxArea(BOX).tiles(ZOOM)}
    tiles = _tiles(tmp_path / "a.mbtiles")
    assert set(tiles) == wanted and done.fetched == done.tiles_in_file == len(wanted) and not done.failed
    assert server.peak_in_flight <= 2 and server.connections <= 2
    with open_map(tmp_path / "a.mbtiles") as made:
        assert made.attribution == "© Nobody" and made.info().zooms == (ZOOM,)
        ours, theirs = (m.tile(BOX.center, 40.0, 0.25).rgb.astype(int) for m in (made, source))
    assert np.median(np.abs(ours - theirs)) <= 2
    with rasterio.open(tmp_path / "a.mbtiles") as by_gdal:
        assert by_gdal.width == 256 * len({column for _, column, _ in wanted})
    assert not list(tmp_path.glob("*.partial"))


def test_an_area_across_the_antimeridian_has_narrow_bounds(tmp_path):
    rgb = np.full((600, 600, 3), 90, np.uint8)
    with RasterSource(rgb, GeoPoint(-17.0, 180.0), 0.5) as source, FaultServer(MapSite(source)) as server:
        area = CorridorArea([np.array([[-17.0, 179.9995], [-17.0, -179.9995]])], 20.0)
        _fetch(_spec(server), tmp_path / "a.mbtiles", area, (18,))
    with open_map(tmp_path / "a.mbtiles") as made:
        assert made.bounds().width < 0.01 and made.bounds().contains(GeoPoint(-17.0, 180.0))
        assert made.tile(GeoPoint(-17.0, 180.0), 30.0, 0.5).valid.all()


def test_a_stopped_run_is_continued_without_asking_again(city, tmp_path):
    server, _ = city
    path, steps = tmp_path / "a.mbtiles", iter(range(100))

    def interrupt():
        if next(steps) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fetch(_spec(server), path, step=interrupt)
    assert not path.exists()
    kept = set(_tiles(path.with_name("a.mbtiles.partial")))
    assert len(kept) == 5
    server.clear()
    done = _fetch(_spec(server), path)
    asked = {tuple(int(part) for part in p.removesuffix(".png").split("/")[1:]) for p in server.paths}
    assert done.known == 5 and not asked & kept and set(_tiles(path)) == asked | kept


def test_tiles_that_fail_are_named_and_the_next_run_fetches_only_them(city, tmp_path):
    server, _ = city
    path = tmp_path / "a.mbtiles"
    broken, void = list(BoxArea(BOX).tiles(ZOOM))[2:4]
    server.path(f"/{broken}.png", html())
    server.path(f"/{void}.png", status(404))
    first = _fetch(_spec(server), path)
    assert first.failed == {"not_an_image": 1} and first.absent == 1 and path.exists()
    server.path(f"/{broken}.png", reply(png()))
    server.clear()
    second = _fetch(_spec(server), path)
    assert server.paths == [f"/{broken}.png"] and second.fetched == 1 and not second.failed
    assert _tiles(path)[(broken.zoom, broken.column, broken.row)] == png()


def test_a_larger_area_goes_into_the_same_file(city, tmp_path):
    server, _ = city
    _fetch(_spec(server), tmp_path / "a.mbtiles", zooms=(18,))
    done = _fetch(_spec(server), tmp_path / "a.mbtiles", zooms=(18, 19))
    assert done.known == BoxArea(BOX).count(18) and {z for z, _, _ in _tiles(tmp_path / "a.mbtiles")} == {18, 19}


def test_a_file_of_another_source_or_of_somebody_else_is_left_alone(city, tmp_path):
    server, _ = city
    path = tmp_path / "a.mbtiles"
    _fetch(_spec(server), path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="another --output"):
        AreaFile(path, "other-0123")
    (tmp_path / "b.mbtiles").write_text("not a database, and rather longer than a header of SQLite would be" * 9)
    with pytest.raises(ConfigError, match="not a map fetched"):
        AreaFile(tmp_path / "b.mbtiles", "other-0123")
    assert path.read_bytes() == before


def test_two_runs_into_one_file_at_once_are_refused(tmp_path):
    with AreaFile(tmp_path / "a.mbtiles", "s"), pytest.raises(MapError, match="another process"):
        AreaFile(tmp_path / "a.mbtiles", "s")


def test_what_a_killed_process_had_fetched_is_kept(tmp_path):
    tiles = list(BoxArea(BOX).tiles(22))[:200]
    with AreaFile(tmp_path / "a.mbtiles", "s") as file:
        for tile in tiles:
            file.put(tile, png())
        (tmp_path / "killed").mkdir()
        for left in tmp_path.glob("a.mbtiles*"):
            shutil.copy(left, tmp_path / "killed")
    with AreaFile(tmp_path / "killed" / "a.mbtiles", "s") as file:
        known = file.known(22)
    assert 128 <= len(known) <= 200 and known <= {(tile.column, tile.row) for tile in tiles}


def test_a_process_killed_at_its_first_steps_does_not_stand_in_the_way(tmp_path):
    (tmp_path / "killed").mkdir()
    with AreaFile(tmp_path / "a.mbtiles", "s") as file:
        file.put(TileAddress(0, 0, 0), png())
        for name in ("a.mbtiles.partial", "a.mbtiles.partial-journal"):
            if (tmp_path / name).exists():
                shutil.copy(tmp_path / name, tmp_path / "killed")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.mbtiles.partial").touch()
    for folder in ("killed", "empty"):
        with AreaFile(tmp_path / folder / "a.mbtiles", "s") as file:
            file.put(TileAddress(0, 0, 0), png())
            file.finish({})


def test_a_copy_that_was_cut_short_is_made_anew(city, tmp_path, monkeypatch):
    server, _ = city
    _fetch(_spec(server), tmp_path / "a.mbtiles")

    def cut_short(start, end):
        Path(end).write_bytes(Path(start).read_bytes()[:5000])
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfile", cut_short)
    with pytest.raises(KeyboardInterrupt):
        _fetch(_spec(server), tmp_path / "a.mbtiles", zooms=(18,))
    monkeypatch.undo()
    assert _fetch(_spec(server), tmp_path / "a.mbtiles", zooms=(18, ZOOM)).known == BoxArea(BOX).count(ZOOM)


def test_a_full_disk_is_said_and_what_was_fetched_stays(tmp_path):
    tiles = list(BoxArea(BOX).tiles(22))
    with pytest.raises(MapError, match=r"full.*same command again"), AreaFile(tmp_path / "a.mbtiles", "s") as file:
        file._run("PRAGMA max_page_count = 400")
        for number, tile in enumerate(tiles):
            file.put(tile, png(64, seed=number))
    with AreaFile(tmp_path / "a.mbtiles", "s") as file:
        assert 64 <= len(file.known(22)) < len(tiles)


def test_a_refused_key_ends_the_run_at_once_without_telling_it(city, tmp_path, monkeypatch):
    server, _ = city
    monkeypatch.setenv("LOOPBACK_KEY", "s3cr3t-k3y")
    server.always(status(403))
    spec = _spec(server, key_env="LOOPBACK_KEY", url=f"{server.url}/{{z}}/{{x}}/{{y}}.png?key={{key}}")
    with pytest.raises(MapError) as caught:
        _fetch(spec, tmp_path / "a.mbtiles")
    assert len(server.log) <= 10 and "s3cr3t-k3y" in server.paths[0]
    assert "s3cr3t-k3y" not in repr(caught.value)
    assert all(b"s3cr3t-k3y" not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_key_refused_on_the_way_ends_the_run_and_a_bad_tile_does_not(city):
    server, _ = city

    def refused(cause):
        def get(address):
            raise FetchError(cause, "no")

        return get

    with Fetcher(_spec(server)) as fetcher:
        for cause, kind in (("forbidden", MapError), ("refused", MapError), ("not_an_image", FetchError)):
            with pytest.raises(MapError) as caught:
                patient(refused(cause), fetcher, print)(TileAddress(0, 0, 0))
            assert type(caught.value) is kind


def test_a_server_that_is_not_there_ends_the_run_at_once(tmp_path):
    with FaultServer(png()) as server:
        spec = _spec(server)
    with pytest.raises(MapError, match=r"does not answer \(offline\); check the network .* run the same command again"):
        _fetch(spec, tmp_path / "a.mbtiles")


def test_a_server_that_goes_away_is_waited_for(city, tmp_path):
    server, _ = city
    spec, told = _spec(server, max_connections=1), []
    with Fetcher(spec, sleep=lambda seconds: None) as fetcher:
        fetcher.stop = _Patient(lambda: server.revive())
        get = patient(ask(spec, fetcher), fetcher, told.append)
        tiles = list(BoxArea(BOX).tiles(ZOOM))
        assert get(tiles[0])
        server.kill()
        assert get(tiles[1])
    assert told and "trying again in" in told[0]


class _Patient(threading.Event):
    """Does something instead of waiting."""

    def __init__(self, meanwhile):
        super().__init__()
        self._meanwhile = meanwhile

    def wait(self, timeout=None):
        self._meanwhile()
        return False


def test_no_imagery_at_all_leaves_no_map(city, tmp_path):
    server, _ = city
    server.always(status(404))
    with pytest.raises(MapError, match="no imagery"):
        _fetch(_spec(server), tmp_path / "a.mbtiles")
    assert not (tmp_path / "a.mbtiles").exists()


def test_imagery_on_disk_is_cut_into_tiles(tmp_path):
    real = Path("../shared/data/geotiff/201404_13SED190110_201404_0x1500m_CL_1.tif")
    if not real.exists():
        pytest.skip("../shared/data/geotiff is absent")
    with open_map(real) as source, AreaFile(tmp_path / "a.mbtiles", "local") as file:
        center = source.bounds().center
        area = CorridorArea([np.array([[center.latitude, center.longitude]])], 30.0)
        done = fetch_area(area, (20,), draw(source), file, metadata={})
        with open_map(tmp_path / "a.mbtiles") as made:
            ours, theirs = (m.tile(center, 30.0, 0.15).rgb.astype(int) for m in (made, source))
    assert done.fetched == done.tiles_in_file and np.median(np.abs(ours - theirs)) <= 4


def test_the_estimate_counts_tiles_and_guesses_bytes():
    guess = estimate(BoxArea(BOX), (18, 19))
    assert guess.count == len(list(BoxArea(BOX).tiles(18))) + len(list(BoxArea(BOX).tiles(19)))
    assert guess.bytes / guess.count == pytest.approx(30_000, rel=0.1)


def test_tiles_lie_where_their_names_say(city, tmp_path):
    server, _ = city
    _fetch(_spec(server), tmp_path / "a.mbtiles")
    column, row = mercator.tile_of(BOX.center.latitude, BOX.center.longitude, ZOOM)
    assert f"/{TileAddress(ZOOM, column, row)}.png" in server.paths
