# SPDX-License-Identifier: Apache-2.0
"""What the published loaders make of seeded data sets: samples of VIGOR and KITTI, their labels and dense targets.

Arrays whose meaning their names do not tell, found from their values:

- `delta`, `delta_label`: (row, column) of the label as it stands in the file; where a teacher's prediction replaces the
  label, the prediction. `sat_delta` and the first two of `gt_xy_rot_mpp`: (east, south) in quarter tiles.
- third of `gt_xy_rot_mpp`: the draw in -1..1, also where its range is 0 and the panorama stays unturned (`rr0`).
- GeoDistill draws the visible field of view, the first masked degree and the orientation, in this order.
- `mask_cols_first_last_n`: the masked columns; `masked_fov`: degrees masked of 360, also for a pinhole image.
- `gt_patch9`: nine by nine around the peak; `gto_*`: the heading volume, max-pooled where the name says so.
- `uvt`: right, up and turn of a KITTI displacement; `rr` is the range of rotation in degrees, GeoDistill trains at 0.
- `satalign`: turned to the heading and centred on the camera, not displaced. Its rotation takes nearest pixels.
"""

from __future__ import annotations

import functools
import math
import re
import tempfile
from pathlib import Path

import cv2
import numpy as np
import PIL
import torch
from geodistill_training.masks import KITTI_VISIBLE_DEG, VIGOR_VISIBLE_DEG, column_mask, draw_hidden_band
from torch.nn import functional as F

from geodistill_core.datasets import heatmap_targets
from geodistill_core.datasets.draws import LegacyDraws
from geodistill_core.datasets.files import read_rgb
from geodistill_core.datasets.kitti import frames
from geodistill_core.datasets.kitti import pairs as kitti
from geodistill_core.datasets.kitti.records import read_oxts
from geodistill_core.datasets.vigor import pairs as vigor
from geodistill_core.datasets.vigor.labels import TileOffset
from geodistill_core.datasets.vigor.splits import read_split, weak_split
from geodistill_core.models.bev import published_bev, published_grid
from tests.parity import fake_trees
from tests.parity.pack import CutDown, Pack, Within
from tests.parity.producers import produces
from tests.parity.recipes import MEAN, STD

# The goldens' resampling libraries; another version may round half a grey level the other way.
GOLDEN_OPENCV, GOLDEN_PILLOW = "5.0.0", "13.0.0"
GREY_LEVELS_OF_ANOTHER_VERSION = 1.0

ORIENTATION_RANGE_DEG = 45.0
GEODISTILL_TEST_SHARES = (0.35, -0.62, 0.4)
VIGOR_CHANNELS, KITTI_CHANNELS = 20, 16


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that vanishes with the process."""
    return tempfile.TemporaryDirectory(prefix="geodistill-parity-")


@functools.cache
def _vigor_tree() -> Path:
    return fake_trees.write_vigor(Path(_folder().name) / "vigor")


def _kitti_frame(*shares) -> frames.KittiFrame:
    """The only frame of the KITTI tree, as a test list with these shares of right, up and turn gives it."""
    root = Path(_folder().name) / "kitti"
    if not root.exists():
        fake_trees.write_kitti(root)
    [frame] = frames.read_frames(fake_trees.write_test_list(root, *shares), root)
    return frame


def _stated(pack: Pack, pattern: str) -> list[float]:
    """The numbers, single or in lists, that the groups of a pattern find in the pack's recipe."""
    found = re.search(pattern, pack.inputs)
    return [float(number) for group in found.groups() for number in group.split(",")]


def _seed(pack: Pack, pattern: str = "") -> int:
    return int(_stated(pack, pattern + r"np\.random\.seed\((\d+)")[0])


def _grey_levels(version: str, golden_version: str) -> float:
    return 0.0 if version == golden_version else GREY_LEVELS_OF_ANOTHER_VERSION


def _pixels(picture):
    """A uint8 picture that OpenCV resized, in grey levels."""
    return Within(picture, _grey_levels(cv2.__version__, GOLDEN_OPENCV))


def _unit(picture):
    """A picture [H, W, 3] that Pillow resampled, [3, H, W] in 0..1."""
    value = torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255.0
    return Within(value, _grey_levels(PIL.__version__, GOLDEN_PILLOW) / 255.0)


def _normalized(picture):
    unit = _unit(picture)
    return Within((unit.value - MEAN) / STD, unit.limit / float(STD.min()))


def _rotation_deg(pack: Pack):
    """Ranges of rotation that stand in the pack's names: `rr180` is 180."""
    return sorted({int(part[2:]) for name in pack.entries for part in name.split("_") if part[:2] == "rr"})


def _dense_targets(south_px, east_px, angle_deg, channels):
    """Every array about CCVPE's targets, from the camera's place in pixels of the 512-pixel tile."""
    peak = heatmap_targets.gaussian(south_px, east_px, geometry="compat")
    volume = heatmap_targets.heading_volume(peak, angle_deg, channels)
    row, column = divmod(int(peak.argmax()), peak.shape[1])
    pooled = F.max_pool2d(volume.unsqueeze(0), 32)[0]
    return {
        "gt": peak.unsqueeze(0),
        "gt_argmax_rc": np.array([row, column]),
        "gt_patch9": peak[row - 4 : row + 5, column - 4 : column + 5],
        "gt_sum": peak.double().sum().reshape(1),
        "gto_sum_per_bin": volume.double().sum(dim=(1, 2)),
        "gto_pool64": F.max_pool2d(volume.unsqueeze(0), 64)[0],
        "gto_pool32_sum": pooled.double().sum(dim=(1, 2)),
        "ori_cs": heatmap_targets.orientation_map(angle_deg)[:, 0, 0],
    }


def _vigor_targets(offset: TileOffset, angle_deg: float):
    east, south = (128.0 * quarter for quarter in offset.rounded_quarter_tiles())
    targets = _dense_targets(south, east, angle_deg, VIGOR_CHANNELS)
    return targets | {"delta": np.array([offset.row, offset.column])}


def _prefixed(prefix, arrays):
    return {f"{prefix}_{name}": array for name, array in arrays.items()}


@produces("data_ccvpe")
def data_ccvpe(pack: Pack):
    samples = read_split(_vigor_tree(), "same", "train")
    got = {"n": np.array([len(samples)])}
    for i, angle in enumerate(_stated(pack, r"orientation per sample ([-\d.,]+) deg")):
        pair = vigor.load_pair(samples[i], vigor.ANTIALIASED, angle / 360.0)
        arrays = {"sat": _normalized(pair.tile), "grd": _normalized(pair.panorama), "angle": np.array([angle])}
        got |= _prefixed(f"s{i}", arrays | _vigor_targets(samples[i].offsets[0], angle))
    return got


@produces("data_adapting")
def data_adapting(pack: Pack):
    samples = read_split(_vigor_tree(), "cross", "test")
    pseudo_labelled = _stated(pack, r"samples ([\d,]+) use pred_delta")
    prediction = TileOffset(*_stated(pack, r"pred_delta \(([-\d.,]+)\)"))
    got = {}
    for i, turn in enumerate(_stated(pack, r"predefined rotations ([-\d.,]+) turns")):
        offset = prediction if i in pseudo_labelled else samples[i].offsets[0]
        pair = vigor.load_pair(samples[i], vigor.ANTIALIASED, turn)
        got |= _prefixed(f"s{i}", {"grd": _normalized(pair.panorama)} | _vigor_targets(offset, turn * 360.0))
    return got


@produces("data_g2sweakly")
def data_g2sweakly(pack: Pack):
    samples = read_split(_vigor_tree(), "same", "train")
    order = np.concatenate(weak_split(len(samples)))
    got = {"order": order}
    for rotation_deg in _rotation_deg(pack):
        for i in range(4):
            sample, draw = samples[order[i]], LegacyDraws(_seed(pack) + i).uniform(-1, 1)
            pair = vigor.load_pair(sample, vigor.ANTIALIASED, draw * rotation_deg / 360.0)
            east, south = sample.offsets[0].rounded_quarter_tiles()
            arrays = {
                "delta": np.array([sample.offsets[0].row, sample.offsets[0].column]),
                "gt_xy_rot_mpp": np.array([east, south, draw, pair.metres_per_pixel]),
                "grd": _unit(pair.panorama),
                "sat": _unit(pair.tile),
            }
            got |= _prefixed(f"rr{rotation_deg}_s{i}", arrays)
    return got


@produces("data_kitti_ccvpe")
def data_kitti_ccvpe(pack: Pack):
    frame = _kitti_frame(*_stated(pack, r"test line shift_x (\S+) shift_y (\S+) theta ([-\d.]+)"))
    drawn = frames.draw_displacement(LegacyDraws(_seed(pack)))
    got = {}
    for rotation_deg in _rotation_deg(pack):
        for part, displacement in (("test", frame.displacement), ("train", drawn)):
            pair = kitti.load_pair(frame, displacement, rotation_deg, kitti.CCVPE_MAP_PX)
            turned = math.radians(displacement.turn * rotation_deg)
            place = heatmap_targets.kitti_offset_px(*kitti.camera_px(displacement), turned, geometry="compat")
            angle_deg = kitti.ccvpe_angle_deg(displacement, rotation_deg)
            arrays = {"sat": _normalized(pair.tile), "grd": _normalized(pair.ground), "angle": np.array([angle_deg])}
            targets = _dense_targets(*place, angle_deg, KITTI_CHANNELS)
            got |= _prefixed(f"{part}_rr{rotation_deg}", arrays | targets)
    return got


@produces("data_geodistill")
def data_geodistill(pack: Pack):
    samples = read_split(_vigor_tree(), "same", "train")
    order = np.concatenate(weak_split(len(samples)))
    got = {"shuffled_order": order} | _prefixed("kitti", _geodistill_kitti(pack))
    for i in range(len([name for name in pack.entries if name.endswith("_ori_angle")])):
        draws = LegacyDraws(_seed(pack, r"sample i read with ") + i)
        got |= _prefixed(f"s{i}", _geodistill_vigor(samples[order[i]], draws))
    return got


def _geodistill_vigor(sample, draws):
    band = draw_hidden_band(draws, VIGOR_VISIBLE_DEG)
    orientation_deg = draws.uniform(-ORIENTATION_RANGE_DEG, ORIENTATION_RANGE_DEG)
    straight = vigor.load_pair(sample, vigor.GEODISTILL)
    turned = vigor.load_pair(sample, vigor.GEODISTILL, orientation_deg / 360.0)
    return {
        "bev": CutDown(published_bev(turned.panorama, published_grid(512)).clamp(0, 255)),
        "delta_label": np.array([sample.offsets[0].row, sample.offsets[0].column]),
        "mask_cols_first_last_n": _masked_columns(straight.panorama, band),
        "masked_fov": np.array([band[1] - band[0]]),
        "mpp": np.array([straight.metres_per_pixel]),
        "ori_angle": np.array([orientation_deg]),
        "pano": _pixels(straight.panorama),
        "rot_pano": _pixels(turned.panorama),
        "sat": _pixels(straight.tile.transpose(2, 0, 1)),
        "sat_delta": np.array(sample.offsets[0].quarter_tiles()),
    }


def _geodistill_kitti(pack: Pack):
    frame, draws = _kitti_frame(*GEODISTILL_TEST_SHARES), LegacyDraws(_seed(pack, "KITTI train "))
    drawn = frames.draw_displacement(draws)
    band = draw_hidden_band(draws, KITTI_VISIBLE_DEG)
    aligned = kitti.align(read_rgb(frame.satellite), read_oxts(frame.oxts).yaw_enu_rad)
    got = {}
    for name, shown, rotation_deg in (
        ("train", drawn, 0),
        *((f"test_rr{degrees}", frame.displacement, degrees) for degrees in _rotation_deg(pack)),
    ):
        pair = kitti.load_pair(frame, shown, rotation_deg, kitti.GEODISTILL_MAP_PX)
        got |= {f"{name}_sat": _unit(pair.tile), f"{name}_uvt": np.array([shown.right, shown.up, shown.turn])}
    return got | {
        "K": pair.intrinsics,
        "grd": _unit(pair.ground),
        "mask_cols_first_last_n": _masked_columns(pair.ground, band),
        "meter_per_pixel_native": np.array([kitti.METRES_PER_PIXEL]),
        "shift_range_px": np.array([kitti.camera_px(frames.Displacement(1.0, 0.0, 0.0))[0]]),
        "train_satalign": _unit(kitti.center_crop(aligned, kitti.GEODISTILL_MAP_PX)),
    }


def _masked_columns(picture, band_deg):
    hidden = np.flatnonzero(column_mask(*picture.shape[:2], band_deg)[0] == 0)
    return np.array([hidden[0], hidden[-1], len(hidden)])
