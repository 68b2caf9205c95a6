# SPDX-License-Identifier: Apache-2.0
"""Every reason for which an image is dropped and every key of the diagnostics, each with its meaning."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

from geodistill_core.bags.images import MIN_IMAGE_SIDE
from geodistill_core.types import MAX_IMAGE_SIDE


class Drop(NamedTuple):
    """What a `dropped.` counter says of an image, and what to do where it grows."""

    meaning: str
    remedy: str


_CLOCKS = "synchronize the clocks of camera and computer (PTP, chrony)"
_DECODER = "look at the driver's settings; replay a recording with `geodistill bag info`"

DROPPED: dict[str, Drop] = {
    "stamp_zero": Drop("has no stamp", "make the driver stamp its images when they are exposed"),
    "stamp_backwards": Drop("is not newer than the one before", "let one driver publish the topic, in order"),
    "stale": Drop("is older than `max_image_age_s` on arrival", _CLOCKS + "; look for a slow network"),
    "future": Drop("is stamped further ahead than `max_image_future_s`", _CLOCKS),
    "no_clock": Drop("came before the first `/clock`", "publish `/clock`, or set `use_sim_time` to false"),
    "superseded": Drop("was overtaken by a newer one", "none is needed; the network is slower than the camera"),
    "deactivated": Drop("was in work when the node was deactivated", "none is needed"),
    "clock_jump": Drop("was waiting when the clock jumped back", "none is needed where a recording starts again"),
    "encoding": Drop("has an encoding that is not known", "publish rgb8, bgr8, mono8, a Bayer pattern or JPEG"),
    "step": Drop("has rows that are shorter than its width", _DECODER),
    "truncated": Drop("ends before its last row or its end marker", _DECODER),
    "decode": Drop("is no picture", _DECODER),
    "size": Drop("is too small or too large", f"publish sides of {MIN_IMAGE_SIDE} to {MAX_IMAGE_SIDE} pixels"),
    "blank": Drop("shows nothing: black, white or one colour", "look at exposure, lens cap and cable"),
    "no_camera_info": Drop("came before any CameraInfo", "publish CameraInfo on `camera_info`"),
    "camera_info": Drop("has a CameraInfo that cannot be used", "calibrate the camera; the log names the field"),
    "camera_size": Drop("has another size than its CameraInfo", "calibrate at the size that is published"),
    "mount": Drop("comes with a camera height or attitude that is impossible", "correct the mount, or the TF"),
    "no_transform": Drop("has a frame that TF does not know", "publish base_frame to the camera's frame_id"),
    "no_fix": Drop("came before the first usable fix", "wait; look at `gnss.rejected.*`"),
    "fix_stale": Drop("came more than `max_fix_age_s` after the last fix", "look at receiver and antenna"),
    "no_attitude": Drop("came before any attitude", "publish `imu`, or set `heading_source`"),
    "attitude_stale": Drop("came long after the last attitude", "look at the IMU's driver and rate"),
    "no_heading": Drop("came while the vehicle was too slow for a course", "drive, or set `heading_source` to imu"),
    "no_track": Drop("was matched, but the track claims nothing", "look at `track.state` and `track.cause`"),
    "no_map": Drop("lies where the map has no imagery", "fetch the area (`geodistill map fetch`)"),
    "nonfinite": Drop("made the network answer NaN or infinity", "verify the checkpoint; report it"),
    "covariance": Drop("got a covariance that is none", "report it with the image"),
    "inference": Drop("made the network fail", "the log has the error; report it"),
}

KEYS: dict[str, str] = {
    "state": "lifecycle state",
    "model": "checkpoint",
    "map": "imagery",
    "fingerprint": "hash of weights and settings: equal where answers are equal",
    "attribution": "whom the imagery's provider wants named",
    "threads": "CPU threads of the network",
    "runtime": "what runs the network now: `tensorrt`, `onnxruntime`, `openvino` or `torch`",
    "runtime.precision": "numbers that it computes with",
    "runtime.device": "processor or GPU that it runs on",
    "runtime.state": "compiling, for how long and what; or why that failed",
    "runtime.not_*": "why a back end was not taken",
    "runtime.out_of_memory": "how often the network ran out of memory",
    "runtime.device_lost": "how often the accelerator failed",
    "runtime.given_up": "how often torch on the processor took over from a back end that failed",
    "calibration": "`stated` for `output`, or `none`: covariances are not to be trusted",
    "datum": "latitude and longitude of the origin of `map`",
    "images.received": "images that reached the callback",
    "images.answered": "images that got a pose",
    "images.pending": "received, neither answered nor dropped yet: 0 or 1",
    "images.lost": "images that DDS says it lost",
    "image.newest_drop": "the newest reason for a dropped image, with its sentence",
    "image.encoding": "encoding of the newest image",
    "image.stamp_age_s": "how old the newest image's stamp was when it arrived; negative: ahead of the clock",
    "image.entropy": "bits of brightness in the newest image: near 0 for a blank one",
    "image.frozen_s": "for how long the same picture has been coming",
    "dropped.*": "images that got none, by reason: the table above",
    "status.*": "answers by status: `ok`, `ambiguous`, `edge`, `uninformative`",
    "track.state": "`waiting_prior`, `acquiring`, `tracking`, `degraded`, `lost` or `fault`",
    "track.cause": "why it is in that state",
    "track.since_s": "for how long",
    "track.suspect": "which of image, GNSS and dead reckoning disagree; empty where none does",
    "track.spread_m": "one sigma of the particles, long axis",
    "track.mass": "share of the particles at the best place",
    "track.particles": "how many of the particles count",
    "track.gnss_bias_*": "what the receiver is off by, metres east and north, as estimated",
    "track.gnss_share": "how much the newest fix counted: 1 as expected, towards 0 as an outlier",
    "track.protection_*": "metres across and along the vehicle that the error passes with the risk stated",
    "track.degrees_of_freedom": "of Student's t with the published covariance, the law of errors; `inf` is a Gaussian",
    "track.priors_set": "poses taken from `initialpose`",
    "track.priors_refused": "poses of another frame, without numbers or variances, or before there is a datum",
    "latency_ms.*": "median and 90th percentile from arrival to pose, over the last 100 images",
    "age_s.*": "seconds since the last image, fix and answer",
    "publishers.*": "how many nodes publish each input",
    "gnss.accepted": "fixes taken",
    "gnss.sigma_default": "fixes that state no covariance",
    "gnss.sigma_source": "where the newest fix's sigma comes from: `stated` or `default`",
    "gnss.gated": "fixes that counted for next to nothing, as outliers",
    "gnss.rejected.*": "fixes refused: no fix, NaN, out of range, out of order, a jump, …",
    "imu.rejected.*": "IMU messages refused",
    "odometry.rejected.*": "odometry messages refused",
    "attitude.rejected.*": "attitudes refused",
    "motion.rejected.*": "speeds and yaw rates refused",
    "qos.incompatible": "publishers and subscribers that cannot hear this node, or it them: 0",
    "qos.incompatible.*": "those by topic",
    "camera_info.size": "width x height of the newest usable CameraInfo",
    "camera_info.problem": "why the newest CameraInfo cannot be used",
    "camera_info.rejected": "CameraInfo messages that cannot be used",
    "path.accepted": "paths along which the map is fetched",
    "path.rejected.*": "paths in another frame or with NaN",
    "tf.sent": "transforms broadcast",
    "tf.refused": "transforms held back: another node broadcasts, or we have not listened long enough",
    "tf.missing.*": "transforms that were needed and not known: `odom`, or base and sensor",
    "mount.compared": "images that the mount was compared with",
    "mount.*": "height and angles of the camera as the drive shows them, with one sigma",
    "debug.saved": "how often frames were saved",
    "debug.failed": "1 where saving failed and is switched off",
    "clock.jumps_back": "how often the clock was set back",
    "callback_errors.*": "what should never happen, by callback",
    "map.state": "`local`, `online`, `degraded` or `offline`",
    "map.cause": "why the service is not online",
    "map.since_s": "for how long",
    "map.tile": "the newest tile: `full`, `stale` (past its age), `partial` or `none`",
    "map.tiles.*": "how many tiles were so",
    "map.ahead": "complete places ahead / all places ahead",
    "map.preload_left": "tiles of `~/preload_map` still to come",
    "map.service.*": "requests, answers and failures of the service, by cause",
}


def key_pattern(key: str) -> str | None:
    """The entry of KEYS that describes a key of the diagnostics, None where none does."""
    return next((pattern for pattern in KEYS if fnmatchcase(key, pattern)), None)
