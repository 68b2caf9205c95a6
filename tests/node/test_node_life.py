# SPDX-License-Identifier: Apache-2.0
"""Proof of life, the lifecycle, and what is published."""

import math
import os
import random
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from nav_msgs.msg import OccupancyGrid
from rclpy.qos import ReliabilityPolicy
from ros_world import (
    ACTIVATE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    GOALS,
    LATCHED,
    LATITUDE,
    LONGITUDE,
    YAW_DEG,
    World,
    compressed_image,
    raw_image,
)
from sensor_msgs.msg import CompressedImage, Image, NavSatFix

from geodistill_core.errors import CheckpointError


def test_good_frame_gets_a_pose_with_the_image_stamp(world):
    world.start()
    pose = world.good_frame_gets_a_pose()
    image, prior = world.localizer.seen[-1]
    assert pose.header.frame_id == "map"
    assert pose.header.stamp.sec * 10**9 + pose.header.stamp.nanosec == image.stamp_ns
    assert prior.yaw_enu_rad == pytest.approx(math.radians(YAW_DEG))
    assert 2 * math.atan2(pose.pose.pose.orientation.z, pose.pose.pose.orientation.w) == pytest.approx(
        prior.yaw_enu_rad
    )
    P = np.array(pose.pose.covariance).reshape(6, 6)
    np.linalg.cholesky(P)
    assert (P == P.T).all()
    assert np.diag(P)[[0, 1, 5]] == pytest.approx([0.25, 0.36, 0.01])
    assert not P[2:5, [0, 1, 5]].any()


def test_uncertain_mount_height_comes_with_every_image(worlds):
    world = worlds(mount_sigma_z_m=0.25)
    world.start()
    world.good_frame_gets_a_pose()
    assert world.localizer.seen[-1][0].sigma_height_m == 0.25


def test_fix_datum_overlay_and_heatmap_are_published(worlds):
    world = worlds(publish_overlay=True, publish_heatmap=True)
    fixes, data, overlays, grids = [], [], [], []
    world.collect(NavSatFix, "geodistill/fix", fixes, 10)
    world.collect(Image, "geodistill/overlay", overlays, 1)
    world.collect(OccupancyGrid, "geodistill/heatmap", grids, LATCHED)
    world.start()
    pose = world.good_frame_gets_a_pose()
    world.wait(lambda: fixes and overlays and grids, "fix, overlay and heat map")
    assert {m.header.stamp.nanosec for m in (fixes[0], overlays[0], grids[0])} == {pose.header.stamp.nanosec}
    assert (fixes[0].latitude, fixes[0].longitude) == pytest.approx((LATITUDE, LONGITUDE), abs=1e-9)
    assert fixes[0].position_covariance_type == NavSatFix.COVARIANCE_TYPE_KNOWN
    assert fixes[0].position_covariance[0] == pytest.approx(0.25)
    assert overlays[0].encoding == "rgb8" and len(overlays[0].data) == overlays[0].step * overlays[0].height
    grid = np.array(grids[0].data, np.int8).reshape(grids[0].info.height, grids[0].info.width)
    assert grid[8 - 1 - 2, 5] == 100  # north-east peak: row 2 from the north, counted from the south
    world.collect(NavSatFix, "geodistill/datum", data, LATCHED)  # subscribed late, received all the same
    world.wait(lambda: data, "the latched datum")
    assert (data[0].latitude, data[0].longitude) == pytest.approx((LATITUDE, LONGITUDE), abs=1e-9)


def test_configured_datum_is_the_map_origin(worlds):
    world = worlds(datum_latitude=LATITUDE - 1e-3, datum_longitude=LONGITUDE)
    world.start()
    pose = world.good_frame_gets_a_pose()
    assert pose.pose.pose.position.y == pytest.approx(111.2, abs=0.1)  # a thousandth of a degree north
    assert pose.pose.pose.position.x == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("transport", ["raw", "compressed"])
@pytest.mark.parametrize("reliability", list(ReliabilityPolicy)[1:3])
def test_n22_both_transports_reach_the_node_from_either_reliability(worlds, transport, reliability):
    world = worlds(image_transport=transport)
    world.start()
    kind, topic = (Image, "image") if transport == "raw" else (CompressedImage, "image/compressed")
    world.publisher(kind, topic, reliability)
    make = raw_image if transport == "raw" else compressed_image
    world.prepare()
    timer = world.tester.create_timer(0.1, lambda: world.send(make(world.now_ns())))  # best effort may lose some
    world.wait(lambda: world.poses, f"a pose over {transport}")
    world.tester.destroy_timer(timer)


def test_inactive_node_publishes_nothing_and_reactivation_keeps_the_model(world):
    world.start()
    world.good_frame_gets_a_pose()
    assert world.change(DEACTIVATE) and world.state() == "inactive"
    assert list(world.node.subscriptions) == []
    assert world.change(ACTIVATE)
    world.forget_publishers()
    world.good_frame_gets_a_pose()
    assert world.engines_opened == 1


def test_answer_that_was_under_way_is_not_published_after_deactivation(world):
    inside, go_on = threading.Event(), threading.Event()
    world.localizer.before = lambda *_: (inside.set(), go_on.wait(10))
    world.start()
    world.prepare()
    world.send(compressed_image(world.now_ns()))
    assert inside.wait(10)
    assert world.change(DEACTIVATE)
    go_on.set()
    world.wait_count("dropped.deactivated")
    assert world.poses == []
    assert world.values()["images.pending"] == "0"


def test_refused_configure_says_why_and_can_be_tried_again(world):
    world.engine_error = CheckpointError("model.safetensors is damaged: fetch it again")
    assert not world.change(CONFIGURE)
    assert world.state() == "unconfigured"
    healthy, status = world.status()
    assert not healthy and "fetch it again" in status["message"]
    world.engine_error = None
    world.start()
    world.good_frame_gets_a_pose()


def test_unexpected_failure_in_configure_is_a_refusal_too(world):
    world.engine_error = MemoryError("out of memory")
    assert not world.change(CONFIGURE)
    assert world.state() == "unconfigured"
    assert "MemoryError" in world.status()[1]["message"]


def test_autostarting_node_becomes_active_by_itself(worlds):
    world = worlds(autostart=True)
    world.wait(lambda: world.values().get("state") == "active", "autostart")
    world.good_frame_gets_a_pose()


def test_transition_that_the_state_does_not_allow_leaves_the_node_alive(world):
    world.state()  # the service is matched
    world.ask_for(ACTIVATE)
    world.ask_for(DEACTIVATE)
    assert world.state() == "unconfigured"
    world.start()
    world.good_frame_gets_a_pose()


LEGAL = {"unconfigured": [CONFIGURE], "inactive": [ACTIVATE, CLEANUP], "active": [DEACTIVATE]}


def rss_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def standing(world):
    """What a running node keeps: threads, publishers, subscriptions."""
    node = world.node
    threads = sorted(thread.name.split("-")[0] for thread in threading.enumerate())
    return threads, *(sorted(one.topic_name for one in found) for found in (node.publishers, node.subscriptions))


@settings(max_examples=2, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(draw=st.integers(0, 2**32).map(random.Random))
def test_n37_lifecycle_storm_leaks_nothing(draw):
    with World() as world:
        world.start()
        world.good_frame_gets_a_pose()
        state, settled, opened = "active", None, world.engines_opened
        before = standing(world)
        for step in range(200):
            if draw.random() < 0.03:  # a transition that the state does not allow changes nothing
                world.ask_for_any(draw.choice([t for t in GOALS if t not in LEGAL[state]]))
            else:
                transition = draw.choice(LEGAL[state])
                assert world.change(transition)
                state = GOALS[transition]
            if step == 50:
                settled = rss_mb()
        for transition in {"active": [DEACTIVATE, CLEANUP], "inactive": [CLEANUP]}.get(state, []):
            assert world.change(transition)
        assert world.state() == "unconfigured"
        assert world.engines_opened == world.engines_closed > opened
        world.forget_publishers()
        world.start()
        pose = world.good_frame_gets_a_pose()
        assert standing(world) == before
        assert np.array(pose.pose.covariance).reshape(6, 6)[0, 0] == pytest.approx(0.25)
        assert rss_mb() - settled < 30.0
