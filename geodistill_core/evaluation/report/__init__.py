# SPDX-License-Identifier: Apache-2.0
"""The self-contained HTML report."""

from geodistill_core.evaluation.report.gallery import FrameGallery, GalleryFrame
from geodistill_core.evaluation.report.page import Report, render_report

__all__ = ["FrameGallery", "GalleryFrame", "Report", "render_report"]
