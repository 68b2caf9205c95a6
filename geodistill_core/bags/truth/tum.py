# SPDX-License-Identifier: Apache-2.0
"""Trajectories in TUM format: `stamp x y z qx qy qz qw` a line, as evo and SLAM benchmarks write them."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import SimpleNamespace

from geodistill_core.bags.messages import euler, unit_quaternion
from geodistill_core.bags.truth.track import TruthPose
from geodistill_core.errors import BagError

COLUMNS = 8


def read_tum(path: Path) -> list[TruthPose]:
    """Poses of the base (x forward) in metres east and north of a datum; height, roll and pitch are dropped.

    Raises:
        BagError: the file cannot be read, holds no pose, or a line is malformed (named with its number).
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BagError(f"{path} cannot be read as a TUM trajectory: {error}; give a text file") from error
    poses = [_pose(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if _content(line)]
    if not poses:
        raise BagError(f"{path} holds no pose; a line is `stamp x y z qx qy qz qw`")
    return poses


def _content(line: str) -> str:
    return line.partition("#")[0].strip()


def _pose(line: str, place: str) -> TruthPose:
    words = _content(line).replace(",", " ").split()
    try:
        stamp, values = Decimal(words[0]), [float(word) for word in words[1:]]
    except (InvalidOperation, ValueError) as error:
        raise BagError(f"{place} holds a word that is no number; a line is `stamp x y z qx qy qz qw`") from error
    if len(words) != COLUMNS or not stamp.is_finite() or not all(map(math.isfinite, values)):
        raise BagError(f"{place} holds {len(words)} values, not {COLUMNS} finite ones: `stamp x y z qx qy qz qw`")
    quaternion = unit_quaternion(SimpleNamespace(**dict(zip("xyzw", values[3:], strict=True))))
    if quaternion is None:
        raise BagError(f"{place} holds a quaternion whose length is not 1; the order is qx qy qz qw")
    return TruthPose(int(stamp * 1_000_000_000), values[0], values[1], euler(*quaternion)[2])
