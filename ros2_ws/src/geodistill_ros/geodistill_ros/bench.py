# SPDX-License-Identifier: Apache-2.0
"""`geodistill bench node --map MAP`: latency image to pose, a flood, and what the node adds to the network's time."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, NavSatFix, NavSatStatus

from geodistill_core.cli.output import JsonOption, emit, number, table
from geodistill_core.errors import GeodistillError
from geodistill_core.evaluation.bench.pictures import natural
from geodistill_core.maps import open_map
from geodistill_core.types import GeoPoint
from geodistill_ros.messages import header_of
from geodistill_ros.replay.control import NodeControl, NodeControlError
from geodistill_ros.replay.node_process import NODE_COMMAND, NodeProcess
from geodistill_ros.replay.session import own_domain, prove_transport, ros_node, wait_for_inputs
from geodistill_ros.replay.summary import quantiles
from geodistill_ros.transport import with_image_transport

WIDTH, HEIGHT = 1024, 512
LARGE_WIDTH, LARGE_HEIGHT = 2048, 1024
OVERHEAD_LIMIT_MS = 8.0
HEADING_SIGMA_DEG = 2.7
INSTANT_COMMAND = (sys.executable, "-m", "geodistill_ros.instant")
FLOOD_HZ = 30.0
_ANSWER_S = 30.0
_FIX_EVERY_S = 0.5
_WINDOWS = 5


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is measured: `frames` one after another, then `flood_s` seconds at 30 Hz; then `frames` one after another
    with a network that takes no time. `runtime` runs the network."""

    map: Path
    model: str = "tiny"
    runtime: str = "torch"
    frames: int = 30
    flood_s: float = 20.0
    domain_id: int = field(default_factory=own_domain)
    command: Sequence[str] = NODE_COMMAND
    instant_command: Sequence[str] = INSTANT_COMMAND


class Load:
    """A camera, a GNSS receiver and a listener in one node."""

    def __init__(self, node: Node, place: GeoPoint, picture: bytes) -> None:
        self._place = place
        self._images = node.create_publisher(CompressedImage, "image/compressed", 5)
        self._fixes = node.create_publisher(NavSatFix, "fix", 5)
        self._arrived = threading.Condition()
        self._picture = picture
        self.sent_s: dict[int, float] = {}
        self.latency_ms: dict[int, float] = {}
        node.create_subscription(PoseWithCovarianceStamped, "geodistill/pose", self._on_pose, 100)

    def matched(self) -> bool:
        """Whether the node listens."""
        return bool(self._images.get_subscription_count() and self._fixes.get_subscription_count())

    def fix(self) -> None:
        """Publish a fix of 5 m sigma at the place."""
        message = NavSatFix(header=header_of(time.time_ns(), "gnss"))
        message.latitude, message.longitude = self._place.latitude, self._place.longitude
        message.status.status = NavSatStatus.STATUS_FIX
        message.position_covariance = [25.0, 0.0, 0.0, 0.0, 25.0, 0.0, 0.0, 0.0, 25.0]
        message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_KNOWN
        self._fixes.publish(message)

    def probe(self) -> None:
        """Publish a fix, and a panorama with stamp zero, which the node counts and refuses."""
        self.fix()
        self.image(0)

    def image(self, stamp_ns: int) -> int:
        """Publish a panorama; returns its stamp."""
        message = CompressedImage(header=header_of(stamp_ns, "camera"), format="jpeg", data=self._picture)
        self.sent_s[stamp_ns] = time.monotonic()
        self._images.publish(message)
        return stamp_ns

    def wait_for(self, stamp_ns: int) -> bool:
        """Whether the pose of an image arrives in time."""
        with self._arrived:
            return self._arrived.wait_for(lambda: stamp_ns in self.latency_ms, _ANSWER_S)

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        now_s = time.monotonic()
        stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        with self._arrived:
            self.latency_ms[stamp_ns] = (now_s - self.sent_s[stamp_ns]) * 1e3
            self._arrived.notify_all()


def bench(options: BenchOptions) -> dict[str, Any]:
    """Start the node, measure, stop it. Sets this process's ROS environment as `live_replay` does.

    Raises:
        GeodistillError: the map or the model cannot be used, or the node does not answer.
    """
    with open_map(options.map) as source:
        place = source.bounds().center
    os.environ.update(with_image_transport(os.environ))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    with _running(options, options.command, place, _panorama(WIDTH, HEIGHT)) as (process, control, load):
        one_by_one = _one_by_one(load, options.frames, control)
        flood = _flood(load, options.flood_s, lambda: _rss_mb(process.process.pid))
        status = control.status()
        exit_code = process.stop()
    large = _panorama(LARGE_WIDTH, LARGE_HEIGHT)
    with _running(options, options.instant_command, place, large) as (process, control, load):
        overhead = _overhead(load, options.frames, control, process.process.pid)
    return {
        "image": f"{WIDTH} x {HEIGHT} JPEG panorama",
        "model": options.model,
        "cpus": os.cpu_count(),
        "latency_ms": one_by_one,
        "overhead_ms": overhead,
        "overhead_image": f"{LARGE_WIDTH} x {LARGE_HEIGHT} JPEG panorama",
        "limits": {"overhead_ms": OVERHEAD_LIMIT_MS},
        "flood": flood,
        "counters": status.values,
        "exit_code": exit_code,
    }


@contextmanager
def _running(
    options: BenchOptions, command: Sequence[str], place: GeoPoint, picture: bytes
) -> Iterator[tuple[NodeProcess, NodeControl, Load]]:
    """An active node with its load."""
    environment = {**os.environ, "ROS_DOMAIN_ID": str(options.domain_id)}
    parameters: dict[str, Any] = {"map": str(options.map), "model": options.model, "heading_source": "parameter"}
    # A picture of nothing gives no track, and each image must be answered: by itself, with a track's certainty.
    parameters |= {"runtime": options.runtime, "output": "per_frame", "heading_sigma_deg": HEADING_SIGMA_DEG}
    with tempfile.TemporaryDirectory() as folder:
        process = NodeProcess(parameters, {}, environment, Path(folder) / "node.log", command)
        with process, ros_node(options.domain_id, "geodistill_bench") as node:
            control = NodeControl(node, alive=process.alive)
            load = Load(node, place, picture)
            control.configure()
            control.activate()
            wait_for_inputs(control, load.matched, 2)
            prove_transport(control, load.probe)
            yield process, control, load


def _one_by_one(load: Load, frames: int, control: NodeControl) -> dict[str, Any]:
    """The next image is sent when the last one is answered; the first (map tile) is reported apart."""
    latencies = []
    for _ in range(frames + 1):
        load.fix()
        stamp_ns = load.image(time.time_ns())
        if not load.wait_for(stamp_ns):
            raise NodeControlError(f"no pose within {_ANSWER_S:.0f} s; the node says: {control.status().message}")
        latencies.append(load.latency_ms[stamp_ns])
    return {"first": latencies[0], **quantiles(latencies[1:])}


def _overhead(load: Load, frames: int, control: NodeControl, pid: int) -> dict[str, float]:
    """From an image's arrival to its pose without the network, as the node times itself; and the processor time that
    the whole node spends on an image."""
    _one_by_one(load, 1, control)
    before_s = _cpu_s(pid)
    _one_by_one(load, frames, control)
    cpu_ms = (_cpu_s(pid) - before_s) / (frames + 1) * 1e3
    values = control.status().values
    return {"median": float(values["latency_ms.median"]), "p90": float(values["latency_ms.p90"]), "cpu": cpu_ms}


def _flood(load: Load, seconds: float, rss_mb: Callable[[], float]) -> dict[str, Any]:
    """30 images a second whatever the node manages: the newest must win and memory must stay."""
    before = set(load.latency_ms)
    sent: list[int] = []
    memory: list[tuple[float, float]] = []
    began_s, next_fix_s, pause = time.monotonic(), 0.0, threading.Event()
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        if elapsed_s >= next_fix_s:
            load.fix()
            memory.append((elapsed_s, rss_mb()))
            next_fix_s += _FIX_EVERY_S
        sent.append(load.image(time.time_ns()))
        pause.wait(max(0.0, len(sent) / FLOOD_HZ - (time.monotonic() - began_s)))
    load.wait_for(sent[-1])
    answered = [stamp for stamp in sent if stamp in load.latency_ms and stamp not in before]
    return {
        "seconds": seconds,
        "sent": len(sent),
        "answered": len(answered),
        "answered_hz": len(answered) / seconds,
        "newest_answered": sent[-1] in load.latency_ms,
        "age_ms": quantiles([load.latency_ms[stamp] for stamp in answered]),
        "rss_mb": {"first": memory[0][1], "last": memory[-1][1], "slope_per_min": rss_slope(memory)},
    }


def rss_slope(memory: Sequence[tuple[float, float]]) -> float:
    """MB per minute over the second half of (seconds, MB) samples.

    One inference takes and gives back up to 90 MB, so only the smallest size within each of a few windows counts.
    """
    settled = np.array(memory[len(memory) // 2 :])
    lowest = np.array([window[window[:, 1].argmin()] for window in np.array_split(settled, _WINDOWS)])
    return float(np.polyfit(lowest[:, 0], lowest[:, 1], 1)[0]) * 60.0


def _panorama(width: int, height: int) -> bytes:
    """A panorama with the spectrum of a photograph, as JPEG."""
    picture = natural(np.random.default_rng(5), height, width)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command(
    *,
    map_path: Annotated[Path, typer.Option("--map", help="Imagery with something at its centre.")],
    model: Annotated[str, typer.Option(help="Name of a shipped checkpoint, or a checkpoint folder.")] = "tiny",
    runtime: Annotated[str, typer.Option(help="What runs the network: a back end's name, or auto.")] = "torch",
    frames: Annotated[int, typer.Option(min=1, help="Images sent one after another.")] = 30,
    flood_s: Annotated[float, typer.Option(min=6.0, help="Seconds of 30 images each.")] = 20.0,
    json_path: JsonOption = None,
) -> None:
    """Measure the node: latency from image to pose, a flood at 30 Hz, and what it adds to the network."""
    result = bench(BenchOptions(map_path, model, runtime, frames, flood_s))
    emit(result, json_path, lambda out: out.print(_table(result)))


def _table(result: dict[str, Any]) -> Any:
    shown = table(f"{result['image']}, model {result['model']}, {result['cpus']} CPUs", "", "p50", "p90", "max")
    for name, row in (("image to pose", result["latency_ms"]), ("in the flood", result["flood"]["age_ms"])):
        shown.add_row(name, *(number(row[key], 1, " ms") for key in ("p50", "p90", "max")))
    flood, overhead = result["flood"], result["overhead_ms"]
    limit = f"at most {result['limits']['overhead_ms']:g} ms"
    shown.add_row(
        f"{LARGE_WIDTH} x {LARGE_HEIGHT}, without the network",
        *(number(overhead[key], 1, " ms") for key in ("median", "p90")),
        limit,
    )
    shown.add_row("processor time of that", number(overhead["cpu"], 1, " ms"), "", "")
    shown.add_row(
        f"{flood['sent']} sent, {flood['answered']} answered",
        number(flood["answered_hz"], 1, " Hz"),
        "",
        number(flood["rss_mb"]["slope_per_min"], 2, " MB/min"),
    )
    return shown


if __name__ == "__main__":
    try:
        typer.run(command)
    except GeodistillError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
