# SPDX-License-Identifier: Apache-2.0
"""What a data set on a disk holds, what is missing or broken, and whether training and test share ground."""

from geodistill_core.datasets.check.kitti import check_kitti
from geodistill_core.datasets.check.leak import GroundPlaces, Overlap, find_overlap, refuse_leak
from geodistill_core.datasets.check.report import CheckReport, Finding
from geodistill_core.datasets.check.vigor import check_vigor

__all__ = [
    "CheckReport",
    "Finding",
    "GroundPlaces",
    "Overlap",
    "check_kitti",
    "check_vigor",
    "find_overlap",
    "refuse_leak",
]
