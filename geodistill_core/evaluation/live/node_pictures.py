# SPDX-License-Identifier: Apache-2.0
"""The node's pictures as recordings keep them: JPEG in place of raw images, as an offline replay writes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from geodistill_core.bags import compose
from geodistill_core.bags.messages import stamp_ns
from geodistill_core.bags.topics import IMAGE_COMPRESSED, IMAGE_RAW
from geodistill_core.bags.writer import typestore
from geodistill_core.evaluation.result_bag import JPEG_QUALITY, MAP_FRAME
from geodistill_core.localization.overlay import heatmap_picture
from geodistill_core.types import Array

OCCUPANCY_GRID = "nav_msgs/msg/OccupancyGrid"


def overlay_jpeg(cdr: bytes) -> bytes:
    """An encoded `sensor_msgs/Image`, rgb8 without padding, as an encoded `CompressedImage` of the same stamp."""
    image = typestore().deserialize_cdr(cdr, IMAGE_RAW)
    return _compressed(image, image.data.reshape(image.height, image.width, 3))


def heatmap_jpeg(cdr: bytes) -> bytes:
    """An encoded `nav_msgs/OccupancyGrid` (percent of the peak, row 0 in the south) as its thumbnail."""
    grid = typestore().deserialize_cdr(cdr, OCCUPANCY_GRID)
    percent = np.asarray(grid.data, dtype=np.float64).reshape(grid.info.height, grid.info.width)
    return _compressed(grid, heatmap_picture(percent[::-1]))


def _compressed(message: Any, rgb: Array) -> bytes:
    picture = compose.compressed_image(stamp_ns(message.header), rgb, MAP_FRAME, JPEG_QUALITY)
    return bytes(typestore().serialize_cdr(picture, IMAGE_COMPRESSED))
