# SPDX-License-Identifier: Apache-2.0
"""`geodistill eval … --calibrate`: fit a checkpoint's calibration on the chosen samples, and tell what it changes."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape

from geodistill_core.cli.output import emit, notes, number, table
from geodistill_core.errors import ConfigError

if TYPE_CHECKING:
    from geodistill_core.evaluation.recalibration.held import HeldFrame

CalibrateOption = Annotated[
    Optional[Path],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
    typer.Option("--calibrate", help="Fit a calibration on these samples; write a checkpoint with it to this folder."),
]
RiskOption = Annotated[float, typer.Option(help="With --calibrate: how often a protection level may be passed.")]
DateOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="With --calibrate: the date that the manifest states, YYYY-MM-DD (default: today)."),
]


@dataclass(frozen=True)
class Wish:
    """Where the calibrated checkpoint goes, at which risk, and its date."""

    folder: Path
    risk: float
    date: str


def wish_of(folder: Path | None, risk: float, date: str | None, samples: int) -> Wish | None:
    """What was asked for, checked before anything is computed; None where nothing is to be calibrated.

    Raises:
        ConfigError: the date is none, or the samples are too few for the risk.
        CheckpointError: the folder is not new.
    """
    from geodistill_core.evaluation.recalibration.fit import check_samples
    from geodistill_core.models.checkpoint import check_new

    if folder is None:
        return None
    try:
        day = datetime.date.today() if date is None else datetime.date.fromisoformat(date)
    except ValueError as error:
        raise ConfigError(f"date {date!r} is not YYYY-MM-DD") from error
    check_new(folder)
    check_samples(samples, risk)
    return Wish(folder, risk, day.isoformat())


def calibrate(
    wish: Wish, model: str, frames: Sequence[HeldFrame], fitted_on: str, asked: int, json_path: str | None
) -> None:
    """Fit, write the new checkpoint and tell; exits with 3 where some of the `asked` samples could not be used."""
    from geodistill_core.evaluation.recalibration.fit import recalibrate
    from geodistill_core.models.checkpoint import resolve, save_recalibrated
    from geodistill_core.models.manifest import read_manifest

    before = read_manifest(resolve(model)).calibration
    made = recalibrate(frames, fitted_on, date=wish.date, before=before, risk=wish.risk)
    save_recalibrated(model, wish.folder, made.calibration)
    told = made.to_json() | {"model": model, "samples_without_answer": asked - len(frames)}
    emit(told, json_path, lambda out: print_recalibration(out, told))
    notes().print(f"[dim]checkpoint: {escape(str(wish.folder))}[/dim]", soft_wrap=True)
    if len(frames) < asked:
        raise typer.Exit(3)


def print_recalibration(out: Console, told: Mapping[str, Any]) -> None:
    """Claims before and after, and on frames that the fit has not seen."""
    fitted = told["calibration"]
    columns = [told[name] for name in ("before", "after", "held_out")]
    shown = table(f"{told['model']}, fitted to {fitted['samples']} samples", "", "before", "after", "held-out half")
    shown.add_row("temperature", *(number(c["temperature"], 3) for c in columns))
    shown.add_row("NLL at the truth (nats)", *(number(c["nll_mean"]) for c in columns))
    shown.add_row("HPD levels off by", *(number(c["hpd_max_deviation"], 3) for c in columns))
    shown.add_row("mean NEES (ideal 3)", *(number(c["nees"]["mean"]) for c in columns))
    shown.add_row("its 95 % bounds", *(_range(c["nees"]["bounds"]) for c in columns))
    shown.add_row("in the 95 % ellipse", *(number(c["coverage"]["0.95"], 3) for c in columns))
    shown.add_row("its 95 % bounds", *(_range(c["coverage_bounds"]["0.95"]) for c in columns))
    shown.add_row("mean area of that", *(number(c["sharpness_m2"], 2, " m²") for c in columns))
    for axis in ("lateral", "longitudinal"):
        shown.add_row(f"{axis} beyond protection", *(number(c["protection"][axis]["share"], 4) for c in columns))
        shown.add_row(f"{axis} level, median", *(number(c["protection"][axis]["median_m"], 2, " m") for c in columns))
    out.print(shown)
    out.print()
    scales = ", ".join(f"{name} {fitted[f'scale_{name}']:.3f}" for name in ("across", "along", "yaw"))
    factors = ", ".join(f"{name} {fitted[f'protection_{name}']:.2f}" for name in ("lateral", "longitudinal"))
    out.print(f"scales of sigma      {scales}")
    out.print(f"protection factors   {factors}, at a risk of {fitted['risk']:g}")


def _range(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.2f} – {bounds[1]:.2f}"


def warn_uncalibrated(model: str) -> None:
    """Say on standard error that a checkpoint carries no calibration, and what its covariances are then."""
    from geodistill_core.localization.covariance import UNCALIBRATED_INFLATION
    from geodistill_core.models.checkpoint import resolve
    from geodistill_core.models.manifest import read_manifest

    manifest = read_manifest(resolve(model))
    if manifest.calibration is None:
        notes().print(
            f"[yellow]{escape(manifest.name)} carries no calibration:[/yellow] its covariances are made "
            f"{UNCALIBRATED_INFLATION:g} times as large; fit one with `geodistill eval … --calibrate FOLDER`",
            soft_wrap=True,
        )
