# SPDX-License-Identifier: Apache-2.0
"""What a remote source has at hand, what it lacks, and what it does about it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from fetching import ManualClock
from remote import a_spec
from server import FaultServer, html, png, reply, status

from geodistill_core.errors import MapError
from geodistill_core.geometry import mercator
from geodistill_core.maps.address import TileAddress, addresses_around
from geodistill_core.maps.cache import DiskCache
from geodistill_core.maps.fetch import Fetcher, FetchError
from geodistill_core.maps.remote import RemoteTiles
from geodistill_core.maps.serve import Reply
from geodistill_core.types import GeoPoint

TILE = png(256, seed=1)
PLACE = GeoPoint(47.4, 8.5)
SEEN = (PLACE, 60.0, 0.1)
ZOOM = 20
WANTED = {f"/{address}.png" for address in addresses_around(PLACE, 60.0, ZOOM)}


class Service:
    """A tile service with a source, a cache and a clock that the test moves."""

    def __init__(self, folder, answer=None):
        self.server = FaultServer(answer or (lambda request: Reply(TILE, "image/png", 200, {"ETag": '"a"'})))
        self.folder, self.clock = folder, ManualClock()
        self.source = self.start()

    def start(self, **fields) -> RemoteTiles:
        """A source as a new process would open it."""
        spec = a_spec("xyz", f"{self.server.url}/{{z}}/{{x}}/{{y}}.png", **({"zooms": [ZOOM - 4, ZOOM]} | fields))
        fetcher = Fetcher(spec, clock=self.clock, sleep=self.clock.sleep, rng=random.Random(0))
        cache = DiskCache(self.folder, 64 << 20, clock=self.clock)
        return RemoteTiles(spec, fetcher, cache, clock=self.clock)

    def asked(self) -> list[str]:
        paths = self.server.paths
        self.server.clear()
        return paths


@pytest.fixture
def service(tmp_path):
    made = Service(tmp_path / "cache")
    with made.server:
        yield made


def path(address: TileAddress) -> str:
    return f"/{address}.png"


def test_nothing_is_asked_before_a_tile_is_wanted(service):
    source = service.source
    assert source.info().zooms == (16, 17, 18, 19, 20) and source.attribution == "tests"
    assert source.tile_at_hand(*SEEN) is None
    assert {path(address) for address in source.missing(*SEEN)} == WANTED
    assert service.asked() == []


def test_missing_names_the_nearest_first(service):
    first = service.source.missing(*SEEN)[0]
    assert (first.column, first.row) == mercator.tile_of(PLACE.latitude, PLACE.longitude, ZOOM)


def test_what_is_loaded_is_at_hand_and_the_rest_is_not_valid(service):
    source = service.source
    first, *rest = source.missing(*SEEN)
    assert source.load(first)
    tile = source.tile_at_hand(*SEEN)
    assert 0.1 < tile.valid.mean() < 0.9 and (tile.rgb[~tile.valid] == 0).all()
    assert source.missing(*SEEN) == tuple(rest)
    assert all(source.load(address) for address in rest)
    assert source.missing(*SEEN) == () and source.tile_at_hand(*SEEN).valid.all()
    assert sorted(service.asked()) == sorted(WANTED)


def test_a_tile_waits_for_all_it_needs_over_two_connections(service):
    service.server.latency_s = 0.02
    tile = service.source.tile(*SEEN)
    assert tile.valid.all() and tile.attribution == "tests"
    assert service.server.peak_in_flight == 2
    assert sorted(service.asked()) == sorted(WANTED)
    assert service.source.tile(*SEEN).key == service.source.tile_at_hand(*SEEN).key == tile.key
    assert service.asked() == []


def test_another_process_finds_on_disk_what_one_has_fetched(service):
    tile = service.source.tile(*SEEN)
    service.server.kill()
    other = service.start()
    assert other.missing(*SEEN) == ()
    assert other.tile_at_hand(*SEEN).key == other.tile(*SEEN).key == tile.key


def test_where_the_terms_forbid_storing_nothing_reaches_the_disk(service):
    service.start(cache_allowed=False).tile(*SEEN)
    assert {path(address) for address in service.source.missing(*SEEN)} == WANTED


def test_stale_tiles_serve_until_they_are_confirmed(service):
    source = service.source
    tile = source.tile(*SEEN)
    service.asked()
    service.clock.now_s += 40 * 86_400.0
    for opened in (source, service.start()):
        assert {path(address) for address in opened.missing(*SEEN)} == WANTED
        assert opened.tile_at_hand(*SEEN).key == tile.key
    service.server.always(status(304))
    assert source.tile(*SEEN).key == tile.key and source.missing(*SEEN) == ()
    assert all(entry.headers.get("if-none-match") == '"a"' for entry in service.server.log)
    service.clock.now_s += 61.0
    assert service.start().missing(*SEEN) == ()


def test_stale_tiles_serve_while_the_service_is_away(service):
    tile = service.source.tile(*SEEN)
    service.server.kill()
    service.clock.now_s += 40 * 86_400.0
    assert service.source.tile(*SEEN).key == tile.key
    assert service.source.health().state != "online"


def test_a_tile_that_cannot_be_had_raises_why(service):
    service.server.always(status(403))
    with pytest.raises(FetchError) as caught:
        service.source.tile(*SEEN)
    assert caught.value.cause == "forbidden"


def test_a_failed_tile_is_not_asked_for_again_at_once(service):
    service.server.always(html())
    address = service.source.missing(*SEEN)[0]
    assert not service.source.load(address) and len(service.asked()) == 1
    assert not service.source.load(address) and service.asked() == []
    service.server.always(reply(TILE))
    service.clock.now_s += 3600.0
    assert service.source.load(address) and len(service.asked()) == 1


@pytest.mark.parametrize("body", [png(512, seed=1), TILE[:2000], b"<html>", b""])
def test_F06_what_is_no_tile_of_this_source_is_not_kept(service, body):  # noqa: N802
    service.server.always(reply(body))
    address = service.source.missing(*SEEN)[0]
    assert not service.source.load(address)
    assert address in service.source.missing(*SEEN) and address in service.start().missing(*SEEN)


def test_F01_where_there_is_no_tile_less_detailed_ones_stand_in_and_it_is_not_asked_again(service):  # noqa: N802
    for wanted in WANTED:
        service.server.path(wanted, status(404))
    tile = service.source.tile(*SEEN)
    assert tile.valid.all()
    asked = service.asked()
    assert set(asked) >= WANTED and {int(target.split("/")[1]) for target in asked} == {20, 19}
    assert service.source.missing(*SEEN) == ()
    service.source.tile(*SEEN)
    assert service.asked() == []


def test_beyond_the_imagery_two_levels_are_tried_and_no_more(service):
    service.server.always(status(204))
    with pytest.raises(MapError, match="no imagery"):
        service.source.tile(*SEEN)
    assert {int(target.split("/")[1]) for target in service.asked()} == {20, 19, 18}
    assert service.source.missing(*SEEN) == () and service.source.tile_at_hand(*SEEN) is None


def test_a_gap_at_hand_is_filled_from_less_detailed_tiles_at_hand(service):
    column, row = mercator.tile_of(PLACE.latitude, PLACE.longitude, ZOOM - 2)
    assert service.source.load(TileAddress(ZOOM - 2, column, row))
    assert service.source.tile_at_hand(*SEEN).valid.any()
    assert {path(address) for address in service.source.missing(*SEEN)} == WANTED


def test_nothing_is_asked_beyond_the_bounds_of_the_source(service):
    source = service.start(bounds=[8.5, 47.0, 9.0, 48.0])
    tile = source.tile(*SEEN)
    asked = {int(target.split("/")[2]) for target in service.asked()}
    assert min(asked) == mercator.tile_of(PLACE.latitude, PLACE.longitude, ZOOM)[0]
    assert 0.5 < tile.valid.mean() < 1.0 and source.missing(*SEEN) == ()


def test_coarser_pictures_come_from_coarser_tiles(service):
    service.source.tile(PLACE, 200.0, 1.0)
    assert {int(target.split("/")[1]) for target in service.asked()} == {17}


def test_a_closed_source_says_so(service):
    service.source.close()
    for read in (service.source.tile, service.source.tile_at_hand):
        with pytest.raises(MapError, match="closed"):
            read(*SEEN)
    assert not service.source.load(TileAddress(20, 1, 1))


def test_transparent_pixels_are_not_valid(tmp_path):
    import cv2

    picture = np.full((256, 256, 4), 90, np.uint8)
    picture[:, :, 3] = np.arange(256)[:, None] < 128
    picture[:, :, 3] *= 255
    body = bytes(cv2.imencode(".png", picture)[1])
    with (made := Service(tmp_path / "cache", body)).server:
        tile = made.source.tile(*SEEN)
        assert 0.3 < tile.valid.mean() < 0.7


def test_stand_ins_are_looked_for_in_gaps_only(service, monkeypatch):
    for address in addresses_around(PLACE, 60.0, ZOOM):
        service.source.load(address)
    looked_at, at_hand = set(), service.source.piece_at_hand
    monkeypatch.setattr(service.source, "piece_at_hand", lambda at: looked_at.add(at.zoom) or at_hand(at))
    assert service.source.tile_at_hand(*SEEN).valid.all()
    assert looked_at == {ZOOM}
    service.source.tile_at_hand(PLACE, 160.0, 0.1)
    assert looked_at == {ZOOM, ZOOM - 1, ZOOM - 2}
