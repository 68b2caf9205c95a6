# SPDX-License-Identifier: Apache-2.0
"""One image from mailbox to published pose. Whatever goes wrong drops this image under a named counter."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from geodistill_core.bags.images import ImageError, ImageReason
from geodistill_core.errors import ConfigError, DatasetError, MapError, NotFiniteError
from geodistill_core.localization.sensor_buffer import FramePrior, SensorGap
from geodistill_core.types import GroundImage
from geodistill_ros.camera import CameraState
from geodistill_ros.conversions import FrameError
from geodistill_ros.counters import Counters, Durations
from geodistill_ros.guards import ThrottledLog, guarded
from geodistill_ros.image_watch import ImageWatch
from geodistill_ros.messages import CovarianceError
from geodistill_ros.mount import Mount, MountUnavailableError
from geodistill_ros.sensors import SensorInputs
from geodistill_ros.tracking import Answer, Answering


@dataclass(frozen=True, slots=True)
class Job:
    """An image message that passed the stamp gate, and when it arrived (monotonic seconds)."""

    message: Any
    stamp_ns: int
    arrived_s: float


@dataclass(frozen=True, slots=True)
class Frame:
    """An answered image message, with what was known when it was taken and what it was decoded to."""

    message: Any
    prior: FramePrior
    image: GroundImage
    answer: Answer


class Progress:
    """What the worker is doing, for the watchdog and the diagnostics."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started_s: float | None = None
        self.failures_in_a_row = 0
        self.newest_drop = ""
        self.latency_ms = Durations()

    def start(self) -> None:
        """An image is being worked on."""
        with self._lock:
            self._started_s = time.monotonic()

    def stop(self) -> None:
        """The image is done."""
        with self._lock:
            self._started_s = None

    def running_s(self) -> float:
        """How long the present image has been worked on; 0 while idle."""
        with self._lock:
            return 0.0 if self._started_s is None else time.monotonic() - self._started_s


class Pipeline:
    """Decode, form the prior, answer, hand over to `publish` and to `afterwards`; runs in the worker thread."""

    def __init__(
        self,
        *,
        answering: Answering,
        sensors: SensorInputs,
        camera: CameraState,
        images: ImageWatch,
        mount: Mount,
        sigma_height_m: float,
        publish: Callable[[Answer], bool],
        afterwards: Callable[[Frame], None],
        counters: Counters,
        log: ThrottledLog,
    ) -> None:
        self._answering = answering
        self._missed = guarded("missed", counters, log, answering.missed)
        self._sensors = sensors
        self._camera = camera
        self._images = images
        self._mount = mount
        self._sigma_height_m = sigma_height_m
        self._publish = publish
        self._afterwards = afterwards
        self._counters = counters
        self._log = log
        self.progress = Progress()

    def run(self, job: Job) -> None:
        """Answer one image or count why not; never raises."""
        self.progress.start()
        try:
            frame = self._answer(job)
            if frame is None:
                self._counters.add("dropped.deactivated")
            else:
                self._afterwards(frame)
        except Exception as error:
            reason = drop_reason(error)
            if reason in ("inference", "nonfinite"):
                self.progress.failures_in_a_row += 1
            self.progress.newest_drop = f"{reason}: {error}"
            self._counters.add(f"dropped.{reason}")
            speak = self._log.once if reason == ImageReason.ENCODING else self._log.warning
            speak(f"dropped.{reason}", f"{type(error).__name__}: {error}")
            self._missed(job.stamp_ns, reason)
        finally:
            self.progress.stop()

    def _answer(self, job: Job) -> Frame | None:
        """Answer an image; None where the node was deactivated meanwhile."""
        prior = self._sensors.prior_at(job.stamp_ns, self._answering.expected(job.stamp_ns))
        image = self._ground_image(job, prior)
        answer = self._answering.answer(image, prior)
        if not self._publish(answer):
            return None
        self.progress.failures_in_a_row = 0
        self.progress.latency_ms.add((time.monotonic() - job.arrived_s) * 1e3)
        self._counters.add("images.answered")
        self._counters.add(f"status.{answer.estimate.status.value}")
        return Frame(job.message, prior, image, answer)

    def _ground_image(self, job: Job, prior: FramePrior) -> GroundImage:
        camera = self._camera.model()
        T_base_camera = self._mount.lookup(job.message.header.frame_id)
        rgb = self._images.decode(job.message, job.stamp_ns, panorama=camera is None)
        try:
            return GroundImage(
                rgb, job.stamp_ns, T_base_camera, camera, prior.roll_rad, prior.pitch_rad, self._sigma_height_m
            )
        except DatasetError as error:
            raise FrameError("camera_size", str(error)) from error
        except ConfigError as error:
            raise FrameError("mount", str(error)) from error


def drop_reason(error: Exception) -> str:
    """The counter an exception belongs to, below `dropped.`."""
    if isinstance(error, (ImageError, SensorGap, FrameError)):
        return str(error.reason)
    for kind, reason in (
        (MountUnavailableError, "no_transform"),
        (MapError, "no_map"),
        (NotFiniteError, "nonfinite"),
        (CovarianceError, "covariance"),
    ):
        if isinstance(error, kind):
            return reason
    return "inference"
