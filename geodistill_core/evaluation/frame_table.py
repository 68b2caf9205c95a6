# SPDX-License-Identifier: Apache-2.0
"""A run frame by frame as a table, CSV or Parquet: what is written is read back to the same floats.

Floats are written by their shortest exact representation. The error columns are for people; reading ignores
them, because they follow from the poses.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.evaluation.metrics import FrameErrors, FrameResult, PoseAnswer, scored
from geodistill_core.localization.protection import ProtectionLevel

COVARIANCE = {
    "var_ee": (0, 0),
    "var_en": (0, 1),
    "var_nn": (1, 1),
    "var_ey": (0, 2),
    "var_ny": (1, 2),
    "var_yy": (2, 2),
}
POSE = ("latitude", "longitude", "yaw_enu_rad")
TRUTH = tuple(f"truth_{name}" for name in POSE)
GNSS = ("gnss_latitude", "gnss_longitude")
PROTECTION = ("protection_lateral_m", "protection_longitudinal_m", "protection_risk")
EXTRA = ("latency_ms", "speed_mps", "confidence", "hpd_level")
ERRORS = ("position_error_m", "lateral_error_m", "longitudinal_error_m", "yaw_error_deg")
TEXT = ("key", "dropped", "status", "road")
COLUMNS = (
    "key", "stamp_ns", "dropped", *POSE, "status", *COVARIANCE, *TRUTH, *GNSS, *EXTRA, *ERRORS, *PROTECTION, "road",
)  # fmt: skip
SUFFIXES = (".csv", ".parquet")

Row = Mapping[str, Any]


def to_rows(results: Sequence[FrameResult]) -> Iterator[dict[str, Any]]:
    """One value or None for each of COLUMNS, frame by frame; metres, radians, nanoseconds, WGS-84 degrees."""
    errors = iter(scored(results))
    for result in results:
        yield _row(result, next(errors) if result.answer and result.truth else None)


def _row(result: FrameResult, errors: FrameErrors | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"key": result.key, "stamp_ns": result.stamp_ns, "dropped": result.dropped, "road": result.road}
    row |= {name: _float(getattr(result, name)) for name in EXTRA}
    if result.answer is not None:
        row |= _pose(POSE, result.answer) | {"status": result.answer.status}
        row |= {name: float(result.answer.covariance[at]) for name, at in COVARIANCE.items()}
        if level := result.answer.protection:
            row |= dict(zip(PROTECTION, (level.lateral_m, level.longitudinal_m, level.risk), strict=True))
    if result.truth is not None:
        row |= _pose(TRUTH, result.truth)
    if result.gnss is not None:
        row |= dict(zip(GNSS, map(float, result.gnss), strict=True))
    if errors is not None:
        values = (errors.position_m, errors.lateral_m, errors.longitudinal_m, math.degrees(errors.yaw_rad))
        row |= dict(zip(ERRORS, values, strict=True))
    return row


def from_row(row: Row) -> FrameResult:
    """The frame of a row whose missing values are None; raises KeyError for an absent column, DatasetError.

    Older tables know neither protection levels nor roads.
    """
    pose, truth, gnss = ([row[name] for name in names] for names in (POSE, TRUTH, GNSS))
    missing = [name for name in (*POSE, *COVARIANCE) if row[name] is None]
    if missing and not row["dropped"]:
        raise DatasetError(f"neither dropped nor with a value in {', '.join(missing)}")
    return FrameResult(
        row["stamp_ns"],
        Truth(*truth) if None not in truth else None,
        None if row["dropped"] else _answer(pose, row),
        (gnss[0], gnss[1]) if None not in gnss else None,
        row["latency_ms"],
        row["dropped"] or None,
        row["key"] or "",
        row["confidence"],
        row["speed_mps"],
        row["hpd_level"],
        row.get("road") or "",
    )


def _answer(pose: Sequence[float], row: Row) -> PoseAnswer:
    stated = [row.get(name) for name in PROTECTION]
    protection = None if None in stated else ProtectionLevel(*(float(value) for value in stated if value is not None))
    return PoseAnswer(pose[0], pose[1], pose[2], _covariance(row), row["status"] or "", protection)


def write_frames(path: Path, results: Sequence[FrameResult]) -> Path:
    """Write one row for each frame, in order, replacing the file at once; returns `path`.

    Raises ConfigError for a suffix other than .csv or .parquet, and for Parquet without pyarrow.
    """
    write = _by_suffix(path, _write_csv, _write_parquet)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        write(partial, to_rows(results))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_frames(path: Path) -> list[FrameResult]:
    """The frames of a table; raises DatasetError naming file and row for what is not one, and as writing does."""
    read = _by_suffix(path, _read_csv, _read_parquet)
    results = []
    try:
        for row in read(path):
            results.append(from_row(row))
    except (DatasetError, ConfigError, ValueError, TypeError, KeyError, csv.Error) as problem:
        said = f"column {problem} is missing" if isinstance(problem, KeyError) else problem
        raise DatasetError(f"{path}, frame {len(results) + 1}: {said}; write the table anew") from problem
    return results


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _pose(names: Iterable[str], pose: PoseAnswer | Truth) -> dict[str, float]:
    values = (float(pose.latitude), float(pose.longitude), float(pose.yaw_enu_rad))
    return dict(zip(names, values, strict=True))


def _covariance(row: Row) -> Any:
    covariance = np.zeros((3, 3))
    for name, (i, j) in COVARIANCE.items():
        covariance[i, j] = covariance[j, i] = row[name]
    return covariance


def _by_suffix(path: Path, csv_way: Callable[..., Any], parquet_way: Callable[..., Any]) -> Callable[..., Any]:
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"table {path} ends in {path.suffix!r}; use one of {', '.join(SUFFIXES)}")
    return csv_way if path.suffix == ".csv" else parquet_way


def _write_csv(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        # the writer turns None into nothing and a float into its repr
        writer.writerows([row[name] for name in COLUMNS] for row in rows)


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, strict=True)
        names = next(rows, [])
        for row in rows:
            if len(row) != len(names):
                raise DatasetError(f"{len(row)} values for {len(names)} columns")
            yield {name: _parsed(name, text) for name, text in zip(names, row, strict=True)}


def _parsed(name: str, text: str) -> Any:
    if name in TEXT or not text:
        return text or None
    return int(text) if name == "stamp_ns" else float(text)


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as problem:
        raise ConfigError('Parquet needs pyarrow: `pip install "geodistill[tables]"`, or write .csv') from problem
    return pyarrow, parquet


def _write_parquet(path: Path, rows: Iterable[Row]) -> None:
    arrow, parquet = _parquet()
    kinds = {name: arrow.string() for name in TEXT} | {"stamp_ns": arrow.int64()}
    schema = arrow.schema([(name, kinds.get(name, arrow.float64())) for name in COLUMNS])
    parquet.write_table(arrow.Table.from_pylist(list(rows), schema=schema), path)


def _read_parquet(path: Path) -> Iterator[Row]:
    arrow, parquet = _parquet()
    try:
        table = parquet.read_table(path)
    except arrow.ArrowInvalid as problem:
        raise DatasetError(f"not a Parquet file ({problem})") from problem
    yield from table.to_pylist()
