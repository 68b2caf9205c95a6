# SPDX-License-Identifier: Apache-2.0
"""What tests of faults share: the proof that a node survives one, and a clock that is set by hand."""

from geodistill_ros.messages import header_of
from rosgraph_msgs.msg import Clock

SECOND_NS = 1_000_000_000


def survives(world, counter, send, transport="compressed"):
    """`send` costs exactly one `counter` and no pose; a good frame is answered afterwards."""
    world.prepare()
    before, poses = world.count(counter), len(world.poses)
    send()
    world.wait_count(counter, before + 1)
    assert len(world.poses) == poses
    world.good_frame_gets_a_pose(transport)
    assert world.count(counter) == before + 1


class ManualClock:
    """The simulated time of a world whose node has `use_sim_time`."""

    def __init__(self, world):
        self.world, self.publisher = world, world.publisher(Clock, "/clock")

    def set(self, seconds):
        """Return when the node has this time."""
        world = self.world
        world.clock_ns = round(seconds * SECOND_NS)
        self.publisher.publish(Clock(clock=header_of(world.clock_ns, "").stamp))
        world.wait(lambda: world.node.get_clock().now().nanoseconds == world.clock_ns, "the clock")
