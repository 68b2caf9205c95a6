# SPDX-License-Identifier: Apache-2.0
"""Small trees laid out as VIGOR's and KITTI's, with pictures of noise; numbers are chosen here, and checked there."""

import math

import cv2
import numpy as np

from geodistill_core.types import GeoPoint

CITY = "Chicago"
MIDDLE = GeoPoint(41.88, -87.63)
TILE_PX = 640
# (row, column) offsets of the labels: row grows south, column grows west.
OFFSETS = [(40.0, -25.0), (-71.0, 90.0), (5.0, 120.0), (-33.0, -14.0), (150.0, 77.0)]
LABELS = "same_area_balanced_test__corrected.txt"

DAY = "2011_09_30"
DRIVE = f"{DAY}_drive_0018_sync"
OTHER = f"{DAY}_drive_0028_sync"
K = (721.5377, 609.5593, 172.854)
# number: latitude, longitude, roll, pitch, yaw, forward speed, accelerations, rates
RECORDS = {
    3: (49.0101, 8.4202, 0.021, -0.013, 0.7, 9.5, (0.1, 0.2, 9.9), (0.01, 0.02, 0.03)),
    4: (49.0102, 8.4203, 0.022, -0.012, 0.8, 9.6, (0.2, 0.3, 9.8), (0.02, 0.03, 0.04)),
    9: (49.0107, 8.4209, 0.023, -0.011, -2.9, 9.7, (0.3, 0.4, 9.7), (0.03, 0.04, 0.05)),
}
SHARES = {3: (0.35, -0.62, 0.4), 4: (-0.5, 0.45, -0.7), 9: (0.1, 0.2, 1.0)}


def picture(index, width, height):
    """Smooth noise [height, width, 3]."""
    small = np.random.default_rng(index).integers(0, 255, (4, 8, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(rgb):
    return cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def png(rgb):
    return cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def vigor_tree(root, samples=5):
    """One city's same-area test part; panorama k is 64 x 32 and its tiles lie a kilometre from the others'."""
    lines = []
    for k in range(samples):
        fields = [f"p{k},{MIDDLE.latitude + k * 0.01:.6f},-87.630000,.jpg"]
        put(root / CITY / "panorama" / fields[0], jpeg(picture(k, 64, 32)))
        row, column = OFFSETS[k]
        for group in range(4):
            center = MIDDLE.latitude + k * 0.01 + group * 1e-4, MIDDLE.longitude
            name = f"satellite_{center[0]:.6f}_{center[1]:.6f}.png"
            put(root / CITY / "satellite" / name, png(np.full((TILE_PX, TILE_PX, 3), 20 * k + group, np.uint8)))
            fields += [name, f"{row + group}", f"{column}"]
        lines.append(" ".join(fields))
    put(root / "splits__corrected" / CITY / LABELS, "\n".join(lines) + "\n")
    return root


def frame_name(number, drive=DRIVE):
    return f"{DAY}/{drive}/{number:010d}.png"


def kitti_tree(root, listed=(4, 3, 9), stamps=True):
    """One drive whose list names frames out of order; its satellite images are 1280 pixels of one colour."""
    base = root / "raw_data" / DAY
    matrix = f"{K[0]} 0 {K[1]} 4.5 0 {K[0]} {K[2]} 0.2 0 0 1 0.002"
    put(base / "calib_cam_to_cam.txt", f"calib_time: 2012\nP_rect_02: {matrix}\n")
    for number in sorted(set(listed)):
        latitude, longitude, roll, pitch, yaw, speed, accelerations, rates = RECORDS[number]
        fields = [latitude, longitude, 112.8, roll, pitch, yaw, 1.0, 2.0, speed, 0.0, 0.0, *accelerations]
        fields += [0.0, 0.0, 0.0, *rates, *[0.0] * 10]
        put(base / DRIVE / "oxts" / "data" / f"{number:010d}.txt", " ".join(map(repr, fields)) + "\n")
        put(base / DRIVE / "image_02" / "data" / f"{number:010d}.png", png(picture(number, 124, 38)))
        put(root / "satmap" / frame_name(number), png(np.full((1280, 1280, 3), 30 + number, np.uint8)))
    if stamps:
        times = [f"2011-09-30 12:00:{n // 10:02d}.{n % 10}00000{n:03d}" for n in range(12)]
        put(base / DRIVE / "image_02" / "timestamps.txt", "\n".join(times) + "\n")
    lines = [f"{frame_name(number)} {' '.join(map(str, SHARES[number]))}\n" for number in listed]
    put(root / "test1_files.txt", "".join(lines))
    return root


def spherical(latitude, longitude, east_px, south_px, zoom=20):
    """Degrees of the point some pixels from another on the Web Mercator world of 256 * 2^zoom pixels."""
    world = 256 * 2**zoom
    y = math.asinh(math.tan(math.radians(latitude))) - 2 * math.pi * south_px / world
    return math.degrees(math.atan(math.sinh(y))), longitude + 360 * east_px / world
