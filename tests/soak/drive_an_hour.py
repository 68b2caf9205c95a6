# SPDX-License-Identifier: Apache-2.0
"""`make soak`: an hour of driving at 10 Hz through the real node in a process of its own, on a simulated clock.

The clock goes on as soon as the node has answered, so the hour takes as long as 36 000 inferences. Fails where resident
memory grows by 1 MB or more for each minute driven, where threads come, or where answers come later and later.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from geodistill_ros.bench import rss_slope
from geodistill_ros.messages import header_of
from geodistill_ros.replay.control import NodeControl
from geodistill_ros.replay.node_process import NodeProcess
from geodistill_ros.replay.session import own_domain, ros_node, wait_for_inputs
from geodistill_ros.transport import with_image_transport
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Imu, NavSatFix
from shuttle import RATE_HZ, Moment, Shuttle

from geodistill_core.bags.synth import write_drive_map
from geodistill_core.geometry.geodesy import LocalFrame

SLOPE_LIMIT_MB, LAG_LIMIT, ANSWER_S = 1.0, 1.5, 2.0
SAMPLE_EVERY = 100


class Bench:
    """The vehicle's sensors, the clock, and the listener to poses."""

    def __init__(self, node: Node) -> None:
        kinds = (("/clock", Clock), ("image/compressed", CompressedImage), ("imu", Imu), ("odometry", Odometry))
        self._out = {name: node.create_publisher(kind, name, 5) for name, kind in (*kinds, ("fix", NavSatFix))}
        self._arrived = threading.Condition()
        self._poses: dict[int, PoseWithCovarianceStamped] = {}
        node.create_subscription(PoseWithCovarianceStamped, "geodistill/pose", self._on_pose, 10)

    def matched(self) -> bool:
        """Whether the node hears every sensor."""
        return all(publisher.get_subscription_count() for publisher in self._out.values())

    def send(self, moment: Moment) -> tuple[float, PoseWithCovarianceStamped | None]:
        """Play one moment; milliseconds from image to pose, and the pose (None where none came)."""
        self._out["/clock"].publish(Clock(clock=header_of(moment.stamp_ns + 1_000_000, "").stamp))
        self._out["imu"].publish(moment.imu)
        self._out["odometry"].publish(moment.odometry)
        if moment.fix is not None:
            self._out["fix"].publish(moment.fix)
        started_s = time.monotonic()
        self._out["image/compressed"].publish(moment.image)
        with self._arrived:
            self._arrived.wait_for(lambda: moment.stamp_ns in self._poses, ANSWER_S)
            return 1e3 * (time.monotonic() - started_s), self._poses.pop(moment.stamp_ns, None)

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        with self._arrived:
            self._poses[message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec] = message
            self._arrived.notify_all()


def soak(minutes: float, say: Callable[[str], None]) -> dict[str, object]:
    """Drive, sample, judge."""
    shuttle = Shuttle()
    say(f"rendered {len(shuttle.drive.frame_seconds)} pictures")
    domain = own_domain()
    os.environ.update(with_image_transport(os.environ) | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"})
    with tempfile.TemporaryDirectory() as folder:
        area = Path(folder) / "area.mbtiles"
        write_drive_map(shuttle.drive, area)
        datum = shuttle.drive.city.datum
        parameters = {
            "map": str(area), "use_sim_time": True, "runtime": "torch", "mount_z_m": shuttle.drive.camera_height_m,
            "datum_latitude": datum.latitude, "datum_longitude": datum.longitude, "threads": 2,
        }  # fmt: skip
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
        process = NodeProcess(parameters, {}, environment, Path(folder) / "node.log")
        with process, ros_node(domain, "geodistill_soak") as node:
            control = NodeControl(node, alive=process.alive)
            bench = Bench(node)
            control.configure()
            control.activate()
            wait_for_inputs(control, bench.matched, 4)
            result = _drive(shuttle, bench, process.process.pid, minutes, say)
            counters = control.status().values
            result["exit_code"] = process.stop()
    keep = ("images.", "dropped.", "track.", "callback_errors.")
    return result | {"counters": {name: value for name, value in counters.items() if name.startswith(keep)}}


def _drive(shuttle: Shuttle, bench: Bench, pid: int, minutes: float, say: Callable[[str], None]) -> dict[str, object]:
    plane = LocalFrame(shuttle.drive.city.datum)
    memory, threads, latency, errors, unanswered = [], [], [], [], 0
    began_s = time.monotonic()
    for step, moment in enumerate(shuttle.moments(60.0 * minutes)):
        took_ms, pose = bench.send(moment)
        if pose is None:
            unanswered += 1
        else:
            latency.append((step / RATE_HZ, took_ms))
            east, north = plane.to_enu(moment.latitude, moment.longitude)
            errors.append(np.hypot(pose.pose.pose.position.x - east, pose.pose.pose.position.y - north))
        if step % SAMPLE_EVERY == 0:
            resident, running = _resources(pid)
            memory.append((step / RATE_HZ, resident))
            threads.append(running)
        if step % 3000 == 2999:
            say(f"{step / RATE_HZ / 60:.0f} min driven in {time.monotonic() - began_s:.0f} s, {memory[-1][1]:.0f} MB")
    settled = threads[len(threads) // 6 :]
    sixths = [float(np.median(part)) for part in np.array_split(np.array(latency)[:, 1], 6)]
    return {
        "minutes": minutes,
        "wall_s": time.monotonic() - began_s,
        "answered": len(latency),
        "unanswered": unanswered,
        "error_m": {"median": float(np.median(errors)), "p95": float(np.percentile(errors, 95))},
        "rss_mb": {"first": memory[0][1], "last": memory[-1][1], "slope_per_min": rss_slope(memory)},
        "threads": {"least": min(settled), "most": max(settled)},
        "latency_ms_by_sixth": sixths,
    }


def _resources(pid: int) -> tuple[float, int]:
    """Resident megabytes and threads of a process."""
    facts = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(facts["VmRSS"].split()[0]) / 1024, int(facts["Threads"])


def faults(result: dict[str, object]) -> list[str]:
    """What is wrong with a drive, a sentence each."""
    rss, threads, sixths = result["rss_mb"], result["threads"], result["latency_ms_by_sixth"]
    said = []
    if rss["slope_per_min"] >= SLOPE_LIMIT_MB:
        said.append(f"memory grows by {rss['slope_per_min']:.2f} MB a minute, limit {SLOPE_LIMIT_MB:g}")
    if threads["most"] != threads["least"]:
        said.append(f"threads vary from {threads['least']} to {threads['most']}")
    if sixths[-1] > LAG_LIMIT * sixths[1]:
        said.append(f"answers take {sixths[-1]:.0f} ms at the end, {sixths[1]:.0f} ms at the beginning")
    if result["unanswered"] > 0.01 * result["answered"]:
        said.append(f"{result['unanswered']} images had no answer")
    if result["exit_code"] != 0:
        said.append(f"the node ended with {result['exit_code']}")
    return said


def main() -> int:
    """0 where the node is as well after the hour as before."""
    parser = argparse.ArgumentParser(description="an hour of driving at 10 Hz through the node")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to drive, in the vehicle's time")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    result = soak(options.minutes, lambda text: print(text, flush=True))
    text = json.dumps(result, indent=1, sort_keys=True)
    print(text)
    if options.json is not None:
        options.json.write_text(text, encoding="utf-8")
    said = faults(result)
    print("\n".join(said) or "passed: memory, threads and lag stay")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
