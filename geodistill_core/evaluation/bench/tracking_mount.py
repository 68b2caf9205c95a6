# SPDX-License-Identifier: Apache-2.0
"""A drive that starts with a camera mounted otherwise than stated: is that found, how soon, and how exactly?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geodistill_core.camera import BodyMount
from geodistill_core.datasets.synthcity.drive import Drive
from geodistill_core.evaluation.bench.tracking_frames import TrackedFrame, scored
from geodistill_core.evaluation.metrics import spread
from geodistill_core.localization import Localizer
from geodistill_core.tracking import TrackedPose
from geodistill_core.tracking.mount import MountCalibrator
from geodistill_core.tracking.states import FOLLOWING
from geodistill_core.types import Array, Estimate, GroundImage

HEIGHT_SHARE, PITCH_RAD = 0.20, math.radians(2.0)
WITHIN_HEIGHT_SHARE, WITHIN_PITCH_DEG, WITHIN_FRAMES = 0.03, 0.3, 150


@dataclass(frozen=True, slots=True)
class MountError:
    """What is believed after one frame, against the truth; the height as a share of it."""

    stamp_ns: int
    height_share: float
    pitch_deg: float

    @property
    def small(self) -> bool:
        """Whether both are within their limits."""
        return abs(self.height_share) <= WITHIN_HEIGHT_SHARE and abs(self.pitch_deg) <= WITHIN_PITCH_DEG


def true_pitch_rad(drive: Drive) -> float:
    """The pitch of the mounting that images can show: the camera's own, less the attitude sensor's bias."""
    path, sensor = drive.trajectory, drive.attitude
    seconds = (sensor.stamps_ns - sensor.stamps_ns[0]) * 1e-9
    bias = float(np.mean(sensor.pitch_rad - path.at(seconds, path.pitch_rad)))
    return BodyMount.of(drive.rig.mount, optical=drive.rig.camera is not None).pitch_rad - bias


class LearnedMounting:
    """A mounting stated a fifth too high and two degrees too low in pitch, and what the calibrator makes of it."""

    def __init__(self, drive: Drive, localizer: Localizer) -> None:
        self._height_m, self._pitch_rad = drive.camera_height_m, true_pitch_rad(drive)
        optical = drive.rig.camera is not None
        mount = BodyMount.of(drive.rig.mount, optical=optical)
        wrong = replace(mount, z_m=self._height_m * (1.0 + HEIGHT_SHARE), pitch_rad=mount.pitch_rad + PITCH_RAD)
        self._stated = wrong.matrix(optical=optical)
        self._calibrator = MountCalibrator(localizer, self._stated, optical=optical)
        self._way_m = 0.0
        self.errors: list[MountError] = []

    def T_base_camera(self) -> Array:  # noqa: N802 - named as in GroundImage
        """See `Mounting`."""
        return self._calibrator.corrected(self._stated)

    def seen(self, image: GroundImage, found: Estimate, pose: TrackedPose | None, way_m: float) -> None:
        """See `Mounting`."""
        if pose is not None and pose.state in FOLLOWING:
            self._calibrator.observe(image, found, pose, way_m - self._way_m)
            self._way_m = way_m
        believed = self._calibrator.estimate()
        height_share = believed.height_m / self._height_m - 1.0
        pitch_deg = math.degrees(believed.pitch_rad - self._pitch_rad)
        self.errors.append(MountError(image.stamp_ns, height_share, pitch_deg))


def mount_figures(errors: Sequence[MountError], frames: Sequence[TrackedFrame]) -> dict[str, Any]:
    """After how many frames both errors were within their limits and stayed there, and the track's errors before and
    after."""
    wrong = [number for number, error in enumerate(errors, 1) if not error.small]
    recovered = (wrong[-1] if wrong else 0) + 1
    after = None if recovered > len(errors) else recovered
    since = None if after is None else errors[after - 1].stamp_ns
    followed = scored(frames)
    early = [s.errors.position_m for s in followed if since is None or s.frame.stamp_ns < since]
    late = [s.errors.position_m for s in followed if since is not None and s.frame.stamp_ns >= since]
    last = errors[-1] if errors else MountError(0, math.nan, math.nan)
    return {
        "frames": len(errors),
        "recovered_after_frames": after,
        "height_error_share": last.height_share,
        "pitch_error_deg": last.pitch_deg,
        "position_error_before_m": spread(early),
        "position_error_after_m": spread(late),
        "limits": {
            "frames": WITHIN_FRAMES, "height_share": WITHIN_HEIGHT_SHARE, "pitch_deg": WITHIN_PITCH_DEG,
        },
        "within_limits": after is not None and after <= WITHIN_FRAMES,
    }  # fmt: skip
