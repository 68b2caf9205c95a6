# SPDX-License-Identifier: Apache-2.0
"""A Bayes filter over (east, north, yaw) that consumes whole heat maps.

Predicted by odometry, or by constant velocity without it; GNSS is a likelihood with heavy tails whose bias is estimated
beside the pose; several modes live on side by side until the images decide. Nothing here reads a clock, and the same
inputs give the same track to the bit.
"""

from __future__ import annotations

import math
from threading import RLock

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.localization.planar_pose import PlanarPose, geo_pose, planar_pose
from geodistill_core.localization.protection import protection_level
from geodistill_core.localization.readings import FramePrior, Readings
from geodistill_core.models.manifest import TrackCalibration
from geodistill_core.tracking.claim import claimed_covariance
from geodistill_core.tracking.cloud import Cloud, Place
from geodistill_core.tracking.config import TrackerConfig
from geodistill_core.tracking.gates import PhysicalLimits
from geodistill_core.tracking.heat import Evidence
from geodistill_core.tracking.innovation import Innovation
from geodistill_core.tracking.judgement import Judge
from geodistill_core.tracking.motion import Motion, motion_over
from geodistill_core.tracking.plane import Plane
from geodistill_core.tracking.pose import TrackedPose
from geodistill_core.tracking.reckoning import carried
from geodistill_core.tracking.separations import Separations
from geodistill_core.tracking.states import FOLLOWING, TrackState, Transition
from geodistill_core.tracking.summary import Summary, in_vehicle_axes
from geodistill_core.types import Array, Estimate, GeoPoint, Prior, Status


class Tracker:
    """Single frames in, a continuous pose with state, covariance and protection level out; safe to use from threads."""

    def __init__(self, config: TrackerConfig | None = None, calibration: TrackCalibration | None = None) -> None:
        self.config, self.calibration = config or TrackerConfig(), calibration
        self._lock = RLock()
        self._limits = PhysicalLimits()
        self._judge = Judge(self.config)
        self._cloud: Cloud | None = None
        self._summary: Summary | None = None
        self._set: Prior | None = None
        self._seen: Array | None = None
        self._stamp_ns = 0
        self._map_sigma_m = 0.0
        self._plane = Plane(GeoPoint(0.0, 0.0))
        self._innovation = Innovation(self.config.innovation_m)
        self._separations = Separations(self.config.separation_s)

    @property
    def state(self) -> TrackState:
        """How far the track may be trusted now."""
        return self._judge.machine.state

    @property
    def cause(self) -> str:
        """Why the track is in its state."""
        return self._judge.machine.cause

    def transitions(self) -> list[Transition]:
        """The changes of state since this was last asked."""
        with self._lock:
            return self._judge.machine.transitions()

    def reset(self, cause: str, stamp_ns: int) -> None:
        """Forget the track, because of an operator or a clock that jumped back."""
        with self._lock:
            self._forget()
            self._judge.forget(cause, stamp_ns)

    def set_prior(self, prior: Prior, stamp_ns: int) -> None:
        """Begin anew around a pose that somebody states, at that pose's time."""
        with self._lock:
            self.reset("a pose was set", stamp_ns)
            self._set = prior

    def fault(self, cause: str, stamp_ns: int) -> None:
        """The network or its device is gone: nothing is claimed until it answers again."""
        with self._lock:
            self._judge.machine.enter(TrackState.FAULT, cause, stamp_ns)

    def recovered(self, stamp_ns: int) -> None:
        """The network answers again: the position is acquired anew."""
        with self._lock:
            if self.state is TrackState.FAULT:
                self._forget()
                self._judge.forget("the network answers again", stamp_ns)

    def expected(self, stamp_ns: int, readings: Readings) -> Prior | None:
        """Where the vehicle should be, for images that come without a usable fix; None without a track."""
        with self._lock:
            if self._set is not None:
                return self._set
            pose = self.pose_at(stamp_ns, readings)
            return None if pose is None else pose.as_prior()

    def search_prior(self, frame_prior: FramePrior, stamp_ns: int, readings: Readings) -> Prior:
        """Where the localizer should look: around the track where there is one, else where GNSS says."""
        with self._lock:
            if self._set is not None:
                return self._set
            pose = self.pose_at(stamp_ns, readings) if self.state in FOLLOWING else None
            return frame_prior.prior if pose is None else pose.as_prior()

    def update(self, estimate: Estimate, frame_prior: FramePrior, readings: Readings) -> TrackedPose | None:
        """Take the likelihood of one image (`prior="flat"`), the newest fix, and the readings since the last image.

        None where the image is not newer than the track.
        """
        with self._lock:
            stamp_ns = estimate.stamp_ns
            self.recovered(stamp_ns)
            if self._cloud is not None and stamp_ns <= self._stamp_ns:
                return None
            if self._cloud is None or stamp_ns - self._stamp_ns > self.config.max_gap_s * 1e9:
                self._begin(estimate, frame_prior)
                motion = Motion(0.0)
            else:
                motion = self._step(estimate, frame_prior, readings)
            self._map_sigma_m = estimate.tile.map_sigma_m
            self._conclude(stamp_ns, motion, image=estimate.status is not Status.UNINFORMATIVE)
            return self._pose(stamp_ns, self._summary)

    def missed(self, stamp_ns: int, readings: Readings, reason: str) -> None:
        """An image gave no answer, or only time went by: predict, learn the fixes, and judge what is left."""
        with self._lock:
            if self._cloud is None or stamp_ns <= self._stamp_ns or self.state is TrackState.FAULT:
                return
            moved_ns = self._stamp_ns
            for fix in readings.fixes:
                if max(moved_ns, self._judge.fix_ns) < fix.stamp_ns:
                    self._cloud.move(motion_over(readings, moved_ns, fix.stamp_ns))
                    at, _ = self._plane.placed(fix.latitude, fix.longitude, 0.0)
                    self._cloud.learn_fix(at, fix.sigma_m, fix.stamp_ns)
                    self._judge.fix_ns = moved_ns = fix.stamp_ns
            self._cloud.move(motion_over(readings, moved_ns, stamp_ns))
            self._cloud.thin()
            self._judge.reason = reason or self._judge.reason
            self._conclude(stamp_ns, motion_over(readings, self._stamp_ns, stamp_ns), image=False)

    def pose_at(self, stamp_ns: int, readings: Readings) -> TrackedPose | None:
        """The pose carried on to a time by the readings since the last image; None without a track."""
        with self._lock:
            if self._cloud is None or self._summary is None or stamp_ns < self._stamp_ns:
                return None
            if stamp_ns == self._stamp_ns:
                return self._pose(stamp_ns, self._summary)
            motion = motion_over(readings, self._stamp_ns, stamp_ns)
            return self._pose(stamp_ns, carried(self._summary, motion, self.config))

    def facts(self) -> dict[str, float]:
        """What operators look at: spread, particles that count, the receiver's bias, its share in the last fix."""
        with self._lock:
            if self._cloud is None or self._summary is None:
                return {}
            bias = self._cloud.gnss_bias()
            return {
                "spread_m": self._summary.spread_m,
                "mass": self._summary.mass,
                "particles": self._cloud.particles.effective(),
                "gnss_bias_east_m": float(bias[0]),
                "gnss_bias_north_m": float(bias[1]),
                "gnss_share": self._cloud.gnss_share,
            }

    # One image

    def _begin(self, estimate: Estimate, frame_prior: FramePrior) -> None:
        prior = self._set or frame_prior.prior
        self._set = None
        self._plane = Plane(estimate.tile.center)
        self._cloud = Cloud(self.config)
        self._innovation = Innovation(self.config.innovation_m)
        self._separations = Separations(self.config.separation_s)
        self._judge.begin(estimate.stamp_ns, None if frame_prior.fix is None else frame_prior.fix.stamp_ns)
        evidence = Evidence(estimate.heatmap, self._plane.frame, self.config.least_ratio)
        position, yaw = self._plane.placed(prior.latitude, prior.longitude, prior.yaw_enu_rad)
        fix_ns = frame_prior.fix.stamp_ns if frame_prior.fix is not None and prior is frame_prior.prior else None
        place = Place(position, prior.sigma_m, yaw, prior.sigma_yaw_rad, frame_prior.speed_mps, fix_ns)
        self._cloud.start(evidence, place)

    def _step(self, estimate: Estimate, frame_prior: FramePrior, readings: Readings) -> Motion:
        """Predict, judge the independent solutions against the prediction, then weigh by fix, heading and heat map."""
        assert self._cloud is not None and self._summary is not None
        cloud, stamp_ns = self._cloud, estimate.stamp_ns
        self._keep_anchored()
        motion = motion_over(readings, self._stamp_ns, stamp_ns)
        cloud.move(motion)
        before = carried(self._summary, motion, self.config)
        claimed = self._checked(before)
        fix = self._new_fix(frame_prior)
        if fix is not None:
            at, sigma_m, fix_ns = fix
            cloud.learn_fix(at, sigma_m, fix_ns)
            self._separations.judge_gnss(at, cloud.belief.spread_m, before.pose, claimed, stamp_ns)
            self._judge.fix_ns = fix_ns
        heading, sigma_yaw = frame_prior.prior.yaw_enu_rad, frame_prior.prior.sigma_yaw_rad
        if frame_prior.fix is not None:
            cloud.learn_heading(heading, sigma_yaw, motion.seconds)
        seen = planar_pose(estimate, self._plane.frame)
        seen_pose = np.array([seen.east_m, seen.north_m, seen.yaw_rad])
        self._separations.judge_image(seen_pose, seen.covariance, before.pose, claimed, stamp_ns)
        evidence = Evidence(estimate.heatmap, self._plane.frame, self.config.least_ratio)
        newest = None if fix is None else fix[0]
        self._judge.contradicted = cloud.learn_image(evidence, motion, newest, acquiring=self.state not in FOLLOWING)
        self._seen = seen_pose
        return motion

    def _new_fix(self, frame_prior: FramePrior) -> tuple[Array, float, int] | None:
        """The newest fix carried to the image, on the plane, its sigma and stamp; None where it was taken before."""
        fix = frame_prior.fix
        if fix is None or fix.stamp_ns <= self._judge.fix_ns:
            return None
        at, _ = self._plane.placed(frame_prior.prior.latitude, frame_prior.prior.longitude, 0.0)
        return at, fix.sigma_m, fix.stamp_ns

    def _conclude(self, stamp_ns: int, motion: Motion, *, image: bool) -> None:
        """Summarise the particles at a time, and judge the state."""
        assert self._cloud is not None
        last, seconds = self._summary, (stamp_ns - self._stamp_ns) * 1e-9
        following, proof = self.state in FOLLOWING, self.config.proof(motion.distance_m, motion.seconds)
        # what is being acquired is proved before it is claimed
        self._summary = self._cloud.summary((proof if image else 0.0) if following else math.inf)
        self._stamp_ns = stamp_ns
        claimed = self._checked(self._summary)
        if self._seen is not None:
            offset = in_vehicle_axes(self._seen - self._summary.pose, float(self._summary.pose[2]))
            self._innovation.learn(offset, motion.distance_m, motion.seconds)
            self._seen = None
        if image:
            self._judge.image_ns = stamp_ns
            self._separations.judge_reckoning(motion, self._summary.pose, claimed, stamp_ns)
        jumped = last is not None and not self._plausible(last, seconds)
        self._judge.judge(stamp_ns, motion, self._summary, claimed, self._separations.sentence(), jumped=jumped)
        if self.state is TrackState.LOST:
            self._forget()

    def _plausible(self, last: Summary, seconds: float) -> bool:
        assert self._summary is not None
        off = self._summary.pose - last.pose
        return self._limits.allow(math.hypot(off[0], off[1]), float(wrap(off[2])), seconds)

    # What is claimed

    def _pose(self, stamp_ns: int, summary: Summary | None) -> TrackedPose | None:
        if summary is None:
            return None
        P = self._claimed(summary)
        east, north, yaw = map(float, summary.pose)
        pose = geo_pose(PlanarPose(east, north, yaw, P), self._plane.frame)
        return TrackedPose(
            stamp_ns,
            pose.latitude,
            pose.longitude,
            pose.yaw_enu_rad,
            pose.covariance,
            None if self.calibration is None else self.calibration.degrees_of_freedom,
            summary.speed_mps,
            summary.yaw_rate_radps,
            self.state,
            self._separations.sentence(),
            protection_level(pose.covariance, pose.yaw_enu_rad, self.calibration),
        )

    def _checked(self, summary: Summary) -> Array:
        """The calibrated covariance."""
        return claimed_covariance(
            summary.covariance, float(summary.pose[2]), self._innovation.mean_sq, self._map_sigma_m, self.calibration
        )

    def _claimed(self, summary: Summary) -> Array:
        """The calibrated covariance; while GNSS disagrees it covers GNSS, too (at two sigma)."""
        P = self._checked(summary)
        if self._separations.gnss.suspect:
            P[:2, :2] += np.outer(self._separations.gnss_offset, self._separations.gnss_offset) / 4.0
        return P

    def _keep_anchored(self) -> None:
        """Move the plane along with the vehicle."""
        assert self._cloud is not None and self._summary is not None
        moved = self._plane.moved_to(self._summary.pose)
        if moved is None:
            return
        self._plane, turn, east_m, north_m = moved
        self._cloud.particles.transform(turn, east_m, north_m)
        self._summary = self._cloud.summary()
        self._separations.forget_way()

    def _forget(self) -> None:
        self._cloud = None
        self._summary = None
        self._set = None
        self._stamp_ns = 0
        self._separations = Separations(self.config.separation_s)
