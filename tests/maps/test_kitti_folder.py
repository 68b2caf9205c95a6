# SPDX-License-Identifier: Apache-2.0
"""KITTI's satellite images as a map: their places come from the inertial unit's records."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from geodistill_core.errors import MapError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps import open_map
from geodistill_core.types import GeoPoint

START = GeoPoint(49.015, 8.434)
DRIVE = "2011_09_26/2011_09_26_drive_0001_sync"


def place(root, frame: int, east_m: float, level: int, *, with_record: bool = True) -> None:
    """An image of one grey with a white square of 10 pixels around its centre."""
    image = np.full((1280, 1280, 3), level, np.uint8)
    image[635:645, 635:645] = 255
    path = root / f"satmap/{DRIVE}/{frame:010d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    if with_record:
        point = LocalFrame(START).point(east_m, 0.0)
        record = root / f"raw_data/{DRIVE}/oxts/data/{frame:010d}.txt"
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(f"{point.latitude!r} {point.longitude!r} 112.8 0.02 0.01 -1.2 0.0\n")


@pytest.mark.parametrize("inner", ["", "satmap", "satmap/2011_09_26", f"satmap/{DRIVE}"])
def test_images_lie_where_the_records_say(tmp_path, inner):
    place(tmp_path, 0, 0.0, 60)
    place(tmp_path, 1, 200.0, 120)
    with open_map(tmp_path / inner) as map_:
        assert map_.info().kind == "kitti"
        # The published loaders' resolution, on a sphere, and ours, on the ellipsoid.
        assert map_.info().metres_per_pixel == pytest.approx(0.1958, rel=0.003)
        for east_m, level in ((0.0, 60), (200.0, 120)):
            tile = map_.tile(LocalFrame(START).point(east_m, 0.0), 40.0, 0.2)
            rows, columns = np.nonzero(tile.rgb[..., 0] > 200)
            assert (rows.mean(), columns.mean()) == pytest.approx((99.5, 99.5), abs=0.6) and tile.rgb[5, 5, 0] == level


def test_images_less_than_20_m_on_are_left_out(tmp_path):
    for frame, east_m in enumerate((0.0, 8.0, 19.0, 21.0)):
        place(tmp_path, frame, east_m, 60 + frame)
    with open_map(tmp_path) as map_:
        assert map_.tile(LocalFrame(START).point(9.0, 0.0), 4.0, 0.2).rgb.max() == 60
        assert map_.tile(LocalFrame(START).point(15.0, 0.0), 4.0, 0.2).rgb.max() == 63


def test_images_without_records_cannot_be_placed_and_the_remedy_is_named(tmp_path):
    place(tmp_path, 0, 0.0, 60, with_record=False)
    with pytest.raises(MapError, match=r"carry no position in themselves.*raw_data"):
        open_map(tmp_path / "satmap")
    place(tmp_path, 5, 100.0, 90)
    with open_map(tmp_path / "satmap") as map_:
        assert map_.tile(LocalFrame(START).point(100.0, 0.0), 40.0, 0.2).rgb[5, 5, 0] == 90
