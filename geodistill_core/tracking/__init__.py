# SPDX-License-Identifier: Apache-2.0
"""From single frames to a track: a Bayes filter over whole heat maps, its states, gates and claims."""

from geodistill_core.tracking.config import TrackerConfig
from geodistill_core.tracking.pose import TrackedPose
from geodistill_core.tracking.states import TrackState
from geodistill_core.tracking.tracked import TrackedLocalizer
from geodistill_core.tracking.tracker import Tracker

__all__ = ["TrackState", "TrackedLocalizer", "TrackedPose", "Tracker", "TrackerConfig"]
