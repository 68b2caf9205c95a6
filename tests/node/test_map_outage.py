# SPDX-License-Identifier: Apache-2.0
"""The node on a map that comes over the network: what is fetched ahead, and a server that dies for ten minutes."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "maps"))

from geodistill_ros.engine import Engine
from geodistill_ros.messages import header_of
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path as PathMessage
from ros_world import ACTIVATE, CONFIGURE, DEACTIVATE, LATITUDE, LONGITUDE, FakeLocalizer, compressed_image, noise
from rosgraph_msgs.msg import Clock
from server import OK, FaultServer, png, status
from std_srvs.srv import Trigger

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.ahead import Ahead
from geodistill_core.localization.encoded_tiles import EncodedTiles
from geodistill_core.maps.cache import DiskCache
from geodistill_core.maps.fetch import Fetcher
from geodistill_core.maps.live import LiveMap
from geodistill_core.maps.prefetch import Prefetcher
from geodistill_core.maps.remote import RemoteTiles
from geodistill_core.maps.spec import parse_source
from geodistill_core.types import GeoPoint

START_S, SPEED_MPS, TICK_S, OUTAGE_S = 1000, 2.0, 20, 600
SHAPE = (96.0, 0.25)
FRAME = LocalFrame(GeoPoint(LATITUDE, LONGITUDE))
SERVICE = {
    "name": "loopback",
    "kind": "xyz",
    "zooms": [15, 19],
    "attribution": "tests",
    "terms_url": "own",
    "terms_accepted": True,
    "cache_allowed": True,
    "allow_private": True,
}


class OnTheMap(FakeLocalizer):
    """Answers with the prior where there is a tile, and remembers the tiles."""

    def __init__(self, live):
        super().__init__()
        network = SimpleNamespace(metres_per_pixel=SHAPE[1], prepare_map=lambda tile: tile, encode_map=lambda tile: 0)
        self.encoded = EncodedTiles(network, live, extent_m=SHAPE[0], grid_m=8.0, capacity=16)
        self.tiles = []
        self.before = lambda image, prior: self.tiles.append(self.encoded.around(prior.point)[0])


@pytest.fixture
def server():
    with FaultServer(png(color=(90, 120, 60))) as server:
        yield server


@pytest.fixture
def drive(worlds, server, tmp_path):
    """A node on the server's map, on simulated time; the map's clock is the same."""
    return Drive(worlds, server, tmp_path)


class Drive:
    def __init__(self, worlds, server, folder):
        self.now_s, self.url, self.folder = START_S, server.url, folder
        self.world = worlds(open_engine=self.open_engine, use_sim_time=True)

    def open_engine(self, settings):
        clock = lambda: float(self.now_s)  # noqa: E731
        spec = parse_source(SERVICE | {"url": self.url + "/{z}/{x}/{y}.png"}, "the test's source")
        fetcher = Fetcher(spec, clock=clock, sleep=lambda seconds: None)
        source = RemoteTiles(spec, fetcher, DiskCache(self.folder / "tiles", 64 << 20), clock=clock)
        live = LiveMap(source)
        self.localizer = OnTheMap(live)
        prefetcher = Prefetcher(source, [SHAPE], workers=spec.max_connections, clock=clock)
        ahead = Ahead(self.localizer.encoded.prepare, prefetcher).start()
        return Engine(self.localizer, lambda: (live.close(), ahead.close()), True, {}, ahead, live)

    def start(self):
        self.world.start()
        self.clock = self.world.publisher(Clock, "/clock")
        self.tick(0)

    def tick(self, seconds):
        self.now_s += seconds
        self.world.clock_ns = self.now_s * 10**9
        self.clock.publish(Clock(clock=header_of(self.world.clock_ns, "").stamp))
        self.world.wait(lambda: self.world.node.get_clock().now().nanoseconds == self.world.clock_ns, "the clock")

    def frame_at(self, east_m, north_m):
        """A fix and an image here and now; whether the image was answered."""
        world = self.world
        world.place = FRAME.to_geodetic(east_m, north_m)
        fixes = world.counters().get("gnss.accepted", 0)
        world.insist(world.send_fix, lambda: world.counters().get("gnss.accepted", 0) > fixes, "accepted fix")
        done = lambda: [world.counters().get(name, 0) for name in ("images.answered", "dropped.no_map")]  # noqa: E731
        before = done()
        live = lambda: compressed_image(world.now_ns(), noise(self.now_s))  # noqa: E731
        world.insist(lambda: world.send(live()), lambda: done() != before, "a done image")
        return done()[0] > before[0]

    def send_path(self, length_m):
        path = PathMessage(header=header_of(self.world.now_ns(), "map"))
        for east_m in range(0, length_m, 50):
            pose = PoseStamped()
            pose.pose.position.x = float(east_m)
            path.poses.append(pose)
        publisher = self.world.publisher(PathMessage, "path")
        self.world.insist(lambda: publisher.publish(path), lambda: self.world.known("path.accepted") > 0, "the path")

    def wait_until_complete(self):
        """All of the plan is at hand; a plan is walked again after five seconds."""

        def complete():
            done, _, planned = self.world.values().get("map.ahead", "0/0").partition("/")
            return int(planned) > 0 and done == planned

        for _ in range(20):
            self.tick(6)
            self.frame_at(0.0, 0.0)
            with self.world.arrived:
                if self.world.arrived.wait_for(complete, 2.0):
                    return
        raise AssertionError(self.world.values())

    def sentence(self):
        status = self.world.diagnostics[-1].status[0]
        return status.level[0], status.message

    def preload(self):
        return self.world.call(Trigger, "geodistill/preload_map", Trigger.Request())


def test_ten_minutes_without_a_server_cost_no_frame_on_the_planned_path_and_end_by_themselves(drive, server):
    world = drive.world
    drive.start()
    drive.frame_at(0.0, 0.0)
    drive.send_path(1500)
    drive.wait_until_complete()
    assert world.values()["map.state"] == "online" and server.peak_in_flight <= 2

    server.kill()
    drive.localizer.tiles.clear()
    for number in range(OUTAGE_S // TICK_S):
        drive.tick(TICK_S)
        assert drive.frame_at(SPEED_MPS * TICK_S * number, 0.0), (number, world.values())
    assert len(drive.localizer.tiles) == OUTAGE_S // TICK_S
    assert all(tile.valid.all() for tile in drive.localizer.tiles)
    world.wait(lambda: world.values()["map.state"] == "offline", "offline in the diagnostics")
    assert int(world.values()["map.since_s"]) > OUTAGE_S / 2
    level, sentence = drive.sentence()
    assert level == 1 and "map service offline" in sentence and "imagery at hand" in sentence
    complete, _, planned = world.values()["map.ahead"].partition("/")
    assert 0 < int(complete) < int(planned)  # beside the path nothing has been fetched

    drive.tick(TICK_S)
    assert not drive.frame_at(0.0, 3000.0)  # where nothing has been fetched
    drop = world.node._session.pipeline.progress.newest_drop
    assert "offline" in drop and "preload_map" in drop

    server.revive()
    recovered_s = next(s for s in range(TICK_S, 200, TICK_S) if drive.tick(TICK_S) or drive.frame_at(0.0, 3000.0))
    assert recovered_s <= 120
    world.wait(lambda: world.values()["map.state"] == "online", "online in the diagnostics")
    assert world.state() == "active"


def test_preload_fetches_the_surroundings_and_counts_down(drive, server):
    drive.start()
    world = drive.world
    assert world.set_parameter("map_preload_radius_m", 300.0).successful
    assert not drive.preload().success  # where is the vehicle?
    drive.frame_at(0.0, 0.0)
    answer = drive.preload()
    assert answer.success and "tiles within 300 m" in answer.message
    for _ in range(50):
        drive.tick(6)
        drive.frame_at(0.0, 0.0)
        if world.values().get("map.preload_left") == "0":
            break
    server.kill()
    for east_m, north_m in ((280.0, 0.0), (-200.0, 200.0), (0.0, -280.0)):
        drive.tick(6)
        assert drive.frame_at(east_m, north_m) and drive.localizer.tiles[-1].valid.all()


def test_deactivation_ends_what_is_fetched_ahead_and_preloaded(drive, server):
    drive.start()
    world = drive.world
    drive.frame_at(0.0, 0.0)
    server.always(status(503))
    assert drive.preload().success
    world.wait(lambda: int(world.values().get("map.preload_left", 0)) > 0, "the preload in the diagnostics")
    assert world.change(DEACTIVATE)
    world.wait(lambda: world.values()["map.ahead"] == "0/0" and world.values()["map.preload_left"] == "0", "the end")
    assert not drive.preload().success  # where the vehicle is now is not known
    server.always(OK)
    assert world.change(ACTIVATE)
    drive.tick(6)
    drive.frame_at(0.0, 0.0)
    drive.wait_until_complete()


def test_preload_beyond_what_the_source_allows_is_refused(drive, monkeypatch):
    monkeypatch.setitem(SERVICE, "max_preload_tiles", 10)
    drive.start()
    drive.frame_at(0.0, 0.0)
    answer = drive.preload()
    assert not answer.success and "max_preload_tiles" in answer.message


def test_preload_of_a_node_that_is_not_configured_says_so(world):
    answer = world.call(Trigger, "geodistill/preload_map", Trigger.Request())
    assert not answer.success and "not configured" in answer.message
    assert world.change(CONFIGURE) and world.change(ACTIVATE)
