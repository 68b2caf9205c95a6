# SPDX-License-Identifier: Apache-2.0
"""One live replay from start to summary: node process, lifecycle, player, recorder, account."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from geodistill_core.bags.reader import DriveReader, ReaderOptions, read_drive
from geodistill_core.bags.writer import BagWriter
from geodistill_core.evaluation.interrupt import interrupts_between_frames
from geodistill_ros.replay.control import NodeControl, NodeControlError, NodeStatus
from geodistill_ros.replay.inputs import node_parameters, node_remappings, played_topics
from geodistill_ros.replay.node_process import NODE_COMMAND, NodeProcess
from geodistill_ros.replay.player import Player
from geodistill_ros.replay.recorder import Recorder
from geodistill_ros.replay.summary import summarize
from geodistill_ros.transport import with_image_transport

_MATCH_S = 20.0
_QUIET_S = 2.0
_LAST_ANSWER_S = 60.0
_POLL_S = 0.05
_PROBES, _PROBE_S = 20, 1.0

Step = Callable[[int], None]


def own_domain() -> int:
    """A ROS domain for this process, below the range where ports may be taken by others."""
    return 20 + os.getpid() % 80


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to play against what. `parameters` are further parameters of the node, by name."""

    drive: Path
    map: Path
    results: Path
    model: str = "tiny"
    rate: float = 1.0
    reader: ReaderOptions = ReaderOptions()  # noqa: RUF009 - frozen
    parameters: Mapping[str, Any] = field(default_factory=dict)
    domain_id: int = field(default_factory=own_domain)
    command: Sequence[str] = NODE_COMMAND


def live_replay(options: ReplayOptions, step: Step = lambda count: None) -> dict[str, Any]:
    """Play a drive to the real node and account for every image; `step(1)` is called per image.

    Writes the node's answers to `options.results`, its log beside them. After Ctrl-C playing stops, and the account
    is that of the images that were played, with `interrupted`. Sets this process's ROS environment
    (loopback only, image transport), as DDS reads it when the first context is made.

    Raises:
        BagError: the drive cannot be read, or lacks a stream or the camera's mount.
        NodeControlError: the node refused to start, died or hangs; the message carries its own words.
    """
    reader = read_drive(options.drive, options.reader)
    parameters = node_parameters(reader, options.map, options.model, options.parameters)
    topics = played_topics(reader, parameters)
    os.environ.update(with_image_transport(os.environ))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    environment = {**os.environ, "ROS_DOMAIN_ID": str(options.domain_id)}
    log = options.results.with_suffix(".log")
    process = NodeProcess(parameters, node_remappings(reader, topics), environment, log, options.command)
    with BagWriter(options.results) as writer, process, ros_node(options.domain_id) as node:
        try:
            return _play(options, reader, Stage(process, node, writer, topics), step)
        except NodeControlError as error:
            raise NodeControlError(f"{error}\nthe node's log ends with:\n{process.last_words()}") from None


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a replay takes place."""

    process: NodeProcess
    node: Node
    writer: BagWriter
    topics: Mapping[Any, str]


def _play(options: ReplayOptions, reader: DriveReader, stage: Stage, step: Step) -> dict[str, Any]:
    control = NodeControl(stage.node, alive=stage.process.alive)
    recorder = Recorder(stage.node, stage.writer)
    player = Player(stage.node, reader.source, stage.topics, options.rate)
    try:
        began_s = time.monotonic()
        control.configure()
        configured_s = time.monotonic() - began_s
        control.activate()
        wait_for_inputs(control, player.matched, len(stage.topics))
        before = prove_transport(control, player.prime)
        interrupted = _played(player, lambda: _on_image(stage.process, step))
        status = _last_answer(control, len(player.published) + before.count("images.received"))
        recorder.wait_for_poses(status.count("images.answered"), _QUIET_S)
        control.deactivate()
    finally:
        recorder.close()
    return {
        "drive": str(options.drive),
        "map": str(options.map),
        "model": options.model,
        "rate": options.rate,
        "results": str(options.results),
        "configure_s": configured_s,
        "interrupted": interrupted,
        "clock_offset_s": player.clock_offset_ns * 1e-9,
        "exit_code": stage.process.stop(),
        **summarize(player.published, recorder.received_s, status.since(before), player.lateness_ms),
    }


def _played(player: Player, on_image: Callable[[], None]) -> bool:
    """Play the drive; true where Ctrl-C ended that early."""
    with interrupts_between_frames() as check:
        try:
            player.play(on_image, check)
        except KeyboardInterrupt:
            return True
    return False


def _on_image(process: NodeProcess, step: Step) -> None:
    if not process.alive():
        raise NodeControlError(f"the node ended with exit code {process.process.returncode}")
    step(1)


def wait_for_inputs(control: NodeControl, sender_matched: Callable[[], bool], count: int) -> None:
    """Until `count` inputs of the node and their publishers have found each other; before, messages are lost."""
    deadline_s = time.monotonic() + _MATCH_S
    while True:
        matched = [
            name for name, value in control.status().values.items()
            if name.startswith("publishers.") and int(value) > 0
        ]  # fmt: skip
        if len(matched) >= count and sender_matched():
            return
        if time.monotonic() > deadline_s:
            raise NodeControlError(f"only {matched} of {count} inputs of the node were matched")
        threading.Event().wait(_POLL_S)


def prove_transport(control: NodeControl, probe: Callable[[], None]) -> NodeStatus:
    """Send probes until one arrives and no other is under way; the status afterwards.

    Even after the match a best-effort reader may lose its first messages.
    """
    for sent in range(1, _PROBES + 1):
        probe()
        status = _after_probes(control, sent)
        if status.count("images.received"):
            return status
    raise NodeControlError(f"none of {_PROBES} images arrived; with large ones the DDS profile may be missing")


def _after_probes(control: NodeControl, sent: int) -> NodeStatus:
    """The status once all probes have arrived, or when the time for that is over."""
    deadline_s = time.monotonic() + _PROBE_S
    while True:
        status = control.status()
        if status.count("images.received") >= sent or time.monotonic() > deadline_s:
            return status


def _last_answer(control: NodeControl, published: int) -> NodeStatus:
    """The status once nothing is pending and every image has arrived, or nothing moves any more."""
    progress, moved_s = (-1, -1), time.monotonic()
    while True:
        status = control.status()
        received, pending = status.count("images.received"), status.count("images.pending")
        if (received, pending) != progress:
            progress, moved_s = (received, pending), time.monotonic()
        if pending == 0 and received >= published:
            return status
        if time.monotonic() - moved_s > (_QUIET_S if pending == 0 else _LAST_ANSWER_S):
            return status
        threading.Event().wait(_POLL_S)


@contextmanager
def ros_node(domain_id: int, name: str = "geodistill_replay") -> Iterator[Node]:
    """A node that a thread of its own spins."""
    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain_id)
    node = rclpy.create_node(name, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=_spin, args=(executor,), name=name, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown(timeout_sec=_QUIET_S)
        thread.join(_QUIET_S)
        node.destroy_node()
        context.try_shutdown()


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        return
