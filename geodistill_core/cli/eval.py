# SPDX-License-Identifier: Apache-2.0
"""`geodistill eval`: score a model on fixed sets of image pairs."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from geodistill_core.cli.calibrate import (
    CalibrateOption,
    DateOption,
    RiskOption,
    calibrate,
    warn_uncalibrated,
    wish_of,
)
from geodistill_core.cli.eval_datasets import kitti, vigor
from geodistill_core.cli.output import JsonOption, emit, progress
from geodistill_core.cli.summary import print_summary
from geodistill_core.errors import ConfigError

app = typer.Typer(help="Score a model on fixed sets of image pairs.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Score a model on fixed sets of image pairs."""


@app.command()
def synth(
    *,
    split: Annotated[str, typer.Option(help="Styles: unseen (never trained on), validation or seen.")] = "unseen",
    level: Annotated[str, typer.Option(help="Difficulty: easy, standard or hard.")] = "standard",
    pairs: Annotated[int, typer.Option(help="How many; fewer are a beginning of more.")] = 400,
    model: Annotated[str, typer.Option(help="Name of a shipped checkpoint, or a checkpoint folder.")] = "tiny",
    seed_base: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Seed of the first city; by default the published test cities."),
    ] = None,
    prior: Annotated[str, typer.Option(help="gaussian, or flat: the image's likelihood alone.")] = "gaussian",
    runtime: Annotated[
        str, typer.Option(help="What runs the network: a back end's name; a precision may follow after a colon.")
    ] = "torch",
    calibrate_to: CalibrateOption = None,
    risk: RiskOption = 0.01,
    date: DateOption = None,
    json_path: JsonOption = None,
) -> None:
    """Pairs of the procedural world, beside answering with the prior and beside guessing.

    Writes the keys of metrics.json and `baselines`; what ran the network, if not torch, is among the versions. Exits
    with 3 when a pair could not be localized. With --calibrate it fits the model's calibration instead, and tells what
    its covariances claim before and after.
    """
    from geodistill_core.evaluation.recalibration.synth import synth_frames, synth_name
    from geodistill_core.evaluation.synth_eval import SynthSplit, compiled_for, evaluate_synth
    from geodistill_core.localization import LocalizerConfig
    from geodistill_core.models.checkpoint import load_checkpoint
    from geodistill_core.runtime.ladder import RuntimeOptions

    wanted = SynthSplit(split, level, pairs, seed_base)
    config = LocalizerConfig(prior=prior)  # type: ignore[arg-type]  # validated there
    wish = wish_of(calibrate_to, risk, date, pairs)
    options = RuntimeOptions.named(runtime)
    network, manifest = load_checkpoint(model)
    if wish is not None:
        if not options.plain:
            raise ConfigError(f"a calibration is fitted with torch, not with {runtime!r}; leave out --runtime")
        with progress(f"{split}, {level}", total=pairs) as step:
            frames = synth_frames(network, manifest, wanted, flat=config.prior == "flat", step=step)
        calibrate(wish, model, frames, synth_name(wanted), pairs, json_path)
        return
    warn_uncalibrated(model)
    ran_by = {}
    if not options.plain:
        network, choice = compiled_for(network, manifest, wanted, config, options)
        ran_by = choice.facts()
    with progress(f"{split}, {level}", total=pairs) as step:
        summary = evaluate_synth(network, manifest, wanted, config, step)
    summary["versions"] |= ran_by
    emit(summary, json_path, lambda out: print_summary(out, summary))
    if summary["dropped"]:
        raise typer.Exit(3)


app.command()(vigor)
app.command()(kitti)
