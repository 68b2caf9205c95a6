# SPDX-License-Identifier: Apache-2.0
"""Two runs over the same frames, frame by frame: reading run folders, and finding what belongs together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.evaluation.frame_table import SUFFIXES, read_frames
from geodistill_core.evaluation.metrics import FrameResult, scored
from geodistill_core.geometry.geodesy import offsets_enu_m
from geodistill_core.types import Array

FRAMES = "frames.csv"
FACTS = ("run.json", "metrics.json")
# two runs over the same frames have read the same truth; rounding of a message may differ
SAME_TRUTH_M = 0.01
# a group with fewer frames says nothing by itself
SMALLEST_GROUP = 20
REST = "others"
ERRORS = ("position_error_m", "lateral_error_m", "longitudinal_error_m", "yaw_error_deg")

Identity = tuple[str, int]


@dataclass(frozen=True)
class Run:
    """A run as it lies on disk: its frames, and what its run.json and metrics.json say."""

    name: str
    frames: Sequence[FrameResult]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pairs:
    """The frames of both runs, in the baseline's order within each group.

    `baseline` and `other` hold arrays [N] under the names of ERRORS (absolute, NaN where a frame was not localized or
    has no truth), and `localized` (0 or 1). `sizes` are the groups' lengths, `names` theirs, `frames` the baseline's.
    """

    frames: Sequence[FrameResult]
    baseline: Mapping[str, Array]
    other: Mapping[str, Array]
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    only_baseline: int
    only_other: int

    def difference(self, measure: str) -> Array:
        """Other minus baseline [N], NaN where either lacks it: negative errors are improvements."""
        return np.asarray(self.other[measure] - self.baseline[measure])


def read_run(path: Path) -> Run:
    """A run folder with frames.csv, or a table of frames itself.

    Raises ConfigError where there is none, DatasetError for a damaged one.
    """
    table = path / FRAMES if path.is_dir() else path
    if not table.exists() or table.suffix not in SUFFIXES:
        raise ConfigError(f"{path} is no run: give a folder with {FRAMES} or a table of frames (.csv, .parquet)")
    facts: dict[str, Any] = {}
    for name in FACTS if path.is_dir() else ():
        if (path / name).exists():
            facts |= _facts(path / name)
    return Run(path.resolve().name, read_frames(table), facts)


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise DatasetError(f"{path} is not JSON ({problem}); run it again") from problem
    if not isinstance(facts, dict):
        raise DatasetError(f"{path} holds {type(facts).__name__} and no facts by name; run it again")
    return facts


def named_apart(runs: Sequence[Run]) -> list[Run]:
    """The runs with different names: later ones of the same name get a number."""
    seen: Counter[str] = Counter()
    named = []
    for run in runs:
        seen[run.name] += 1
        named.append(Run(f"{run.name} ({seen[run.name]})", run.frames, run.facts) if seen[run.name] > 1 else run)
    return named


def pair(baseline: Run, other: Run) -> Pairs:
    """Bring the frames of two runs together, by name where every frame has its own, else by name and stamp.

    Raises ConfigError where no frame is in both, or where their truth differs; DatasetError for a frame twice in a run.
    """
    by_key = all(_has_own_keys(run.frames) for run in (baseline, other))
    left, right = (_by_identity(run, by_key) for run in (baseline, other))
    common = [identity for identity in left if identity in right]
    if not common:
        raise ConfigError(
            f"no frame of {other.name} ({len(right)}) is in {baseline.name} ({len(left)}); "
            "compare runs over the same drive or split"
        )
    groups = _groups(common)
    common = [identity for members in groups.values() for identity in members]
    ours, theirs = [left[identity] for identity in common], [right[identity] for identity in common]
    _check_truth(baseline, other, ours, theirs)
    return Pairs(
        ours,
        _measures(ours),
        _measures(theirs),
        tuple(groups),
        tuple(len(members) for members in groups.values()),
        len(left) - len(common),
        len(right) - len(common),
    )


def _has_own_keys(frames: Sequence[FrameResult]) -> bool:
    return all(frame.key for frame in frames) and len({frame.key for frame in frames}) == len(frames)


def _by_identity(run: Run, by_key: bool) -> dict[Identity, FrameResult]:
    found: dict[Identity, FrameResult] = {}
    for frame in run.frames:
        identity = (frame.key, 0 if by_key else frame.stamp_ns)
        if identity in found:
            raise DatasetError(f"{run.name} holds frame {identity[0]} {identity[1]} twice; write the run anew")
        found[identity] = frame
    return found


def _groups(identities: Sequence[Identity]) -> dict[str, list[Identity]]:
    """Frames by the folder part of their name: a drive, a city. Small groups go together."""
    groups: dict[str, list[Identity]] = {}
    for identity in identities:
        groups.setdefault(identity[0].rpartition("/")[0], []).append(identity)
    large = {name: members for name, members in groups.items() if len(members) >= SMALLEST_GROUP}
    rest = [identity for name, members in groups.items() if name not in large for identity in members]
    return large | ({REST if large else "": rest} if rest else {})


def _check_truth(baseline: Run, other: Run, ours: Sequence[FrameResult], theirs: Sequence[FrameResult]) -> None:
    both = [(a.truth, b.truth, a.stamp_ns) for a, b in zip(ours, theirs, strict=True) if a.truth and b.truth]
    rows = [(b.latitude, b.longitude, a.latitude, a.longitude) for a, b, _ in both]
    apart = np.hypot(*offsets_enu_m(*np.array(rows, dtype=np.float64).reshape(-1, 4).T))
    if both and float(np.max(apart)) > SAME_TRUTH_M:
        worst = int(np.argmax(apart))
        raise ConfigError(
            f"{baseline.name} and {other.name} were scored against different truth: {float(apart[worst]):.2f} m apart "
            f"at {both[worst][2]} ns, limit {SAME_TRUTH_M} m; score both against the same"
        )


def _measures(frames: Sequence[FrameResult]) -> dict[str, Array]:
    errors = scored(frames)
    both = np.array([frame.answer is not None and frame.truth is not None for frame in frames], dtype=bool)
    rows = [(e.position_m, abs(e.lateral_m), abs(e.longitudinal_m), abs(np.degrees(e.yaw_rad))) for e in errors]
    found = np.full((len(frames), len(ERRORS)), np.nan)
    found[both] = np.array(rows, dtype=np.float64).reshape(-1, len(ERRORS))
    measures = {name: found[:, i] for i, name in enumerate(ERRORS)}
    return measures | {"localized": np.array([frame.answer is not None for frame in frames], dtype=np.float64)}
