# SPDX-License-Identifier: Apache-2.0
"""Camera and noisy GNSS in, 3-DoF pose with covariance out: cross-view localization on satellite imagery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geodistill_core.types import (
    CameraModel,
    Estimate,
    GeoPoint,
    GroundImage,
    HeatMap,
    MapTile,
    Prior,
    Status,
    forward_optical_mount,
    level_mount,
)

if TYPE_CHECKING:
    from geodistill_core.bags.drive_writer import DriveWriter
    from geodistill_core.localization.localizer import Localizer, LocalizerConfig
    from geodistill_core.maps import open_map

__version__ = "0.1.0"
__all__ = [
    "CameraModel",
    "DriveWriter",
    "Estimate",
    "GeoPoint",
    "GroundImage",
    "HeatMap",
    "Localizer",
    "LocalizerConfig",
    "MapTile",
    "Prior",
    "Status",
    "forward_optical_mount",
    "level_mount",
    "open_map",
]


def __getattr__(name: str) -> object:
    """Import torch and rasterio only when something that needs them is asked for."""
    if name in ("Localizer", "LocalizerConfig"):
        from geodistill_core.localization import localizer

        return getattr(localizer, name)
    if name == "DriveWriter":
        from geodistill_core.bags.drive_writer import DriveWriter

        return DriveWriter
    if name == "open_map":
        from geodistill_core.maps import open_map

        return open_map
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
