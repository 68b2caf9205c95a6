# SPDX-License-Identifier: Apache-2.0
"""One simulated drive through localizer and tracker, in closed loop, with the single images beside the track."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from geodistill_core.datasets.synthcity import render_overhead
from geodistill_core.datasets.synthcity.bake import RESOLUTION_M
from geodistill_core.datasets.synthcity.drive import Drive
from geodistill_core.datasets.synthcity.pairs import ATTRIBUTION
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import MapError, RuntimeBackendError
from geodistill_core.evaluation.bench.clock import own_time_s
from geodistill_core.evaluation.bench.tracking_frames import TrackedFrame
from geodistill_core.evaluation.bench.tracking_pictures import DrivePictures
from geodistill_core.evaluation.bench.tracking_sensors import DriveSensors
from geodistill_core.evaluation.metrics import PoseAnswer, offset_m
from geodistill_core.localization import Localizer
from geodistill_core.localization.estimate import estimate, posterior
from geodistill_core.localization.readings import FramePrior, Readings, SensorGap
from geodistill_core.localization.sensor_buffer import SensorBuffer
from geodistill_core.maps import RasterSource
from geodistill_core.tracking import TrackedLocalizer, TrackedPose, Tracker
from geodistill_core.tracking.summary import in_vehicle_axes
from geodistill_core.types import Array, Estimate, GroundImage, Prior

_SMALLEST = 1e-30


class MeasuredTracker(Tracker):
    """A tracker that knows how long it took, and tells what its claims are made of."""

    spent_s = 0.0

    def search_prior(self, frame_prior: FramePrior, stamp_ns: int, readings: Readings) -> Prior:
        """See `Tracker`."""
        before_s = own_time_s()
        found = super().search_prior(frame_prior, stamp_ns, readings)
        self.spent_s += own_time_s() - before_s
        return found

    def update(self, estimate: Estimate, frame_prior: FramePrior, readings: Readings) -> TrackedPose | None:
        """See `Tracker`."""
        before_s = own_time_s()
        found = super().update(estimate, frame_prior, readings)
        self.spent_s += own_time_s() - before_s
        return found

    def taken_ms(self) -> float:
        """Milliseconds since this was last asked."""
        taken_ms, self.spent_s = self.spent_s * 1e3, 0.0
        return taken_ms

    def ingredients(self) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
        """Variances of the particles and mean squares of the innovations, along, across and in yaw."""
        if self._summary is None:
            return None
        yaw = float(self._summary.pose[2])
        R = np.stack([in_vehicle_axes(axis, yaw) for axis in np.eye(3)], axis=1)
        spread = np.diagonal(R @ self._summary.covariance @ R.T)
        return _three(spread), _three(self._innovation.mean_sq)


def _three(values: Array) -> tuple[float, float, float]:
    along, across, yaw = map(float, values)
    return along, across, yaw


def drive_map(drive: Drive) -> RasterSource:
    """The city of a drive from above, as it was before some things changed."""
    city = drive.city
    rgb, valid = render_overhead(city, 0.0, 0.0, city.size_m, RESOLUTION_M, drive.map_conditions, drive.level.change)
    return RasterSource(rgb, city.datum, RESOLUTION_M, ATTRIBUTION, valid=valid)


def single_answer(found: Estimate, frame_prior: FramePrior, localizer: Localizer) -> PoseAnswer | None:
    """What a localizer without a track answers: the same likelihood times the Gaussian of the newest fix.

    The network does not run again: its window is the one around the track. None where there is no usable fix.
    """
    if frame_prior.fix is None:
        return None
    seen = found.heatmap
    log_p = sum(Localizer.log_prior(frame_prior.prior, seen), start=np.log(np.maximum(seen.probability, _SMALLEST)))
    return PoseAnswer.of(estimate(posterior(log_p, seen), found.tile, found.stamp_ns, localizer.config.estimate))


class Mounting(Protocol):
    """How the camera is believed to be mounted, and what is learned about that."""

    def T_base_camera(self) -> Array:  # noqa: N802 - named as in GroundImage
        """The mount (4x4) of the next image."""

    def seen(self, image: GroundImage, found: Estimate, pose: TrackedPose | None, way_m: float) -> None:
        """Take an image, its likelihood and the track's pose, `way_m` into the drive."""


class StatedMounting:
    """The mounting of the rig, as it was stated."""

    def __init__(self, drive: Drive) -> None:
        self._mount = drive.rig.mount

    def T_base_camera(self) -> Array:  # noqa: N802 - named as in GroundImage
        """See `Mounting`."""
        return self._mount

    def seen(self, image: GroundImage, found: Estimate, pose: TrackedPose | None, way_m: float) -> None:
        """Nothing is learned."""


def track_drive(
    drive: Drive,
    localizer: Localizer,
    tracker: MeasuredTracker,
    *,
    mounting: Mounting | None = None,
    pictures: Path | None = None,
    step: Callable[[], None] = lambda: None,
) -> list[TrackedFrame]:
    """Every frame of a drive; `localizer` (with `prior="flat"`) holds the drive's map; `step` after each frame.

    `mounting` is the rig's unless given; `pictures` is the folder that keeps the rendered pictures.
    """
    loop, frames = _Loop(drive, localizer, tracker, mounting or StatedMounting(drive), pictures), []
    for index in range(len(drive.frame_seconds)):
        frames.append(loop.frame(index))
        step()
    return frames


class _Loop:
    """A drive, its sensors, and the track that is made of them."""

    def __init__(
        self,
        drive: Drive,
        localizer: Localizer,
        tracker: MeasuredTracker,
        mounting: Mounting,
        pictures: Path | None,
    ) -> None:
        self._drive, self._localizer, self._tracker, self._mounting = drive, localizer, tracker, mounting
        self._tracked, self._shown = TrackedLocalizer(localizer, tracker), DrivePictures(drive, pictures)
        self._sensors = DriveSensors(drive, SensorBuffer())
        path = drive.trajectory
        self._way_m = np.concatenate([[0.0], np.cumsum(path.speed_mps[:-1] * np.diff(path.seconds))])

    def frame(self, index: int) -> TrackedFrame:
        """One image and everything measured until then."""
        drive, tracker = self._drive, self._tracker
        second, stamp_ns = float(drive.frame_seconds[index]), int(drive.frame_stamps_ns[index])
        truth = drive.truth(second)
        self._sensors.until(stamp_ns)
        way_m = float(np.interp(second, drive.trajectory.seconds, self._way_m))
        pose, single, gnss_m = self._located(index, stamp_ns, truth, way_m)
        answer = None
        if pose is not None:
            answer = PoseAnswer(pose.latitude, pose.longitude, pose.yaw_enu_rad, pose.covariance, pose.state.value)
        spread_sq, innovation_sq = tracker.ingredients() or (None, None)
        return TrackedFrame(
            stamp_ns=stamp_ns,
            way_m=way_m,
            truth=truth,
            state=tracker.state.value,
            tracked=answer,
            degrees_of_freedom=pose.degrees_of_freedom if pose else None,
            protection=pose.protection if pose else None,
            suspect=pose.suspect if pose else "",
            single=single,
            gnss_error_m=gnss_m,
            spread_sq=spread_sq,
            innovation_sq=innovation_sq,
            tracker_ms=tracker.taken_ms(),
        )

    def _located(
        self, index: int, stamp_ns: int, truth: Truth, way_m: float
    ) -> tuple[TrackedPose | None, PoseAnswer | None, float | None]:
        """What the track says, what the image alone says, and how far the newest fix is off."""
        camera, buffer = self._drive.rig.camera, self._sensors.buffer
        try:
            prior = buffer.at(stamp_ns, self._tracked.expected(stamp_ns, buffer))
        except SensorGap as gap:
            self._tracked.missed(stamp_ns, buffer, str(gap.reason))
            return None, None, None
        stated = prior.prior
        gnss_m = None if prior.fix is None else math.hypot(*offset_m(stated.latitude, stated.longitude, truth))
        mount = self._mounting.T_base_camera()
        image = GroundImage(self._shown.rgb(index), stamp_ns, mount, camera, prior.roll_rad, prior.pitch_rad)
        try:
            found, pose = self._tracked.locate(image, prior, buffer)
        except (MapError, RuntimeBackendError) as error:
            self._tracked.missed(stamp_ns, buffer, str(error))
            return None, None, gnss_m
        self._mounting.seen(image, found, pose, way_m)
        return pose, single_answer(found, prior, self._localizer), gnss_m
