# SPDX-License-Identifier: Apache-2.0
"""A run of a drive: its results frame by frame, how it is named, and what it leaves on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from geodistill_core.bags.drive_topics import SAMPLE_TOPIC
from geodistill_core.bags.reader import DriveFrame, DriveReader
from geodistill_core.errors import BagError
from geodistill_core.evaluation.files import versions, write_json, write_tum
from geodistill_core.evaluation.frame_table import write_frames
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, offset_m, summarize
from geodistill_core.evaluation.report import FrameGallery, Report, render_report
from geodistill_core.evaluation.run_info import RunInfo
from geodistill_core.localization import Localizer
from geodistill_core.maps import MapSource
from geodistill_core.tracking.pose import TrackedPose
from geodistill_core.types import Array, Estimate

__all__ = ["INCOMPLETE", "METRICS", "RESULTS", "Outcome", "RunInfo"]

METRICS, RESULTS = "metrics.json", "results.mcap"
INCOMPLETE = "incomplete"
_MAX_STEP_S = 2.0


def sample_names(reader: DriveReader) -> dict[int, str]:
    """Which samples of a data set a drive's images are, by stamp; none for a drive that was driven."""
    names: dict[int, str] = {}
    for raw in reader.source.messages([SAMPLE_TOPIC]) if SAMPLE_TOPIC in reader.source.topics else ():
        try:
            names[raw.log_ns] = str(reader.source.decode(raw).data)
        except BagError:
            if reader.source.salvage is None:
                raise
    return names


class Outcome:
    """Collects a run's results in frame order; `elapsed_s` stays None where nobody looked at the clock.

    `account` holds further entries of metrics.json: `incomplete` says why the run ended early, `salvaged` what was
    lost of a damaged recording, `remarks` what is odd about it. `recording` is what run.json says of the recording.
    Made for a drive, it names the data set's samples that the images are.
    """

    def __init__(self, info: RunInfo, reader: DriveReader | None = None) -> None:
        self.info, self.keys = info, {} if reader is None else sample_names(reader)
        self.results: list[FrameResult] = []
        self.gallery = FrameGallery(expected=0 if reader is None else reader.image_count)
        self.elapsed_s: float | None = None
        self.account: dict[str, Any] = {}
        self.recording: dict[str, Any] = {}
        self.versions = versions()

    def add(
        self,
        frame: DriveFrame,
        found: Estimate | PoseAnswer | str,
        *,
        latency_ms: float | None = None,
        overlay: Callable[[], Array] | None = None,
        tracked: TrackedPose | None = None,
    ) -> None:
        """Take the answer to a recorded frame, or the reason why there is none.

        Where the answer's pose is a tracked one, `tracked` gives its status, which is the track's state, and its
        protection level.

        The GNSS position that it is compared with is the prior's: the newest fix, carried on to the image's
        stamp with odometry, so that GNSS is not blamed for the way driven since.
        """
        prior = frame.frame_prior.prior if frame.frame_prior else None
        answer = None if isinstance(found, str) else self._answer(found, tracked)
        result = FrameResult(
            frame.stamp_ns,
            frame.truth,
            answer,
            (prior.latitude, prior.longitude) if prior else None,
            latency_ms,
            found if isinstance(found, str) else None,
            key=self.keys.get(frame.stamp_ns, ""),
            speed_mps=self._speed(frame),
        )
        if isinstance(found, Estimate):
            result = result.with_heatmap(found)
        self.results.append(result)
        estimate = found if isinstance(found, Estimate) else None
        self.gallery.add(result, frame.image.rgb if frame.image else None, overlay, estimate)

    def _answer(self, found: Estimate | PoseAnswer, tracked: TrackedPose | None) -> PoseAnswer:
        if isinstance(found, Estimate):
            answer = PoseAnswer.of(found, self.info.calibration)
            return (
                answer if tracked is None else replace(answer, status=str(tracked.state), protection=tracked.protection)
            )
        return found if found.protection else found.protected(self.info.calibration)

    def _speed(self, frame: DriveFrame) -> float | None:
        """The odometry's, else the truth's since the last frame; None where neither is known."""
        if frame.frame_prior is not None and frame.frame_prior.speed_mps is not None:
            return frame.frame_prior.speed_mps
        last = self.results[-1] if self.results else None
        if last is None or last.truth is None or frame.truth is None:
            return None
        east_m, north_m = offset_m(frame.truth.latitude, frame.truth.longitude, last.truth)
        step_s = (frame.stamp_ns - last.stamp_ns) * 1e-9
        return (east_m**2 + north_m**2) ** 0.5 / step_s if 0.0 < step_s <= _MAX_STEP_S else None

    def stopped(self, why: str, frames: int) -> None:
        """Mark the run as incomplete: `why` it ended before it had seen all of the drive's `frames` images."""
        self.account[INCOMPLETE] = f"{why}, after {len(self.results)} of {frames} frames"

    def note_recording(self, reader: DriveReader) -> None:
        """Keep what the reader says of the recording, once it has been read."""
        self.recording = reader.account() | {"refused_readings": reader.dropped_readings}
        self.account |= {name: self.recording[name] for name in ("remarks", "salvaged") if self.recording.get(name)}

    def note_runtime(self, localizer: Localizer) -> None:
        """Keep what ran the network where that was not plain torch, and why no other back end did."""
        if localizer.runtime is not None and not localizer.runtime.options.plain:
            self.versions |= localizer.runtime.facts()

    def summary(self) -> dict[str, Any]:
        """The metrics.json dictionary."""
        return (
            summarize(
                self.results,
                model=self.info.model,
                map_name=self.info.map_name,
                seed=self.info.seed,
                versions=self.versions,
                elapsed_s=self.elapsed_s,
            )
            | self.account
        )

    def save(self, folder: Path, source: MapSource) -> dict[str, Any]:
        """Write everything about the run to `folder`, metrics.json last and at once; returns the metrics.

        Beside it: run.json, frames.csv, report.html, and the trajectories estimate.tum and truth.tum.
        """
        summary = self.summary()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / METRICS).unlink(missing_ok=True)
        write_json(folder / "run.json", self.info.to_json() | {"recording": self.recording})
        write_frames(folder / "frames.csv", self.results)
        write_tum(folder, self.results)
        (folder / "report.html").write_text(render_report(self._report(summary, source)), encoding="utf-8")
        write_json(folder / f".{METRICS}.partial", summary)
        (folder / f".{METRICS}.partial").replace(folder / METRICS)
        return summary

    def _report(self, summary: dict[str, Any], source: MapSource) -> Report:
        incomplete = self.account.get(INCOMPLETE)
        title = f"{self.info.title} (incomplete: {incomplete})" if incomplete else self.info.title
        facts = {"fingerprint": self.info.fingerprint} | {
            f"SHA-256 of the {name}": digest for name, digest in self.info.hashes.items()
        }
        refused = {f"refused: {name}": count for name, count in self.recording.get("refused_readings", {}).items()}
        if self.recording.get("remarks"):
            refused["remarks"] = "; ".join(self.recording["remarks"])
        return Report(
            title,
            summary,
            self.results,
            {**self.info.configuration, **facts, **refused},
            self.gallery.sample(),
            self.gallery.worst(),
            source,
        )
