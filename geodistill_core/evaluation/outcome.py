# SPDX-License-Identifier: Apache-2.0
"""A run of a drive: its results frame by frame, how it is named, and what it leaves on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodistill_core.bags.reader import DriveFrame
from geodistill_core.evaluation.files import versions, write_json, write_tum
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, summarize
from geodistill_core.evaluation.report import FrameGallery, Report, render_report
from geodistill_core.maps import MapSource
from geodistill_core.types import Array


@dataclass(frozen=True)
class RunInfo:
    """What was run on what, as reports and metrics name it; without folders, so that machines agree."""

    title: str
    model: str
    map_name: str
    seed: int | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)


class Outcome:
    """Collects a run's results in frame order; `elapsed_s` stays None where nobody looked at the clock."""

    def __init__(self, info: RunInfo) -> None:
        self.info = info
        self.results: list[FrameResult] = []
        self.gallery = FrameGallery()
        self.elapsed_s: float | None = None

    def add(
        self,
        frame: DriveFrame,
        found: PoseAnswer | str,
        *,
        latency_ms: float | None = None,
        overlay: Callable[[], Array] | None = None,
    ) -> None:
        """Take the answer to a recorded frame, or the reason why there is none.

        The GNSS position that it is compared with is the prior's: the newest fix, carried on to the image's
        stamp with odometry, so that GNSS is not blamed for the way driven since.
        """
        prior = frame.frame_prior.prior if frame.frame_prior else None
        dropped = found if isinstance(found, str) else None
        result = FrameResult(
            frame.stamp_ns,
            frame.truth,
            None if isinstance(found, str) else found,
            (prior.latitude, prior.longitude) if prior else None,
            latency_ms,
            dropped,
        )
        self.results.append(result)
        self.gallery.add(result, frame.image.rgb if frame.image else None, overlay)

    def summary(self) -> dict[str, Any]:
        """The metrics.json dictionary."""
        return summarize(
            self.results,
            model=self.info.model,
            map_name=self.info.map_name,
            seed=self.info.seed,
            versions=versions(),
            elapsed_s=self.elapsed_s,
        )

    def save(self, folder: Path, source: MapSource) -> dict[str, Any]:
        """Write metrics.json, report.html and the trajectories (TUM) to `folder`; returns the metrics."""
        summary = self.summary()
        write_json(folder / "metrics.json", summary)
        write_tum(folder, self.results)
        report = Report(
            self.info.title,
            summary,
            self.results,
            self.info.configuration,
            self.gallery.sample(),
            self.gallery.worst(),
            source,
        )
        (folder / "report.html").write_text(render_report(report), encoding="utf-8")
        return summary
