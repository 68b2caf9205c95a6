# SPDX-License-Identifier: Apache-2.0
"""PMTiles against archives that the format's own library wrote, local and by ranges, whole and damaged."""

from __future__ import annotations

import gzip
import random

import cv2
import numpy as np
import pytest
from fetching import ManualClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer
from remote import a_spec
from server import FaultServer

from geodistill_core.errors import MapError
from geodistill_core.geometry import mercator
from geodistill_core.maps import open_map
from geodistill_core.maps.cache import DiskCache
from geodistill_core.maps.fetch import Fetcher, FetchError
from geodistill_core.maps.pmtiles import PMTilesFile
from geodistill_core.maps.remote import PMTilesSource
from geodistill_core.maps.serve.ranges import file_reply
from geodistill_core.types import GeoPoint

PLACE = GeoPoint(47.4, 8.5)
ZOOM = 18
COLUMN, ROW = mercator.tile_of(PLACE.latitude, PLACE.longitude, ZOOM)


def flat(level: int, side: int = 256) -> bytes:
    return bytes(cv2.imencode(".png", np.full((side, side, 3), level, np.uint8))[1])


def archive(path, tiles: dict[tuple[int, int, int], bytes], **header: object):
    """Tiles by (zoom, column, row) in an archive."""
    with path.open("wb") as file:
        writer = Writer(file)
        for number, data in sorted((zxy_to_tileid(*address), data) for address, data in tiles.items()):
            writer.write_tile(number, data)
        kinds = {"tile_type": TileType.PNG, "tile_compression": Compression.NONE}
        writer.finalize(kinds | header, {"attribution": "<a href='x'>Survey &amp; Co</a>"})
    return path


def block(reach: int = 3) -> dict[tuple[int, int, int], bytes]:
    """Tiles around PLACE, each of a grey level of its own."""
    around = range(-reach, reach + 1)
    return {(ZOOM, COLUMN + x, ROW + y): flat(40 + 15 * (y % 4) + 4 * (x % 4)) for x in around for y in around}


def center_of(x: int, y: int) -> GeoPoint:
    return GeoPoint(*mercator.to_geodetic(COLUMN + x + 0.5, ROW + y + 0.5, ZOOM, 1))


def level_at(source, x: int, y: int) -> int:
    tile = source.tile(center_of(x, y), 20.0, 0.4)
    assert tile.valid.all() and np.ptp(tile.rgb) == 0
    return int(tile.rgb[0, 0, 0])


class Remote:
    """An archive on a server, with a clock that the test moves."""

    def __init__(self, folder, path):
        self.folder, self.path, self.clock = folder, path, ManualClock()
        self.server = FaultServer(lambda request: file_reply(self.path, request))

    def start(self) -> PMTilesSource:
        spec = a_spec("pmtiles", f"{self.server.url}/a.pmtiles")
        fetcher = Fetcher(spec, clock=self.clock, sleep=self.clock.sleep, rng=random.Random(0))
        return PMTilesSource(spec, fetcher, DiskCache(self.folder, 64 << 20, clock=self.clock), clock=self.clock)


@pytest.fixture
def remote(tmp_path):
    made = Remote(tmp_path / "cache", archive(tmp_path / "a.pmtiles", block()))
    with made.server:
        yield made


def test_a_local_archive_gives_each_tile_its_place(tmp_path):
    with open_map(archive(tmp_path / "map.bin", block())) as source:
        assert source.info().kind == "pmtiles" and source.info().zooms == (ZOOM,)
        assert source.attribution == "Survey & Co"
        for x, y in ((0, 0), (2, -1), (-3, 3)):
            assert level_at(source, x, y) == 40 + 15 * (y % 4) + 4 * (x % 4)
        with pytest.raises(MapError, match="no imagery"):
            source.tile(center_of(40, 0), 20.0, 0.4)


def test_directories_below_the_root_are_followed(tmp_path):
    noise = random.Random(1)
    sparse = {(20, noise.randrange(1 << 20), noise.randrange(1 << 20)): noise.randbytes(20) for _ in range(9000)}
    path = archive(tmp_path / "a.pmtiles", sparse | block())
    assert int.from_bytes(path.read_bytes()[48:56], "little") > 0
    with open_map(path) as source:
        assert level_at(source, 1, 2) == 40 + 30 + 4


def test_a_remote_archive_is_opened_and_read_by_ranges(remote):
    source = remote.start()
    assert source.tile_at_hand(PLACE, 20.0, 0.4) is None
    (opening,) = source.missing(PLACE, 20.0, 0.4)
    assert remote.server.log == [] and source.load(opening)
    assert source.info().zooms == (ZOOM,)
    assert all(source.load(address) for address in source.missing(PLACE, 20.0, 0.4))
    assert source.tile_at_hand(PLACE, 20.0, 0.4).valid.all()
    assert level_at(source, 2, -1) == 40 + 45 + 8
    assert all(entry.headers["range"].startswith("bytes=") for entry in remote.server.log)


def test_what_was_read_is_there_without_a_server(remote):
    tile = remote.start().tile(PLACE, 20.0, 0.4)
    remote.server.kill()
    other = remote.start()
    assert other.missing(PLACE, 20.0, 0.4) == () and other.tile(PLACE, 20.0, 0.4).key == tile.key
    remote.clock.now_s += 40 * 86_400.0
    stale = remote.start()
    assert stale.missing(PLACE, 20.0, 0.4) != () and stale.tile(PLACE, 20.0, 0.4).key == tile.key


def test_an_archive_replaced_on_the_server_is_read_anew(remote, tmp_path):
    source = remote.start()
    assert level_at(source, 0, 0) == 40
    remote.path = archive(tmp_path / "b.pmtiles", {address: flat(222) for address in block()})
    remote.clock.now_s += 40 * 86_400.0
    assert level_at(source, 0, 0) == 222
    assert level_at(remote.start(), 1, 1) == 222


def noisy(path, seed: int):
    """Pictures that take more than a page each."""
    noise = np.random.default_rng(seed).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    picture = bytes(cv2.imencode(".png", noise)[1])
    return archive(path, {address: picture + bytes([index]) for index, address in enumerate(block(1))})


@pytest.mark.parametrize("size", ["as large", "smaller"])
def test_an_archive_replaced_while_it_is_read_mixes_no_tiles(tmp_path, size):
    remote = Remote(tmp_path / "cache", noisy(tmp_path / "a.pmtiles", 1))
    with remote.server:
        source = remote.start()
        source.tile(center_of(-1, -1), 20.0, 0.4)
        new = tmp_path / "b.pmtiles"
        remote.path = noisy(new, 2) if size == "as large" else archive(new, block(1))
        with pytest.raises(FetchError):
            source.tile(center_of(1, 1), 20.0, 0.4)
        remote.clock.now_s += 31.0
        with open_map(new) as local:
            assert source.tile(center_of(1, 1), 20.0, 0.4).key == local.tile(center_of(1, 1), 20.0, 0.4).key


def test_other_archives_are_refused_in_words(tmp_path):
    for header, says in (
        ({"tile_type": TileType.MVT}, "holds MVT tiles"),
        ({"tile_compression": Compression.GZIP}, "tiles as GZIP"),
        ({"min_lat_e7": 10**9}, "impossible bounds"),
    ):
        with pytest.raises(MapError, match=says):
            open_map(archive(tmp_path / "a.pmtiles", block(1), **header))
    (tmp_path / "b.pmtiles").write_bytes(b"PMTiles\x02" + bytes(300))
    with pytest.raises(MapError, match="version 3"):
        open_map(tmp_path / "b.pmtiles")


def test_F07_a_directory_that_unpacks_without_end_is_refused(tmp_path):  # noqa: N802
    data = bytearray(archive(tmp_path / "a.pmtiles", block(1)).read_bytes())
    bomb = gzip.compress(b"\xff\xff\xff\x7f" + bytes(1 << 25))
    data[8:24] = len(data).to_bytes(8, "little") + len(bomb).to_bytes(8, "little")
    (tmp_path / "a.pmtiles").write_bytes(bytes(data) + bomb)
    with pytest.raises(MapError, match="damaged directory"):
        open_map(tmp_path / "a.pmtiles")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 600), value=st.integers(0, 255), keep=st.integers(0, 700))
def test_damage_ends_in_a_map_error_or_a_picture(tmp_path, at, value, keep):
    whole = archive(tmp_path / "a.pmtiles", block(1)).read_bytes()
    for broken in (whole[:at] + bytes([value]) + whole[at + 1 :], whole[:keep]):
        (tmp_path / "b.pmtiles").write_bytes(broken)
        try:
            with PMTilesFile(tmp_path / "b.pmtiles") as source:
                source.tile(PLACE, 20.0, 0.4)
        except MapError as error:
            assert "Traceback" not in str(error)
