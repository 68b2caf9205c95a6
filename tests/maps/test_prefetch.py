# SPDX-License-Identifier: Apache-2.0
"""What is fetched ahead of a vehicle, in which order, and what no longer is."""

import threading

import numpy as np
import pytest
from paper_source import MPP, Clock, PaperSource
from pyproj import Geod

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps.corridor import Outlook, Track, needed
from geodistill_core.maps.live import LiveMap
from geodistill_core.maps.prefetch import Prefetcher
from geodistill_core.maps.remote.file_source import OPENING
from geodistill_core.types import GeoPoint

GEOD = Geod(ellps="WGS84")
HERE, SHAPE = GeoPoint(47.5, 8.7), (96.0, MPP)
NARROW = Outlook(horizon_s=20.0, around_m=30.0, path_m=600.0)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def paper(clock):
    return PaperSource(clock)


def distance_m(a, b):
    return GEOD.inv(a.longitude, a.latitude, b.longitude, b.latitude)[2]


def at(bearing_deg, metres, start=HERE):
    longitude, latitude, _ = GEOD.fwd(start.longitude, start.latitude, bearing_deg, metres)
    return GeoPoint(latitude, longitude)


def run_dry(prefetcher, limit=5000):
    for count in range(limit):
        if not prefetcher.step():
            return count
    raise AssertionError("never done")


@pytest.mark.parametrize("center", [HERE, GeoPoint(0.0, 179.9999), GeoPoint(-33.9, -180.0), GeoPoint(69.0, 20.0)])
def test_every_place_on_the_predicted_track_lies_near_a_node_and_nearer_places_come_first(center):
    nodes = needed(Track(center, 0.0, 25.0), Outlook(horizon_s=20.0, around_m=0.0))
    for metres in range(0, 500, 20):
        assert min(distance_m(node, at(0.0, metres, center)) for node in nodes) < NARROW.pitch_m
    assert np.all(np.diff([distance_m(center, node) for node in nodes]) > 0)


def test_standing_vehicle_looks_around_itself_only():
    nodes = needed(Track(HERE, 0.3, 0.0), Outlook(around_m=150.0))
    assert max(distance_m(HERE, node) for node in nodes) < 150.0 + 24.0
    for bearing in range(0, 360, 30):
        assert min(distance_m(node, at(bearing, 120.0)) for node in nodes) < 24.0


def test_path_is_followed_from_where_the_vehicle_is_on_it():
    path = tuple(at(90.0, metres) for metres in range(-500, 1500, 50))
    nodes = needed(Track(HERE, path=path), NARROW)
    east_m = [float(LocalFrame(HERE).to_enu(node.latitude, node.longitude)[0]) for node in nodes]
    assert max(east_m) == pytest.approx(600.0, abs=20.0) and min(east_m) > -60.0


def test_imagery_is_there_before_the_vehicle_on_a_straight_track(paper, clock):
    prefetcher, live = Prefetcher(paper, [SHAPE], outlook=NARROW, clock=clock), LiveMap(paper)
    prefetcher.follow(Track(HERE, 0.0, 20.0))
    run_dry(prefetcher)
    for metres in range(0, 400, 23):
        for aside_m in (-15.0, 15.0):  # as far as a receiver is off
            assert live.tile(at(90.0, aside_m, at(0.0, metres)), *SHAPE).valid.all()
    clock.now_s += 5.1  # the plan is looked through again
    run_dry(prefetcher)
    assert prefetcher.progress().complete == prefetcher.progress().planned


def test_nothing_is_asked_for_twice(paper, clock):
    prefetcher = Prefetcher(paper, [SHAPE, (70.0, 0.2)], clock=clock)
    for metres in range(0, 100, 10):
        prefetcher.follow(Track(at(0.0, metres), 0.0, 10.0))
        for _ in range(30):
            prefetcher.step()
    run_dry(prefetcher)
    assert len(set(paper.asked)) == len(paper.asked) > 50


def test_what_is_no_longer_ahead_is_not_asked_for_any_more(paper, clock):
    prefetcher = Prefetcher(paper, [SHAPE], outlook=NARROW, clock=clock)
    prefetcher.follow(Track(HERE, 0.0, 20.0))
    prefetcher.step()
    prefetcher.follow(Track(HERE, 20.0, 0.0))  # turned right
    run_dry(prefetcher)
    assert paper.missing(at(0.0, 350.0), *SHAPE) and not paper.missing(at(90.0, 350.0), *SHAPE)
    assert not set(paper.missing(at(0.0, 350.0), *SHAPE)) & set(paper.asked)


def test_failed_address_lets_the_others_go_first_and_is_tried_again_later(paper, clock):
    prefetcher = Prefetcher(paper, [SHAPE], outlook=NARROW, clock=clock)
    unlucky = paper.missing(HERE, *SHAPE)[0]
    paper.fails = lambda address: address == unlucky
    prefetcher.follow(Track(HERE, 0.0, 20.0))
    assert not prefetcher.step()
    assert run_dry(prefetcher) > 20
    assert paper.asked.count(unlucky) == 1 and prefetcher.progress().failed == 1
    paper.fails = lambda address: False
    clock.now_s += 5.1
    run_dry(prefetcher)
    assert paper.asked.count(unlucky) == 2 and unlucky in paper.at_hand


def test_evicted_imagery_is_fetched_again(paper, clock):
    prefetcher = Prefetcher(paper, [SHAPE], outlook=NARROW, clock=clock)
    prefetcher.follow(Track(HERE))
    run_dry(prefetcher)
    paper.at_hand.clear()
    clock.now_s += 61.0
    run_dry(prefetcher)
    assert not paper.missing(HERE, *SHAPE)


def test_preload_waits_for_what_driving_needs_and_then_covers_the_disc(paper, clock):
    prefetcher = Prefetcher(paper, [SHAPE], outlook=NARROW, clock=clock)
    prefetcher.follow(Track(HERE))
    tiles = prefetcher.preload(at(0.0, 2000.0), 400.0)
    assert prefetcher.progress().preload_left > 50 and tiles > 100
    assert prefetcher.step() and paper.asked[0] in set(PaperSource().missing(HERE, *SHAPE))
    before = len(paper.asked)
    run_dry(prefetcher)
    assert prefetcher.progress().preload_left == 0
    assert len(paper.asked) - before == pytest.approx(tiles, rel=0.3)
    for bearing in range(0, 360, 20):
        assert not paper.missing(at(bearing, 390.0, at(0.0, 2000.0)), *SHAPE)


def test_preload_that_is_not_permitted_loads_nothing(paper):
    prefetcher = Prefetcher(paper, [SHAPE])

    def refuse(tiles):
        raise ConfigError(f"{tiles} tiles")

    with pytest.raises(ConfigError, match=r"\d+ tiles"):
        prefetcher.preload(HERE, 400.0, refuse)
    assert prefetcher.progress().preload_left == 0 and not prefetcher.step()


def test_preload_of_a_file_that_is_not_open_yet_is_refused(paper, monkeypatch):
    monkeypatch.setattr(paper, "addresses", lambda target: (OPENING,))
    with pytest.raises(MapError, match=r"has not been opened yet.*ask again"):
        Prefetcher(paper, [SHAPE]).preload(HERE, 400.0)


def test_rest_ends_plan_and_preload_until_the_vehicle_is_followed_again(paper, clock):
    prefetcher = Prefetcher(paper, [SHAPE], outlook=NARROW, clock=clock)
    prefetcher.follow(Track(HERE))
    prefetcher.preload(HERE, 400.0)
    assert prefetcher.step()
    prefetcher.rest()
    assert not prefetcher.step()
    assert prefetcher.progress().planned == prefetcher.progress().preload_left == 0
    prefetcher.follow(Track(HERE))
    run_dry(prefetcher)
    assert not paper.missing(HERE, *SHAPE) and paper.missing(at(90.0, 390.0), *SHAPE)


def test_preloaded_tile_that_fails_for_good_does_not_hold_the_others_up(paper, clock):
    prefetcher = Prefetcher(paper, [SHAPE], clock=clock)
    prefetcher.preload(HERE, 400.0)
    paper.fails = lambda address: address.column % 2 == 0
    for _ in range(3000):
        prefetcher.step()
        clock.now_s += 1.0
        if prefetcher.progress().preload_left == 0:
            break
    assert prefetcher.progress().preload_left == 0
    loaded = {address for address in paper.at_hand if address.column % 2}
    assert len(loaded) > 100 and max(map(paper.asked.count, set(paper.asked))) <= 6


def test_preload_waits_for_an_offline_service(paper, clock):
    prefetcher = Prefetcher(paper, [SHAPE], clock=clock)
    prefetcher.preload(HERE, 60.0)
    paper.fails, paper.fetcher.state = lambda address: True, "offline"
    for _ in range(500):
        prefetcher.step()
        clock.now_s += 1.0
    assert prefetcher.progress().preload_left > 0
    paper.fails, paper.fetcher.state = lambda address: False, "online"
    clock.now_s += 6.0
    run_dry(prefetcher)
    assert prefetcher.progress().preload_left == 0 and not paper.missing(at(45.0, 50.0), *SHAPE)


@pytest.mark.parametrize("error", [MapError("holds other zooms"), ValueError("a mistake of ours")])
def test_place_of_which_the_map_cannot_tell_does_not_end_the_threads(paper, error):
    prefetcher, tell, asked = Prefetcher(paper, [SHAPE], outlook=NARROW, workers=1), paper.missing, threading.Event()

    def cannot(*question):
        asked.set()
        raise error

    paper.missing = cannot
    prefetcher.start().follow(Track(HERE))
    assert asked.wait(20.0)
    paper.missing = tell
    loaded = threading.Event()
    paper.during = lambda address: loaded.set()
    prefetcher.follow(Track(at(0.0, 5000.0)))
    assert loaded.wait(20.0) and prefetcher.close(20.0)


def test_preload_and_follow_do_not_wait_while_places_are_laid_out(paper):
    inside, go_on, tell = threading.Event(), threading.Event(), paper.missing
    paper.missing = lambda *question: (inside.set(), go_on.wait(20.0), tell(*question))[2]
    prefetcher = Prefetcher(paper, [SHAPE], outlook=NARROW).start()
    prefetcher.follow(Track(HERE))
    assert inside.wait(20.0)
    asked = threading.Thread(target=prefetcher.preload, args=(HERE, 400.0))
    asked.start()
    asked.join(20.0)
    assert not asked.is_alive() and prefetcher.progress().preload_left > 50
    go_on.set()
    assert prefetcher.close(20.0)


def test_two_threads_load_at_once_and_no_more_and_stop_when_closed(paper):
    both = threading.Barrier(2, timeout=20.0)
    paper.during = lambda address: both.wait() if len(paper.asked) <= 2 else None
    prefetcher = Prefetcher(paper, [SHAPE], outlook=NARROW).start()
    prefetcher.follow(Track(HERE))
    done = threading.Event()
    while prefetcher.progress().complete == 0 and not done.wait(0.01):
        pass
    assert prefetcher.close()
    count = len(paper.asked)
    prefetcher.follow(Track(at(0.0, 5000.0)))
    done.wait(0.05)
    assert paper.peak == 2 and len(paper.asked) == count


def test_follow_does_not_wait_for_a_request_that_hangs(paper):
    inside, go_on = threading.Event(), threading.Event()
    paper.during = lambda address: (inside.set(), go_on.wait(20.0))
    prefetcher = Prefetcher(paper, [SHAPE], workers=1).start()
    prefetcher.follow(Track(HERE))
    assert inside.wait(20.0)
    prefetcher.follow(Track(HERE, 0.0, 20.0))
    prefetcher.progress()
    assert not prefetcher.close(timeout_s=0.01)
    go_on.set()
    assert prefetcher.close(timeout_s=20.0)
