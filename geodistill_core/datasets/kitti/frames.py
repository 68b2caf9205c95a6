# SPDX-License-Identifier: Apache-2.0
"""KITTI's frames: which files belong together, and by how much each satellite image is displaced."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from geodistill_core.datasets.draws import Draws
from geodistill_core.datasets.files import read_lines
from geodistill_core.errors import DatasetError

Part = Literal["train", "test1", "test2"]
PARTS: tuple[Part, ...] = ("train", "test1", "test2")
"""test1 was driven in the area of the training frames, test2 elsewhere."""

_NAME = re.compile(r"\d{4}_\d{2}_\d{2}/\d{4}_\d{2}_\d{2}_drive_\d{4}_(?:sync|extract)/\d{10}\.png")
_REMEDY = "use the published lists for cross-view localization on KITTI"


@dataclass(frozen=True, slots=True)
class Displacement:
    """Where the camera lies on a displaced satellite image, as shares of the largest displacement, in [-1, 1].

    Before the image is turned, the camera lies `right` (along its heading) and `up` (to its left) of the centre; then
    the image is turned counter-clockwise by `turn` of the largest rotation. Published code: gt_u, gt_v and theta.
    """

    right: float
    up: float
    turn: float


@dataclass(frozen=True, slots=True)
class KittiFrame:
    """One frame, called DAY/DRIVE/NUMBER.png; test lists fix its displacement, training lists leave it to chance."""

    root: Path
    name: str
    displacement: Displacement | None = None

    @property
    def drive(self) -> str:
        """The drive's own name, with its day."""
        return Path(self.name).parent.name

    @property
    def satellite(self) -> Path:
        """The north-up satellite image, 1280 pixels square, centred on the position of the inertial unit."""
        return self.root / "satmap" / self.name

    @property
    def ground(self) -> Path:
        """The image of the left colour camera (number 02), rectified."""
        return self._drive / "image_02" / "data" / Path(self.name).name

    @property
    def oxts(self) -> Path:
        """The record of the inertial unit."""
        return self._drive / "oxts" / "data" / f"{Path(self.name).stem}.txt"

    @property
    def calibration(self) -> Path:
        """The day's calibration of the cameras."""
        return self._drive.parent / "calib_cam_to_cam.txt"

    @property
    def _drive(self) -> Path:
        return self.root / "raw_data" / Path(self.name).parent


def list_file(folder: Path, part: Part) -> Path:
    """Where the published list of a part lies."""
    return folder / f"{part}_files.txt"


def read_frames(path: Path, root: Path) -> list[KittiFrame]:
    """The frames of one list: `NAME` alone (training), or `NAME right up turn` (test).

    Raises:
        DatasetError: the file is missing, or a line is malformed (the message names it).
    """
    return [parse_frame(line, root, f"{path}, line {number}") for number, line in read_lines(path, _REMEDY)]


def draw_displacement(draws: Draws) -> Displacement:
    """A training displacement. Published code draws the image's shift, whose negative the camera's place is."""
    x, y, turn = (draws.uniform(-1.0, 1.0) for _ in range(3))
    return Displacement(-x, -y, turn)


def parse_frame(line: str, root: Path, where: str) -> KittiFrame:
    """The frame of one line; `where` names the line in messages.

    Raises:
        DatasetError: the line is malformed.
    """
    fields = line.split()
    if len(fields) not in (1, 4):
        raise DatasetError(f"{where} has {len(fields)} fields, not 1 (a name) or 4 (with a displacement); {_REMEDY}")
    if not _NAME.fullmatch(fields[0]):
        raise DatasetError(f"{where}: {fields[0]!r} is not named DAY/DRIVE/NUMBER.png; {_REMEDY}")
    return KittiFrame(root, fields[0], _displacement(fields[1:], where) if fields[1:] else None)


def _displacement(fields: list[str], where: str) -> Displacement:
    try:
        shares = [float(field) for field in fields]
    except ValueError as error:
        raise DatasetError(f"{where}: displacement {' '.join(fields)} holds no number; {_REMEDY}") from error
    if not all(math.fabs(share) <= 1.0 for share in shares):
        raise DatasetError(f"{where}: displacement {' '.join(fields)} is outside -1..1; {_REMEDY}")
    return Displacement(*shares)
