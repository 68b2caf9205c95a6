# SPDX-License-Identifier: Apache-2.0
"""A vehicle that drives on a simulated clock past a node with the tracked output, and heat maps that know the truth."""

import math

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_world import LATITUDE, LONGITUDE, YAW_DEG, World, compressed_image, header_of, noise
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.estimate import EstimateConfig, estimate
from geodistill_core.types import GeoPoint, HeatMap, MapTile

SECOND_NS = 1_000_000_000
STEP_S = 0.5
SPEED_MPS = 5.0
START_S = 1000
YAW_RAD = math.radians(YAW_DEG)
ORIGIN = LocalFrame(GeoPoint(LATITUDE, LONGITUDE))
CELLS, CELL_M = 96, 0.5


class Street:
    """Heat maps (without a prior) that peak where the vehicle is; `before` runs first and may raise or wait."""

    def __init__(self):
        self.seen = []
        self.before = lambda image, prior: None

    def locate(self, image, prior):
        self.seen.append((image, prior))
        self.before(image, prior)
        center = GeoPoint(prior.latitude, prior.longitude)
        east, north = LocalFrame(center).to_enu(*place_at(image.stamp_ns))
        yaw = prior.yaw_enu_rad + np.radians(np.arange(-12.0, 13.0, 3.0))
        axis = (np.arange(CELLS) + 0.5 - CELLS / 2) * CELL_M
        across = np.exp(-0.5 * ((axis - east) / 0.5) ** 2)
        down = np.exp(-0.5 * ((-axis - north) / 0.5) ** 2)
        turned = np.exp(-0.5 * ((yaw - YAW_RAD) / 0.05) ** 2)
        p = turned[:, None, None] * down[None, :, None] * across[None, None, :] + 1e-9
        heatmap = HeatMap((p / p.sum()).astype(np.float32), center, CELL_M, yaw)
        tile = MapTile(np.full((96, 96, 3), 90, np.uint8), np.ones((96, 96), bool), center, 0.5, "fake", "nobody")
        return estimate(heatmap, tile, image.stamp_ns, EstimateConfig())


def offset_at(stamp_ns):
    """Metres east and north of ORIGIN where the vehicle is."""
    driven_m = SPEED_MPS * (stamp_ns * 1e-9 - START_S)
    return driven_m * math.cos(YAW_RAD), driven_m * math.sin(YAW_RAD)


def place_at(stamp_ns):
    return ORIGIN.to_geodetic(*offset_at(stamp_ns))


class DrivenWorld(World):
    """The node under simulated time, and what it says of its track."""

    def __init__(self, **parameters):
        defaults = {"output": "tracked", "use_sim_time": True, "max_image_future_s": 0.5}
        defaults |= {"datum_latitude": LATITUDE, "datum_longitude": LONGITUDE}
        super().__init__(**(defaults | parameters))
        self.localizer = Street()
        self.states, self.odometry = [], []
        self.with_fix = self.with_image = self.with_odometry = True

    def __enter__(self):
        super().__enter__()
        changes = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.collect(String, "geodistill/state", self.states, changes)
        self.collect(Odometry, "geodistill/odometry", self.odometry, 100)
        return self

    def begin(self, at_s=START_S):
        """Active, its inputs matched, the clock running."""
        self.start()
        self.tick(at_s)
        self.send_fix()
        self.wait_count("gnss.accepted")

    def tick(self, seconds):
        """Set the simulated clock."""
        self.clock_ns = round(seconds * SECOND_NS)
        self.place = place_at(self.clock_ns)
        clock = self.publisher(Clock, "/clock")

        def send():
            clock.publish(Clock(clock=header_of(self.clock_ns, "").stamp))

        self.insist(send, lambda: self.node.get_clock().now().nanoseconds == self.clock_ns, "clock")

    def step(self, seconds=STEP_S):
        """Drive on, and hear what each sensor says there; returns the image's stamp."""
        for part in (0.5, 1.0):
            if self.with_odometry:
                self.send_odometry(stamp_ns=round(self.clock_ns + part * seconds * SECOND_NS))
        self.tick((self.clock_ns + seconds * SECOND_NS) / SECOND_NS)
        if self.with_fix:
            self.send_fix()
        if self.with_image:
            before = self.handled()
            self.insist(
                lambda: self.send(compressed_image(self.clock_ns, noise(self.clock_ns % 2**31))),
                lambda: self.handled() > before,
                "handled image",
            )
        return self.clock_ns

    def handled(self):
        counts = self.counters()
        return sum(count for name, count in counts.items() if name.startswith("dropped.") or name == "images.answered")

    def drive_until(self, condition, what, steps=80):
        """Drive on until something holds."""
        for _ in range(steps):
            if condition():
                return
            self.step()
        raise AssertionError(f"{what} did not come in {steps} steps; states {self.said()}, {self.values()}")

    def send_odometry(self, yaw_rad=YAW_RAD, stamp_ns=None, **fields):
        stamp_ns = stamp_ns or self.clock_ns
        message = Odometry(header=header_of(stamp_ns, "odom"), child_frame_id="base_link")
        # The odometry's frame began where the vehicle stood at START_S, its x axis ahead.
        message.pose.pose.position.x = SPEED_MPS * (stamp_ns * 1e-9 - START_S)
        message.twist.twist.linear.x = SPEED_MPS
        message.twist.covariance[0], message.twist.covariance[35] = 0.04, 0.0001
        for name, value in fields.items():
            setattr(message, name, value)
        self.publisher(Odometry, "odometry").publish(message)

    def said(self):
        return [message.data for message in self.states]

    def state_is(self, *names):
        return lambda: bool(self.states) and self.states[-1].data in names

    def acquire(self):
        """Drive until the track is there."""
        self.begin()
        self.drive_until(self.state_is("tracking"), "state tracking")
