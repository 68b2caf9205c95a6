# SPDX-License-Identifier: Apache-2.0
"""One real panorama, where it was taken, and its real satellite tile as a map."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from geodistill_core import GeoPoint, open_map
from geodistill_core.geometry.geodesy import LocalFrame

SAMPLE = Path(__file__).resolve().parents[2] / "../shared/data/vigor_sample"
NEEDS_SAMPLE = pytest.mark.skipif(not SAMPLE.is_dir(), reason="shared/data/vigor_sample is not beside the checkout")
CAMERA_HEIGHT_M = 2.5


def open_street():
    """The panorama (centre column north), the position where it was taken, and the map."""
    meta = json.loads((SAMPLE / "meta.json").read_text())
    rgb = np.ascontiguousarray(cv2.imread(str(SAMPLE / "pano.png"))[..., ::-1])
    tile_name = Path(meta["tile"]).stem.split("_")
    frame = LocalFrame(GeoPoint(float(tile_name[1]), float(tile_name[2])))
    scale, pixel = meta["metres_per_pixel"], meta["camera_pixel"]
    east_m, north_m = (pixel["col"] - 320) * scale, (320 - pixel["row"]) * scale
    return rgb, frame.point(east_m, north_m), open_map(SAMPLE / "satellite")
