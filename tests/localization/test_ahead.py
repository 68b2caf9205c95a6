# SPDX-License-Identifier: Apache-2.0
"""Map features are there before the images: encoded once, ahead of the vehicle, from complete imagery."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from pyproj import Geod

from geodistill_core.errors import MapError, RuntimeBackendError
from geodistill_core.localization.ahead import Ahead
from geodistill_core.localization.encoded_tiles import EncodedTiles
from geodistill_core.types import GeoPoint, MapTile

GEOD = Geod(ellps="WGS84")
HERE, SECOND_NS = GeoPoint(47.5, 8.7), 10**9


def at(bearing_deg, metres, start=HERE):
    longitude, latitude, _ = GEOD.fwd(start.longitude, start.latitude, bearing_deg, metres)
    return GeoPoint(latitude, longitude)


class Map:
    """Grey tiles; `valid` says how much of a tile is there, `version` what is on it."""

    def __init__(self):
        self.served, self.valid, self.provisional, self.version = 0, 1.0, False, 0

    def tile(self, center, extent_m, metres_per_pixel):
        self.served += 1
        if self.valid == 0.0:
            raise MapError("nothing at hand")
        valid = np.arange(192 * 192).reshape(192, 192) < self.valid * 192 * 192
        rgb = np.zeros((192, 192, 3), np.uint8)
        key = f"{self.valid} {self.version}"
        return MapTile(rgb, valid, center, metres_per_pixel, key, provisional=self.provisional)

    tile_ahead = tile


class Counting:
    """A network that counts its encodings; `during` runs in each."""

    metres_per_pixel = 0.5

    def __init__(self):
        self.encoded, self.during = [], lambda: None

    def prepare_map(self, tile):
        return tile

    def encode_map(self, tile):
        self.during()
        self.encoded.append(tile.center)
        return f"features of {tile.key}"


@pytest.fixture
def world():
    source, network = Map(), Counting()
    tiles = EncodedTiles(network, source, extent_m=96.0, grid_m=8.0, capacity=4)
    return SimpleNamespace(map=source, network=network, tiles=tiles)


def test_prepared_tile_is_not_encoded_again(world):
    assert world.tiles.prepare(HERE) and not world.tiles.prepare(HERE)
    tile, features = world.tiles.around(HERE)
    assert features == f"features of {tile.key}" and len(world.network.encoded) == 1


def test_provisional_tile_is_read_again_and_encoded_again_only_when_its_pixels_changed(world):
    world.map.provisional, world.map.valid = True, 0.5
    assert world.tiles.around(HERE)[1] == world.tiles.around(HERE)[1] == "features of 0.5 0"
    assert (world.map.served, len(world.network.encoded)) == (2, 1)
    world.map.valid = 1.0
    assert world.tiles.around(HERE)[1] == "features of 1.0 0"
    world.map.provisional = False
    assert not world.tiles.around(HERE)[0].provisional
    world.tiles.around(HERE)
    assert (world.map.served, len(world.network.encoded)) == (4, 2)


def test_stale_tile_stays_in_use_until_its_imagery_is_renewed(world):
    world.map.provisional = True
    assert world.tiles.prepare(HERE)
    assert world.tiles.around(HERE)[1] == "features of 1.0 0"
    world.map.version, world.map.provisional = 1, False
    assert world.tiles.around(HERE)[1] == "features of 1.0 1"


def test_incomplete_imagery_is_not_encoded_ahead(world):
    world.map.provisional, world.map.valid = True, 0.5
    assert not world.tiles.prepare(HERE)
    world.map.valid = 0.0
    assert not world.tiles.prepare(HERE) and world.network.encoded == []
    with pytest.raises(MapError, match="nothing at hand"):
        world.tiles.around(HERE)


def test_edge_of_the_imagery_is_encoded_ahead_because_no_more_will_come(world):
    world.map.valid = 0.5
    assert world.tiles.prepare(HERE)


def test_frame_that_comes_while_its_tile_is_being_encoded_waits_and_does_not_encode_it_again(world):
    inside, go_on, got = threading.Event(), threading.Event(), []
    world.network.during = lambda: (inside.set(), go_on.wait(20.0))
    first = threading.Thread(target=world.tiles.prepare, args=(HERE,))
    first.start()
    assert inside.wait(20.0)
    second = threading.Thread(target=lambda: got.append(world.tiles.around(HERE)))
    second.start()
    go_on.set()
    first.join(20.0), second.join(20.0)
    assert len(got) == 1 and len(world.network.encoded) == 1


def test_tile_encoded_while_another_thread_read_the_map_is_not_encoded_again(world):
    read = world.map.tile

    def slowly(*question):
        tile = read(*question)
        world.map.tile = read
        world.tiles.prepare(HERE)  # the other thread is faster
        return tile

    world.map.tile = slowly
    world.tiles.around(HERE)
    assert len(world.network.encoded) == 1


def test_rest_ends_encoding_until_the_vehicle_is_followed_again(world):
    ahead = Ahead(world.tiles.prepare)
    ahead.follow(0, HERE)
    ahead.rest()
    assert not ahead.step() and world.network.encoded == []
    ahead.follow(SECOND_NS, HERE)
    assert ahead.step()


def test_failed_encoding_is_raised_and_tried_again(world):
    def fail():
        world.network.during = lambda: None
        raise RuntimeBackendError("out of memory")

    world.network.during = fail
    with pytest.raises(RuntimeBackendError, match="out of memory"):
        world.tiles.around(HERE)
    assert world.tiles.around(HERE)[1] == "features of 1.0 0"


def test_no_frame_of_a_drive_encodes_its_own_tile(world):
    ahead = Ahead(world.tiles.prepare)
    world.tiles.prepare(HERE)
    for number in range(60):  # 6 s at 10 m/s
        here = at(90.0, number)
        if number % 10 == 0:
            ahead.follow(number * SECOND_NS // 10, here, yaw_enu_rad=0.0, speed_mps=10.0)
        before = len(world.network.encoded)
        world.tiles.around(here)
        assert len(world.network.encoded) == before, f"frame {number} encoded"
        ahead.step()
    assert 8 <= len(world.network.encoded) <= 14


def test_noisy_fixes_cost_few_more_encodings_and_most_frames_find_theirs_done(world):
    """60 s at 10 m/s, a fix of 3 m and a slow drift each second, five images a second that follow the last fix."""

    def drive(tiles, ahead):
        rng, error_m, encoding = np.random.default_rng(1), np.zeros(2), 0
        before = len(world.network.encoded)
        for number in range(300):
            if number % 5 == 0:
                error_m = 0.95 * error_m + 0.312 * rng.normal(0.0, 3.0, 2)
                fix = at(0.0, error_m[0], at(90.0, 2.0 * number + error_m[1]))
                if ahead is not None:
                    ahead.follow(number * SECOND_NS // 5, fix, yaw_enu_rad=0.0, speed_mps=10.0)
            known = len(world.network.encoded)
            tiles.around(at(90.0, 2.0 * (number % 5), fix))
            encoding += len(world.network.encoded) > known
            if ahead is not None:
                ahead.step()
        return encoding, len(world.network.encoded) - before

    other = EncodedTiles(world.network, world.map, extent_m=96.0, grid_m=8.0, capacity=16)
    tiles = EncodedTiles(world.network, world.map, extent_m=96.0, grid_m=8.0, capacity=16)
    waiting, without = drive(other, None)
    still_waiting, with_ahead = drive(tiles, Ahead(tiles.prepare))
    assert waiting == without > 60
    assert still_waiting < 0.15 * waiting and with_ahead < 1.25 * without


def test_velocity_comes_from_the_fixes_where_nothing_measures_it():
    ahead = Ahead(lambda point: False)
    for second in range(5):
        track = ahead.follow(second * SECOND_NS, at(0.0, 12.0 * second))
    assert track.north_mps == pytest.approx(12.0, abs=0.01) and abs(track.east_mps) < 0.01
    assert ahead.follow(60 * SECOND_NS, at(0.0, 100.0)).speed_mps == 0.0  # after a gap nothing is known
    assert ahead.follow(1 * SECOND_NS, at(0.0, 100.0)).speed_mps == 0.0  # nor after the clock jumped back
    known = ahead.follow(2 * SECOND_NS, at(0.0, 100.0), yaw_enu_rad=np.pi / 2, speed_mps=-3.0)
    assert known.north_mps == pytest.approx(-3.0)


def test_place_that_cannot_be_encoded_does_not_end_the_thread():
    asked, twice = [], threading.Event()

    def prepare(point):
        asked.append(point)
        if len(asked) > 1:
            twice.set()
        raise RuntimeBackendError("no memory")

    ahead = Ahead(prepare).start()
    ahead.follow(0, HERE)
    assert twice.wait(20.0)
    assert ahead.close(20.0)
