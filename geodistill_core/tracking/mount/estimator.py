# SPDX-License-Identifier: Apache-2.0
"""`MountCalibrator`: learns from tracked frames how the camera is really mounted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from geodistill_core.camera import BodyMount, check_mount
from geodistill_core.errors import ConfigError
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import Posed
from geodistill_core.tracking.mount.belief import GaussianBelief
from geodistill_core.tracking.mount.course import StraightConfig, YawFromCourse
from geodistill_core.tracking.mount.estimate import AXES, MountEstimate, misfits
from geodistill_core.tracking.mount.evidence import LikelihoodSource, PoseBelief
from geodistill_core.tracking.mount.hypotheses import HEIGHT, PITCH, ROLL, ask
from geodistill_core.types import Array, Estimate, GroundImage, Status


def _radians(*degrees: float) -> tuple[float, ...]:
    return tuple(math.radians(value) for value in degrees)


@dataclass(frozen=True, slots=True)
class MountConfig:
    """How wrong a mounting may be, how often frames are compared, and when the result is used.

    Tuples are over (log height, pitch, roll, yaw), in radians where they are angles. Every `every_frames`-th frame is
    compared, every `every_frames_settled`-th once the result is twice as sharp as its use demands, if the vehicle moved
    `spacing_m` since. Frames count in full when they are `independent_m` apart, and about `memory` of those are
    remembered. A frame is compared where the pose is known to `largest_sigma_m` and `largest_sigma_yaw_rad`, and taken
    for no better known than `least_sigma_m` and `least_sigma_yaw_rad`; once settled, only where the image's own pose
    lies within `largest_apart_m` (before that a wrong mounting leads images astray, not the track). The result is used
    from `sharp` on, no longer beyond 1.5 times that, and follows the belief in steps of `follow`. `systematic` is what
    no number of frames improves: more for a pinhole camera, to which a lower mount looks much like one tipped down.
    Networks match best at `apparent_height` of the true height.
    """

    prior: tuple[float, ...] = (0.15, *_radians(2.0, 2.0, 3.0))
    sharp: tuple[float, ...] = (0.03, *_radians(0.4, 0.4, 0.6))
    follow: tuple[float, ...] = (0.005, *_radians(0.1, 0.1, 0.2))
    systematic: tuple[float, ...] = (0.01, *_radians(0.05, 0.05, 0.1))
    systematic_pinhole: tuple[float, ...] = (0.04, *_radians(0.4, 0.3, 0.3))
    smallest_step: tuple[float, ...] = (0.03, *_radians(0.5, 0.5))
    largest_step: tuple[float, ...] = (0.075, *_radians(1.2, 1.2))
    every_frames: int = 3
    every_frames_settled: int = 12
    spacing_m: float = 4.0
    independent_m: float = 10.0
    memory: float = 60.0
    largest_sigma_m: float = 2.0
    largest_sigma_yaw_rad: float = math.radians(4.0)
    largest_apart_m: float = 4.0
    least_sigma_m: float = 1.0
    least_sigma_yaw_rad: float = math.radians(1.5)
    apparent_height: float = 0.98
    straight: StraightConfig = field(default_factory=StraightConfig)

    def __post_init__(self) -> None:
        if not 1 <= self.every_frames <= self.every_frames_settled:
            raise ConfigError(
                f"every_frames {self.every_frames} must be at least 1 and no more than every_frames_settled "
                f"{self.every_frames_settled}"
            )


class MountCalibrator:
    """Estimates a mounting that was stated as `T_base_camera` (4x4); `optical` for a pinhole's frame.

    Call `observe` after each tracked frame, once its pose is published, and mount later images as `corrected` says.
    """

    def __init__(
        self, source: LikelihoodSource, T_base_camera: Array, config: MountConfig | None = None, *, optical: bool
    ) -> None:
        check_mount(T_base_camera)
        self.config = config or MountConfig()
        self.optical = optical
        self.nominal = BodyMount.of(T_base_camera, optical=optical)
        self._source = source
        start = np.array([math.log(self.nominal.z_m), self.nominal.pitch_rad, self.nominal.roll_rad])
        self._belief = GaussianBelief(start, np.array(self.config.prior[:3]), self.config.memory)
        self._yaw = YawFromCourse(self.config.prior[3], self.config.memory, self.config.straight)
        self._depends = np.zeros(3, dtype=bool)
        self._asked = np.zeros(3, dtype=bool)
        self._applied = np.full(4, math.nan)
        self._compared = self._since = 0
        self._moved_m = self._moved_for_yaw_m = 0.0

    def observe(self, image: GroundImage, estimate: Estimate, pose: Posed, moved_m: float) -> bool:
        """Learn from a tracked frame; True where it was compared, which takes about a tenth of a second.

        `estimate` is the image's own answer, `pose` the track's, `moved_m` the way since the last call. The image is
        mounted as it was for the estimate.
        """
        self._since += 1
        self._moved_m += moved_m
        self._moved_for_yaw_m += moved_m
        if not self._known(pose):
            return False
        agrees, settled, config = self._agrees(estimate, pose), self._settled(), self.config
        if agrees:
            self._observe_yaw(image, estimate)
        elif settled:
            return False
        every = config.every_frames_settled if settled else config.every_frames
        if self._since < every or self._moved_m < config.spacing_m:
            self._apply()
            return False
        weight = min(1.0, self._moved_m / config.independent_m)
        self._since, self._moved_m = 0, 0.0
        compared = self._compare(image, pose, weight)
        self._apply()
        return compared

    def estimate(self) -> MountEstimate:
        """What is known by now."""
        mean, sigma = self._mean(), self._sigma()
        known = sigma < 0.5 * np.array(self.config.prior)
        systematic = np.array(self.config.systematic_pinhole if self.optical else self.config.systematic)
        sigma = np.where(known, np.hypot(sigma, systematic), math.inf)
        value = np.where(known, mean, self._stated())
        blind = [
            axis.name
            for axis, asked, depends in zip(AXES, self._asked, self._depends, strict=False)
            if asked and not depends
        ]
        height_m = math.exp(float(value[0]))
        pitch, roll, yaw = (float(v) for v in value[1:])
        return MountEstimate(
            height_m, height_m * float(sigma[0]), pitch, float(sigma[1]), roll, float(sigma[2]),
            float(wrap(yaw)), float(sigma[3]), self._compared, tuple(blind),
        )  # fmt: skip

    def corrected(self, T_base_camera: Array) -> Array:
        """The mount (4x4) with what is known sharply put right, to be used for the next images.

        Give the stated mount: what was stated wrongly is corrected by the same amount in any.
        """
        if np.isnan(self._applied).all():
            return T_base_camera
        mount = BodyMount.of(T_base_camera, optical=self.optical)
        log_ratio, pitch, roll, yaw = (float(v) for v in np.where(np.isnan(self._applied), 0.0, self._applied))
        return replace(
            mount,
            z_m=mount.z_m * math.exp(log_ratio),
            pitch_rad=mount.pitch_rad + pitch,
            roll_rad=mount.roll_rad + roll,
            yaw_rad=mount.yaw_rad + yaw,
        ).matrix(optical=self.optical)

    def findings(self) -> list[str]:
        """A sentence for each part of the stated mounting that is wrong, with the remedy."""
        nominal = self.nominal
        stated = MountEstimate(
            nominal.z_m, 0.0, nominal.pitch_rad, 0.0, nominal.roll_rad, 0.0, nominal.yaw_rad, 0.0, self._compared
        )
        return misfits(stated, self.estimate())

    def _stated(self) -> Array:
        return np.array([*self._belief.start, self.nominal.yaw_rad])

    def _mean(self) -> Array:
        return np.array([*self._belief.mean, self.nominal.yaw_rad + self._yaw.mean_rad])

    def _sigma(self) -> Array:
        return np.array([*self._belief.sigma(), self._yaw.sigma_rad])

    def _known(self, pose: Posed) -> bool:
        """Whether the track's pose is known well enough to learn from."""
        sigma = np.sqrt(np.asarray(pose.covariance).diagonal())
        return bool(max(sigma[:2]) <= self.config.largest_sigma_m and sigma[2] <= self.config.largest_sigma_yaw_rad)

    def _agrees(self, estimate: Estimate, pose: Posed) -> bool:
        """Whether the image alone finds the track's place."""
        east_m, north_m = LocalFrame(estimate.point).to_enu(pose.latitude, pose.longitude)
        return estimate.status is Status.OK and math.hypot(east_m, north_m) <= self.config.largest_apart_m

    def _observe_yaw(self, image: GroundImage, estimate: Estimate) -> None:
        mounted = BodyMount.of(image.T_base_camera, optical=self.optical).yaw_rad
        as_stated = estimate.yaw_enu_rad + float(wrap(mounted - self.nominal.yaw_rad))
        self._yaw.add(estimate.point, as_stated, self._moved_for_yaw_m)
        self._moved_for_yaw_m = 0.0

    def _compare(self, image: GroundImage, pose: Posed, weight: float) -> bool:
        config = self.config
        belief = PoseBelief.of(pose, config.least_sigma_m, config.least_sigma_yaw_rad)
        mounted = BodyMount.of(image.T_base_camera, optical=self.optical)
        tilt = PITCH if self._compared % 2 == 0 else ROLL
        steps = np.clip(1.5 * self._sigma()[:3], config.smallest_step, config.largest_step)
        point = self._belief.mean + np.array([math.log(config.apparent_height), 0.0, 0.0])
        slopes = ask(self._source, image, mounted, point, steps, tilt, belief)
        if slopes is None:
            return False
        self._compared += 1
        self._asked[[HEIGHT, tilt]] = True
        self._depends |= slopes.depends
        self._belief.update(slopes.gradient, slopes.hessian, weight, steps)
        return True

    def _settled(self) -> bool:
        sharp = self._sigma()[:3] < 0.5 * np.array(self.config.sharp[:3])
        return bool(self._asked.all() and (sharp | ~self._depends).all())

    def _apply(self) -> None:
        """Follow the belief where it is sharp: axes begin and end with hysteresis, and move in steps."""
        sharp, sigma = np.array(self.config.sharp), self._sigma()
        using = ~np.isnan(self._applied)
        offset = self._mean() - self._stated()
        use = sigma < np.where(using, 1.5 * sharp, sharp)
        moved = ~using | (np.abs(offset - self._applied) > np.array(self.config.follow))
        self._applied = np.where(use, np.where(moved, offset, self._applied), math.nan)
