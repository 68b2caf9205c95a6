# SPDX-License-Identifier: Apache-2.0
"""Draws docs/real-minute.png: a real minute's receivers and the track, and 20 s without heat maps inside their bound.

`python tests/benchmarks/real_minute_figure.py [PNG]`, with shared/data/comma2k19 beside the checkout.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "tracking"))

from real_minute import RealMinute, drive, rms_m, tracker  # noqa: E402

from geodistill_core.tracking.gates import CHI_SQ_99  # noqa: E402

OFF_S, SEED = (25.0, 45.0), 1


def bound_m(step) -> float:
    """Half-axis of the 99 % ellipse in the direction of the error."""
    towards = step.error[:2] / max(step.error_m, 1e-9)
    return math.sqrt(CHI_SQ_99[2] / float(towards @ np.linalg.solve(step.pose.covariance[:2, :2], towards)))


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "real-minute.png"
    minute = RealMinute()
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
    for name, colour in (("qcom", "tab:orange"), ("ublox", "tab:blue")):
        receiver = minute.receivers[name]
        seconds = (receiver.stamps_ns - minute.stamp_ns(0.0)) * 1e-9
        error = np.hypot(*receiver.error_m.T)
        above.plot(seconds, error, ".-", ms=3, lw=0.8, color=colour, label=f"{name} (RMS {receiver.rms_m:.2f} m)")
    track = drive(minute, tracker(), "ublox", SEED)
    label = f"track (RMS {rms_m(track):.2f} m)"
    above.plot([s.seconds for s in track], [s.error_m for s in track], color="tab:green", label=label)
    blind = drive(minute, tracker(), "ublox", SEED, OFF_S)
    below.plot([s.seconds for s in blind], [bound_m(s) for s in blind], "--", color="grey", label="99 % bound")
    below.plot([s.seconds for s in blind], [s.error_m for s in blind], color="tab:green", label="track")
    below.axvspan(*OFF_S, color="tab:red", alpha=0.1, label="no heat maps")
    below.set_xlabel("seconds")
    for axes in (above, below):
        axes.set_ylabel("position error, m")
        axes.set_ylim(bottom=0.0)
        axes.legend(loc="upper left", fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main()
