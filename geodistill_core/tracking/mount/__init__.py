# SPDX-License-Identifier: Apache-2.0
"""Self-calibration of the camera's mounting: height, pitch, roll and yaw from what the images show over a drive."""

from geodistill_core.tracking.mount.estimate import MountEstimate
from geodistill_core.tracking.mount.estimator import MountCalibrator, MountConfig
from geodistill_core.tracking.mount.evidence import LikelihoodSource
from geodistill_core.tracking.mount.file import mount_file

__all__ = ["LikelihoodSource", "MountCalibrator", "MountConfig", "MountEstimate", "mount_file"]
