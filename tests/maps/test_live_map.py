# SPDX-License-Identifier: Apache-2.0
"""The map that a vehicle drives on: it answers at once, and says how good the answer is."""

import threading

import numpy as np
import pytest
from paper_source import MPP, PaperSource

from geodistill_core.errors import MapError
from geodistill_core.maps import RasterSource
from geodistill_core.maps.corridor import Track
from geodistill_core.maps.live import LiveMap, live_map
from geodistill_core.maps.prefetch import Prefetcher
from geodistill_core.maps.remote.source import Piece
from geodistill_core.types import GeoPoint

HERE, SHAPE = GeoPoint(47.5, 8.7), (96.0, MPP)


@pytest.fixture
def paper():
    return PaperSource()


def test_a_local_map_stays_what_it_is():
    local = RasterSource(np.full((64, 64, 3), 9, np.uint8), HERE, 0.5, "made up")
    assert live_map(local) is local


def test_tile_of_nothing_at_hand_is_an_error_at_once_and_asks_nobody(paper):
    live = live_map(paper)
    with pytest.raises(MapError, match="has been asked for"):
        live.tile(HERE, *SHAPE)
    assert paper.asked == []
    assert live.condition().newest == "none"


def test_error_names_an_offline_service_and_the_remedy(paper):
    paper.fetcher.state = "offline"
    with pytest.raises(MapError, match=r"offline \(refused\) for 61 s.*preload_map"):
        LiveMap(paper).tile(HERE, *SHAPE)


def test_tile_is_provisional_while_parts_are_missing_and_final_when_all_are_there(paper):
    live = LiveMap(paper)
    wanted = paper.missing(HERE, *SHAPE)
    assert len(wanted) > 4
    for address in wanted[:-1]:
        paper.load(address)
    half = live.tile(HERE, *SHAPE)
    assert half.provisional and half.valid.any() and not half.valid.all()
    assert live.condition().newest == "partial"
    paper.load(wanted[-1])
    whole = live.tile(HERE, *SHAPE)
    assert not whole.provisional and whole.valid.all() and whole.key != half.key
    assert live.condition().tiles == {"partial": 1, "full": 1}


def test_looking_ahead_says_nothing_of_the_tile_here(paper):
    live = LiveMap(paper)
    for address in paper.missing(HERE, *SHAPE):
        paper.load(address)
    live.tile(HERE, *SHAPE)
    with pytest.raises(MapError):
        live.tile_ahead(GeoPoint(47.6, 8.7), *SHAPE)
    assert live.condition().newest == "full" and live.condition().tiles == {"full": 1}


def test_tile_at_the_edge_of_what_the_service_has_is_final_and_not_called_full(paper, monkeypatch):
    for address in paper.missing(HERE, *SHAPE)[1:]:
        paper.load(address)
    tell = paper.piece_at_hand
    monkeypatch.setattr(paper, "piece_at_hand", lambda address: tell(address) or Piece(None, True))
    live = LiveMap(paper)
    tile = live.tile(HERE, *SHAPE)
    assert not tile.provisional and tile.valid.any() and not tile.valid.all()
    assert live.condition().newest == "edge"


def test_tile_past_its_age_is_given_out_and_called_stale(paper):
    for address in paper.missing(HERE, *SHAPE):
        paper.load(address)
        paper.stale.add(address)
    tile = LiveMap(paper).tile(HERE, *SHAPE)
    assert tile.valid.all() and tile.provisional
    live = LiveMap(paper)
    live.tile(HERE, *SHAPE)
    assert live.condition().newest == "stale"


def test_what_the_map_says_of_itself_passes_through(paper):
    live = LiveMap(paper)
    assert (live.attribution, live.map_sigma_m, live.info().location) == ("paper mill", 0.7, "paper")
    assert live.bounds() == paper.bounds()
    live.close()
    with pytest.raises(MapError, match="closed"):
        live.tile(HERE, *SHAPE)


def test_tile_comes_at_once_while_every_request_hangs(paper):
    for address in paper.missing(HERE, *SHAPE):
        paper.load(address)
    stuck, go_on = threading.Semaphore(0), threading.Event()
    paper.during = lambda address: (stuck.release(), go_on.wait(60.0))
    prefetcher = Prefetcher(paper, [SHAPE]).start()
    prefetcher.follow(Track(HERE, 20.0, 0.0))
    assert stuck.acquire(timeout=20.0) and stuck.acquire(timeout=20.0)
    tile = LiveMap(paper).tile(HERE, *SHAPE)  # would never come if it waited for a request, or for a lock behind one
    assert tile.valid.all() and not go_on.is_set()
    go_on.set()
    assert prefetcher.close(20.0)


def test_complete_tile_asked_for_again_is_not_cut_again_until_a_minute_later(paper):
    for address in paper.missing(HERE, *SHAPE):
        paper.load(address)
    live = LiveMap(paper)
    first = live.tile(HERE, *SHAPE)
    assert live.tile(HERE, *SHAPE) is first
    assert live.tile(HERE, 64.0, MPP).rgb.shape != first.rgb.shape
    paper.clock.now_s += 61.0
    again = live.tile(HERE, *SHAPE)
    assert again is not first and again.key == first.key
    assert live.condition().tiles == {"full": 4}


def test_closed_map_gives_no_tile_that_it_cut_before(paper):
    for address in paper.missing(HERE, *SHAPE):
        paper.load(address)
    live = LiveMap(paper)
    live.tile(HERE, *SHAPE)
    live.close()
    with pytest.raises(MapError, match="is closed"):
        live.tile(HERE, *SHAPE)
