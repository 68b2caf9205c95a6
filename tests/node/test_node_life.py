# SPDX-License-Identifier: Apache-2.0
"""Proof of life and the lifecycle."""


def test_good_frame_gets_a_pose_with_the_image_stamp(world):
    world.start()
    pose = world.good_frame_gets_a_pose()
    assert pose.header.frame_id == "map"
    image, prior = world.localizer.seen[-1]
    assert pose.header.stamp.sec * 10**9 + pose.header.stamp.nanosec == image.stamp_ns
