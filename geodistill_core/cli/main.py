# SPDX-License-Identifier: Apache-2.0
"""`geodistill VERB`: verbs load when they are called, errors are one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from geodistill_core import __version__
from geodistill_core.errors import GeodistillError
from geodistill_core.printable import printable

DEBUG_VARIABLE = "GEODISTILL_DEBUG"
PLUGIN_GROUP = "geodistill.verbs"
VERBS = {
    "demo": ("geodistill_core.cli.demo:app", "See it work: a simulated drive through the real ROS 2 node."),
    "locate": ("geodistill_core.cli.locate:app", "Locate one image on a map."),
    "replay": (
        "geodistill_core.cli.replay:app",
        "Run a recorded drive and score it against its ground truth.",
    ),
    "compare": ("geodistill_core.cli.compare:app", "Say whether one run is better than another."),
    "bag": ("geodistill_core.cli.bag:app", "Make drives and look into them."),
    "eval": ("geodistill_core.cli.eval:app", "Score a model on fixed sets of image pairs."),
    "map": ("geodistill_core.cli.map:app", "Prepare map imagery, look into it, serve it."),
    "data": ("geodistill_core.cli.data:app", "Look into data sets: what is there, what is missing or broken."),
    "checkpoint": ("geodistill_core.cli.checkpoint:app", "List, verify and import trained networks."),
    "export": ("geodistill_core.cli.export:app", "Write a network for another engine: ONNX, OpenVINO, TensorRT."),
    "bench": ("geodistill_core.cli.bench:app", "How long each network takes on this machine."),
    "doctor": ("geodistill_core.cli.doctor:app", "What is installed, and what to do about the rest."),
}
PLUGIN_HELP = {"train": "Train, distill and adapt networks without position labels."}


class LazyVerb(TyperCommand):
    """Stands in for a verb in the overview; imports the verb's module when it is called."""

    def __init__(self, name: str, target: str, summary: str) -> None:
        super().__init__(name=name, help=summary)
        self.target = target

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Context of the real command."""
        module, _, attribute = self.target.partition(":")
        verb = getattr(importlib.import_module(module), attribute)
        # the shell's completion belongs to the root alone
        build = typer.main.get_group if verb.registered_callback else typer.main.get_command
        return build(verb).make_context(info_name, args, parent=parent, **extra)


class VerbGroup(TyperGroup):
    """The verbs of this package and of the plug-ins installed beside it."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        targets = dict(VERBS)
        for point in metadata.entry_points(group=PLUGIN_GROUP):
            summary = PLUGIN_HELP.get(point.name, f"From {point.value.partition(':')[0]}.")
            targets.setdefault(point.name, (point.value, summary))
        self.commands = {name: LazyVerb(name, target, summary) for name, (target, summary) in targets.items()}

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; an interrupt ends with 130 whatever the verb was doing."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=VerbGroup,
    help="Camera and noisy GNSS in, pose with covariance out: localization on satellite imagery.",
    epilog="Exit codes: 0 done, 2 usage or configuration, 3 partial, 4 unreadable input, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"geodistill {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Camera and noisy GNSS in, pose with covariance out: localization on satellite imagery."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the `geodistill` command; always ends the process with a documented exit code."""
    try:
        app(args=arguments, prog_name="geodistill")
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE) == "1":
            raise
        message, code = describe(error)
        print(f"geodistill: {message}", file=sys.stderr)
        sys.exit(code)
    sys.exit(0)


def describe(error: Exception) -> tuple[str, int]:
    """One line and an exit code for an error that reached the top."""
    text = printable(" ".join(str(error).split()))
    if isinstance(error, GeodistillError):
        return text, error.exit_code
    if isinstance(error, OSError):
        return printable(f"{error.strerror or text}: {error.filename}" if error.filename else text), 4
    return f"internal error: {type(error).__name__}: {text} (set {DEBUG_VARIABLE}=1 for the traceback)", 1


if __name__ == "__main__":
    main()
