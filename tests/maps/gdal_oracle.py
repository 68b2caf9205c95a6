# SPDX-License-Identifier: Apache-2.0
"""GDAL's own warp into a local orthographic projection, an independent maker of north-up tiles."""

from __future__ import annotations

import cv2
import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject

from geodistill_core.types import GeoPoint


def gdal_tile(path, center: GeoPoint, side: int, metres_per_pixel: float, bands=(1, 2, 3)) -> np.ndarray:
    """[side, side, bands] uint8, bilinear (area-weighted when shrinking)."""
    with rasterio.open(path) as dataset:
        source = dataset.read(list(bands))
        warped = np.zeros((len(bands), side, side), np.uint8)
        reach = side / 2 * metres_per_pixel
        origin = f"+lat_0={center.latitude!r} +lon_0={center.longitude!r}"
        reproject(
            source,
            warped,
            src_transform=dataset.transform,
            src_crs=dataset.crs,
            dst_crs=f"+proj=ortho {origin} +datum=WGS84 +units=m",
            dst_transform=from_origin(-reach, reach, metres_per_pixel, metres_per_pixel),
            resampling=Resampling.bilinear,
        )
    return np.moveaxis(warped, 0, 2)


def shift_px(first: np.ndarray, second: np.ndarray) -> float:
    """How far two pictures of the same size are displaced against each other, in pixels."""
    grey = [np.ascontiguousarray(image.astype(np.float32).mean(axis=2)) for image in (first, second)]
    window = cv2.createHanningWindow(grey[0].shape[::-1], cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(grey[0], grey[1], window)
    return float(np.hypot(dx, dy))
