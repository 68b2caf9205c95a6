# SPDX-License-Identifier: Apache-2.0
"""What must happen although no image arrives: time passes for the track, and a hanging inference is noticed."""

from __future__ import annotations

from collections.abc import Callable

from geodistill_ros.conditions import MANY_FAILURES
from geodistill_ros.parameters import NodeParameters
from geodistill_ros.pipeline import Progress
from geodistill_ros.tracking import Track

PERIOD_S = 0.2
_IDLE_NS = 400_000_000


class Watch:
    """Looks after the track, every `PERIOD_S`."""

    def __init__(
        self,
        track: Track,
        progress: Progress,
        settings: Callable[[], NodeParameters],
        now_ns: Callable[[], int],
        idle: Callable[[], bool],
    ) -> None:
        self._track, self._progress = track, progress
        self._settings, self._now_ns, self._idle = settings, now_ns, idle

    def look(self) -> None:
        """Judge inference and silence as they are now."""
        settings, now_ns = self._settings(), self._now_ns()
        running_s, failures = self._progress.running_s(), self._progress.failures_in_a_row
        if running_s > settings.inference_timeout_s:
            self._track.fault(f"inference hangs for {running_s:.1f} s", now_ns)
        elif failures >= MANY_FAILURES:
            self._track.fault(f"inference failed {failures} times in a row", now_ns)
        else:
            self._pass_time(now_ns - round(settings.max_image_age_s * 1e9))

    def _pass_time(self, until_ns: int) -> None:
        """No image older than `until_ns` can come any more."""
        last_ns = self._track.last_ns
        if last_ns and until_ns - last_ns > _IDLE_NS and self._idle():
            self._track.missed(until_ns, "no image")
