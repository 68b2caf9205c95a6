# SPDX-License-Identifier: Apache-2.0
"""`geodistill train`: recipes to checkpoints."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from geodistill_training.recipe import Recipe

app = typer.Typer(help="Train, distill and adapt networks without position labels.", no_args_is_help=True)

_PER_PROCESS = max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))

Config = Annotated[str, typer.Option(help="A shipped recipe's name or a YAML file.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Checkpoint folder to write; RUN/checkpoint unless given.")
]
Run = Annotated[
    Path | None, typer.Option(help="Run folder; an interrupted run continues here. runs/NAME unless given.")
]
Cache = Annotated[Path, typer.Option(help="Where rendered cities are kept.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that load data; 0 loads between the steps.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of each training process.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Instead of the recipe's seed.")]
Pairs = Annotated[
    int, typer.Option(min=0, help="Held-out SynthCity pairs that the calibration is fitted on; 0 leaves it out.")
]
Best = Annotated[bool, typer.Option("--best", help="Ship the checkpoint with the best validation, not the last one.")]
SnapshotEvery = Annotated[float, typer.Option(min=0, help="Seconds between two snapshots.")]
AllowChange = Annotated[
    bool, typer.Option("--allow-config-change", help="Continue a run although its recipe has changed.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the effective recipe as YAML and stop.")]
Json = Annotated[str | None, typer.Option("--json", help="Write a summary to PATH, or - for standard output.")]


@dataclass(frozen=True)
class Wish:
    """What every verb is asked."""

    config: str
    output: Path | None
    run: Path | None
    cache: Path
    workers: int
    threads: int
    seed: int | None
    calibration_pairs: int
    best: bool
    snapshot_every: float
    allow_config_change: bool
    dry_run: bool
    json_path: str | None


@app.callback()
def train() -> None:
    """Train, distill and adapt networks without position labels.

    Over many GPUs: torchrun --nproc-per-node N --no-python geodistill train VERB ...
    """


def _verb(method: str, summary: str) -> None:
    def command(
        config: Config,
        output: Output = None,
        run: Run = None,
        cache: Cache = Path("runs/cache"),
        workers: Workers = 1,
        threads: Threads = _PER_PROCESS,
        seed: Seed = None,
        calibration_pairs: Pairs = 400,
        best: Best = False,
        snapshot_every: SnapshotEvery = 60.0,
        allow_config_change: AllowChange = False,
        dry_run: DryRun = False,
        json_path: Json = None,
    ) -> None:
        wish = Wish(
            config, output, run, cache, workers, threads, seed, calibration_pairs, best, snapshot_every,
            allow_config_change, dry_run, json_path,
        )  # fmt: skip
        _follow(method, wish)

    app.command(method, help=summary)(command)


_verb("weak", "Contrast the pairs of a batch: position is learned, position labels are not needed.")
_verb("orientation", "Classify headings with soft labels.")
_verb("distill", "Self-distillation: a student that sees less imitates its teacher.")
_verb("supervised", "Train with true positions, as a teacher or an upper bound.")


@app.command()
def adapt(
    config: Annotated[
        str | None, typer.Option(help="A shipped recipe's name or a YAML file; adapt-bag where --bag is given.")
    ] = None,
    bag: Annotated[
        Path | None, typer.Option(help="Adapt to this recorded drive, and judge by its held-out part.")
    ] = None,
    map_path: Annotated[Path | None, typer.Option("--map", help="Imagery of where the drive led.")] = None,
    model: Annotated[str, typer.Option(help="With --bag: the shipped checkpoint or folder to adapt.")] = "tiny",
    camera_height_m: Annotated[
        float | None,
        typer.Option(help="With --bag: height of a level camera, where the drive does not state its mount."),
    ] = None,
    output: Output = None,
    run: Run = None,
    cache: Cache = Path("runs/cache"),
    workers: Workers = 1,
    threads: Threads = _PER_PROCESS,
    seed: Seed = None,
    calibration_pairs: Pairs = 400,
    best: Best = False,
    snapshot_every: SnapshotEvery = 60.0,
    allow_config_change: AllowChange = False,
    dry_run: DryRun = False,
    json_path: Json = None,
) -> None:
    """Adapt a trained network to another area without labels: to a data set, or to where a drive led.

    After a drive the adapted network is written to -o only if the drive's held-out part shows that it is better;
    otherwise the exit code is 3.
    """
    wish = Wish(
        config or ("adapt-bag" if bag else ""), output, run, cache, workers, threads, seed, calibration_pairs, best,
        snapshot_every, allow_config_change, dry_run, json_path,
    )  # fmt: skip
    if bag is None or dry_run:
        _follow("adapt", wish)
        return
    from geodistill_training.adapt.cli import adapt_bag
    from geodistill_training.adapt.pipeline import Engine

    engine = Engine(workers, threads, None, allow_config_change, snapshot_every)
    recipe = effective_recipe("adapt", wish.config, seed)
    adapt_bag(recipe, bag, map_path, model, run, output, camera_height_m, engine, json_path)


def effective_recipe(method: str, config: str, seed: int | None) -> Recipe:
    """The recipe of a verb.

    Raises:
        ConfigError: it is not valid, or for another verb.
    """
    from geodistill_core.errors import ConfigError
    from geodistill_training.recipe import load_recipe

    recipe = load_recipe(config)
    if recipe.method != method:
        raise ConfigError(f"recipe {config} has method {recipe.method}; use: geodistill train {recipe.method}")
    return recipe if seed is None else recipe.model_copy(update={"seed": seed})


def _follow(method: str, wish: Wish) -> None:
    recipe = effective_recipe(method, wish.config, wish.seed)
    if wish.dry_run:
        from geodistill_training.engine.run_folder import recipe_yaml

        typer.echo(recipe_yaml(recipe), nl=False)
        return
    from geodistill_core.models.checkpoint import load_checkpoint
    from geodistill_training.engine.world import open_world
    from geodistill_training.follow import Machine, follow
    from geodistill_training.ship import check_pairs, ship

    check_pairs(recipe, wish.calibration_pairs)
    started, world = time.monotonic(), open_world()
    run = wish.run or Path("runs") / recipe.name
    machine = Machine(wish.cache, wish.workers, wish.threads, wish.allow_config_change, wish.snapshot_every)
    outcome = follow(recipe, run, machine, world)
    if not world.main:
        return
    chosen = outcome.best if wish.best else outcome.last
    output = wish.output or run / "checkpoint"
    manifest = ship(recipe, load_checkpoint(chosen)[0], output, wish.calibration_pairs)
    summary = {
        "checkpoint": str(output),
        "from": str(chosen),
        "seconds": round(time.monotonic() - started),
        "waiting_share": round(outcome.waiting, 4),
        "ended": outcome.ended,
        "validation": outcome.history[-1] if outcome.history else None,
        "calibration": manifest.calibration and manifest.calibration.model_dump(),
    }
    _tell(summary, wish.json_path)


def _tell(summary: dict[str, Any], json_path: str | None) -> None:
    text = json.dumps(summary, indent=2)
    if json_path and json_path != "-":
        Path(json_path).write_text(text + "\n")
    else:
        typer.echo(text)
