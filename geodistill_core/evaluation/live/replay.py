# SPDX-License-Identifier: Apache-2.0
"""Live replay: the drive through the real ROS 2 node in processes of their own, scored as the offline one is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from geodistill_core.bags.reader import DriveFrame, DriveReader, read_drive
from geodistill_core.errors import GeodistillError
from geodistill_core.evaluation.live.answers import read_answers
from geodistill_core.evaluation.live.node_options import node_options, node_output
from geodistill_core.evaluation.outcome import INCOMPLETE, RESULTS, Outcome, RunInfo
from geodistill_core.evaluation.replay import ReplayPlan, locate_frame, map_beside, run_info
from geodistill_core.evaluation.result_bag import datum_of
from geodistill_core.evaluation.ros import require_ros
from geodistill_core.localization import Localizer
from geodistill_core.types import GeoPoint

MODULE = "geodistill_ros.live_replay"
UNACCOUNTED = "unaccounted"
BUSY_SHARE = 0.4
SLOWEST = 0.5
INTERRUPTED = 130
_PROBED = 6
_STOP_S = 20.0


class LiveReplayError(GeodistillError):
    """The live replay failed; it has said why on standard error, and its exit code is handed on."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the live replay ended with exit code {exit_code}, for the reason above")
        self.exit_code = exit_code if 0 < exit_code < 128 else 4


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What to play against what, and at which speed.

    `threads` of the node's network, 0 leaves them to torch; `datum` of its map frame, by default the first fix.
    """

    drive: Path
    map: Path
    results: Path
    plan: ReplayPlan = ReplayPlan()  # noqa: RUF009 - frozen
    rate: float = 1.0
    threads: int = 0
    datum: GeoPoint | None = None

    def command(self, summary: Path) -> list[str]:
        """The command that plays the drive, and writes its account to `summary`; see `node_options`."""
        return [
            *(sys.executable, "-m", MODULE, str(self.drive), "--map", str(self.map), "--model", self.plan.model),
            *("-o", str(self.results), "--json", str(summary), "--rate", str(self.rate)),
            *("-p", f"output:={node_output(self.plan)}", "-p", f"threads:={self.threads}"),
            *("-p", f"runtime:={self.plan.runtime}"),
            *(
                []
                if self.plan.orientation_model is None
                else ["-p", f"orientation_model:={self.plan.orientation_model}"]
            ),
            *node_options(self.plan.reader, self.datum),
        ]


def replay_live(drive: Path, folder: Path, plan: ReplayPlan, rate: float, threads: int = 0) -> dict[str, Any]:
    """Play one drive to the ROS 2 node and leave a run folder, as `replay_drive` does; returns the metrics.

    After Ctrl-C the folder holds what had been played, marked as incomplete; the KeyboardInterrupt is raised
    afterwards.

    Raises:
        ConfigError: ROS 2 is not installed, or the node cannot read a drive in the way that is planned.
        LiveReplayError: the replay could not be carried through.
    """
    require_ros(f"geodistill replay {drive}")
    reader = read_drive(drive, plan.reader)
    reader.check_truth()
    map_path = plan.map_path or map_beside(reader)
    localizer = plan.localizer(map_path)
    info = run_info(reader, localizer, map_path, f"live, at {rate:g} times its speed", track=plan.track)
    results = folder / RESULTS
    account = play_live(LiveOptions(drive, map_path, results, plan, rate, threads, datum_of(reader)))
    outcome = live_outcome(reader, info, results, account)
    summary = outcome.save(folder, localizer.source)
    if INCOMPLETE in summary:
        raise KeyboardInterrupt
    return summary


def suitable_rate(reader: DriveReader, localizer: Localizer) -> float:
    """The speed, at most 1, at which this machine answers every image with time to spare.

    Measured on the first frames, the first of which warms up. The node shares the machine with player and
    recorder, so it may be busy for only a part of the time between two images.
    """
    frames = [f for f in islice(reader.frames(), _PROBED + 1) if f.image and f.frame_prior]
    period_s = (reader.source.end_ns - reader.source.start_ns) * 1e-9 / max(reader.image_count, 1)
    spent_s = []
    for frame in frames:
        before_s = time.perf_counter()
        locate_frame(frame, localizer)
        spent_s.append(time.perf_counter() - before_s)
    if len(spent_s) < 2:
        return 1.0
    rate = BUSY_SHARE * period_s / max(median(spent_s[1:]), 1e-6)
    return round(min(1.0, max(SLOWEST, rate)), 2)


def play_live(options: LiveOptions) -> dict[str, Any]:
    """Run the live replay, its progress on our standard error; returns its summary.

    After Ctrl-C it is the summary of what had been played, with `interrupted`.

    Raises:
        LiveReplayError: it could not be carried through. Dropped images are no failure.
        KeyboardInterrupt: it was interrupted before anything had been played.
    """
    summary = options.results.with_suffix(".json")
    summary.unlink(missing_ok=True)
    code = _run(options.command(summary))
    if code not in (0, 3, INTERRUPTED) or not summary.exists():
        raise KeyboardInterrupt if code == INTERRUPTED else LiveReplayError(code)
    account = dict(json.loads(summary.read_text(encoding="utf-8")))
    summary.unlink()
    return account


def _run(command: list[str]) -> int:
    """Run to the end; an interrupt is handed on once, so that the replay stops its node in order."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return INTERRUPTED


def live_outcome(reader: DriveReader, info: RunInfo, results: Path, summary: Mapping[str, Any]) -> Outcome:
    """Score the node's answers against the drive's truth, image by image; after an interrupt the played ones.

    The node counts drops by reason and not by image: an image without answer gets the reason that reading the
    drive gives for it where the node counted that one, else any reason still left in the node's account.
    """
    outcome, answers = Outcome(info, reader), read_answers(results)
    poses = dict(answers.poses)
    latency_ms = {entry["stamp_ns"]: entry["latency_ms"] for entry in summary["frames"]}
    played = Counter(entry["stamp_ns"] for entry in summary["frames"])
    interrupted = bool(summary.get("interrupted"))
    left = Counter({str(reason): int(count) for reason, count in summary["dropped"].items()})
    for frame in reader.frames():
        if interrupted and not played[frame.stamp_ns]:
            continue
        played[frame.stamp_ns] -= 1
        # an image whose stamp repeats another's was answered once
        answer = poses.pop(frame.stamp_ns, None)
        if answer is None:
            outcome.add(frame, _reason(frame, left))
        else:
            latency = latency_ms.get(frame.stamp_ns)
            outcome.add(frame, answer, latency_ms=latency, overlay=answers.overlay_at(frame.stamp_ns))
    outcome.note_recording(reader)
    if interrupted:
        outcome.stopped("interrupted", reader.image_count)
    if outcome.results:
        first, last = outcome.results[0].stamp_ns, outcome.results[-1].stamp_ns
        outcome.elapsed_s = (last - first) / 1e9 / float(summary["rate"]) or None
    return outcome


def _reason(frame: DriveFrame, left: Counter[str]) -> str:
    likely = frame.dropped if frame.dropped and left[frame.dropped] > 0 else None
    reason = likely or next((name for name in sorted(left) if left[name] > 0), UNACCOUNTED)
    left[reason] -= 1
    return reason
