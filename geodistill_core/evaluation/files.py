# SPDX-License-Identifier: Apache-2.0
"""What an evaluation leaves on disk: stable JSON, trajectories in TUM format, versions."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from geodistill_core import __version__
from geodistill_core.evaluation.metrics import FrameResult
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import placed
from geodistill_core.types import GeoPoint

# nine decimals of a degree are a tenth of a millimetre
FLOAT_DIGITS = 9
VERSIONED = ("torch", "numpy", "opencv-python-headless", "pyproj", "rosbags")


def versions(distributions: Iterable[str] = VERSIONED) -> dict[str, str]:
    """Version of this package, of Python and of each distribution that is installed."""
    found = {"geodistill": __version__, "python": platform.python_version()}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def to_json(payload: Any) -> str:
    """Sorted keys, nine decimals, null for NaN and infinity, a final newline: same input, same bytes."""
    return json.dumps(_clean(payload), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, float):
        # adding zero turns -0.0 into 0.0
        return round(value, FLOAT_DIGITS) + 0.0 if math.isfinite(value) else None
    return value


def write_json(path: Path, payload: Any) -> None:
    """Write `to_json(payload)`, creating the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(payload), encoding="utf-8")


def write_tum(folder: Path, results: Sequence[FrameResult]) -> list[Path]:
    """Write `estimate.tum` and `truth.tum` (s, x east, y north, z 0, quaternion) in one ENU frame.

    The origin is the first truth, or the first answer where there is no truth. A file of an earlier run for which
    there are no poses now is removed. Returns the files written.
    """
    answers = [(r.stamp_ns, r.answer) for r in results if r.answer is not None]
    truths = [(r.stamp_ns, r.truth) for r in results if r.truth is not None]
    first = truths[0][1] if truths else answers[0][1] if answers else None
    written = []
    for name, poses in (("estimate", answers), ("truth", truths)):
        path = folder / f"{name}.tum"
        path.unlink(missing_ok=True)
        if first is not None and poses:
            frame = LocalFrame(GeoPoint(first.latitude, first.longitude))
            path.write_text("".join(_tum_lines(poses, frame)), encoding="utf-8")
            written.append(path)
    return written


def _tum_lines(poses: Sequence[tuple[int, Any]], frame: LocalFrame) -> Iterator[str]:
    latitude, longitude, yaw_rad = np.array([(p.latitude, p.longitude, p.yaw_enu_rad) for _, p in poses]).T
    east_m, north_m, turn = placed(frame, latitude, longitude)
    half = (yaw_rad + turn) / 2.0
    # rounding before adding zero keeps "-0.000000" out of the file
    place = np.round(np.stack([east_m, north_m, np.zeros(len(poses))], axis=1), 6) + 0.0
    for (stamp_ns, _), (x, y, z), z_q, w_q in zip(poses, place, np.sin(half), np.cos(half), strict=True):
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        yield (f"{seconds}.{nanoseconds:09d} {x:.6f} {y:.6f} {z:.6f} 0.000000000 0.000000000 {z_q:.9f} {w_q:.9f}\n")
