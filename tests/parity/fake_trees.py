# SPDX-License-Identifier: Apache-2.0
"""Small VIGOR and KITTI trees of seeded pictures, laid out as the data sets lie on a disk."""

from __future__ import annotations

from pathlib import Path

import cv2

from tests.parity import recipes

CITIES = ("NewYork", "Seattle", "SanFrancisco", "Chicago")
SAMPLES_PER_CITY = 4
_OFFSETS = ((71, -141), (-72, 125), (0, 0), (160, -3.5))
_SEMI_POSITIVE = "300.0 -310.0"
_LISTS = ("same_area_balanced_train", "same_area_balanced_test", "pano_label_balanced")

DRIVE = "2011_09_26/2011_09_26_drive_0005_sync"
FRAME = f"{DRIVE}/0000000048.png"


def write_vigor(root: Path) -> Path:
    """Four cities of four samples each; every list of a city holds the same four."""
    for c, city in enumerate(CITIES):
        names = [f"satellite_{40 + c}.{i}_-{70 + c}.{i}.png" for i in range(SAMPLES_PER_CITY)]
        panoramas = [f"fake{c}{i},{40 + c}.{i},-{70 + c}.{i},.jpg" for i in range(SAMPLES_PER_CITY)]
        for i in range(SAMPLES_PER_CITY):
            _write_picture(root / city / "satellite" / names[i], 1000 + 10 * c + i, (640, 640), 32)
            _write_picture(root / city / "panorama" / panoramas[i], 2000 + 10 * c + i, (1024, 2048), 64)
        lines = [_label_line(panoramas[i], names, i, c) for i in range(SAMPLES_PER_CITY)]
        folder = root / "splits__corrected" / city
        folder.mkdir(parents=True)
        for name in _LISTS:
            (folder / f"{name}__corrected.txt").write_text("".join(lines))
        (folder / "satellite_list.txt").write_text("".join(f"{name}\n" for name in names))
    return root


def _label_line(panorama: str, tiles: list[str], i: int, c: int) -> str:
    row, column = _OFFSETS[i][0] + c, _OFFSETS[i][1] - 2 * c
    others = [f"{tiles[(i + step) % len(tiles)]} {_SEMI_POSITIVE}" for step in (1, 2, 3)]
    return " ".join([panorama, f"{tiles[i]} {row:.1f} {column:.1f}", *others]) + "\n"


def write_kitti(root: Path) -> Path:
    """One drive of one frame: ground and satellite picture, IMU record, calibration, and the training list."""
    drive = root / "raw_data" / DRIVE
    frame = Path(FRAME).name
    _write_picture(root / "satmap" / FRAME, 3001, (1280, 1280), 32)
    _write_picture(drive / "image_02" / "data" / frame, 3002, (375, 1242), 32)
    record = drive / "oxts" / "data" / f"{Path(frame).stem}.txt"
    record.parent.mkdir(parents=True)
    record.write_text(" ".join(["49.015", "8.43", "112.8", "0.0", "0.0", "0.6", *["0.0"] * 24]) + "\n")
    matrix = "7.215377e+02 0.0 6.095593e+02 0.0 0.0 7.215377e+02 1.728540e+02 0.0 0.0 0.0 1.0 0.0"
    calibration = f"calib_time: 09-Jan-2012 13:57:47\nP_rect_02: {matrix}\n"
    (drive.parent / "calib_cam_to_cam.txt").write_text(calibration)
    (root / "train_files.txt").write_text(f"{FRAME}\n")
    return root


def write_test_list(root: Path, right: float, up: float, turn: float) -> Path:
    """The test list of the one frame, displaced by these shares."""
    path = root / "test1_files.txt"
    path.write_text(f"{FRAME} {right} {up} {turn}\n")
    return path


def _write_picture(path: Path, seed: int, size: tuple[int, int], division: int) -> None:
    """A seeded picture, PNG inside whatever its name ends in: no pixel is lost."""
    rgb = recipes.img255(seed, (1, 3, *size), division)[0].permute(1, 2, 0).byte().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    path.write_bytes(encoded.tobytes())
