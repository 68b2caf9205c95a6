# SPDX-License-Identifier: Apache-2.0
"""Outliers are where teacher and auxiliary student disagree most (adaptation paper).

As published, what changed strictly less than the quantile is kept: ties at the threshold are dropped, and with them a
little more than the share asked for. Unlike the published code, which compares pixels of cities of different
resolution, distances are metres.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.types import Array
from geodistill_training.adapt.predictions import Predictions


@dataclass(frozen=True, slots=True)
class Kept:
    """`rows` that were kept out of `total`, the `threshold` in the unit of the change, and the mean changes.

    `dropped_mean` is None where none was dropped.
    """

    rows: Array
    total: int
    threshold: float
    kept_mean: float
    dropped_mean: float | None

    def summary(self) -> dict[str, Any]:
        """Figures for a report."""
        figures = asdict(self)
        return {"kept": len(figures.pop("rows")), **figures}


def keep(change: Array, share: float) -> Kept:
    """Rows whose change lies strictly below the quantile `share` (T) of all changes [N]; a share of 1 keeps all.

    Raises:
        ConfigError: nothing is left.
    """
    change = np.asarray(change, np.float64)
    threshold = float(np.quantile(change, share)) if share < 1 else float("inf")
    kept = change < threshold
    if not kept.any():
        raise ConfigError(
            f"of {len(change)} changes none lies below the quantile {share:g} ({threshold:g}); raise kept_share"
        )
    dropped_mean = float(change[~kept].mean()) if not kept.all() else None
    return Kept(np.flatnonzero(kept), len(change), threshold, float(change[kept].mean()), dropped_mean)


def change_m(teacher: Predictions, auxiliary: Predictions) -> Array:
    """Distances [N] between two networks' predictions of the same examples, in metres.

    Raises:
        DatasetError: they are not of the same examples.
    """
    if not np.array_equal(teacher.keys, auxiliary.keys):
        raise DatasetError("teacher and auxiliary student answered other examples; delete the run's predictions")
    return np.asarray(np.hypot(teacher.east_m - auxiliary.east_m, teacher.north_m - auxiliary.north_m))
