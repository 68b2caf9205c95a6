# SPDX-License-Identifier: Apache-2.0
"""Pages of the documentation from code: `python -m geodistill_ros.reference parameters > docs/parameters.md`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import yaml

from geodistill_ros.conditions import CONDITIONS
from geodistill_ros.parameters import FIELDS, Change, bounds_of, change_of, choices_of
from geodistill_ros.vocabulary import DROPPED, KEYS

_MADE = "<!-- Made by `python -m geodistill_ros.reference {name}`; do not edit. -->"
_LEVELS = ("OK", "WARN", "ERROR")
_WHEN = {Change.START: "at start", Change.UNCONFIGURED: "unconfigured", Change.ANY: "any time"}


def parameters_page() -> str:
    """Every parameter of the node with type, default, range and when it may change."""
    rows = [
        (f"`{name}`", _values(name), f"`{_default(name)}`", _WHEN[change_of(name)], str(field.description))
        for name, field in FIELDS.items()
    ]
    return _page(
        "parameters",
        "# Parameters of the node",
        _prose(
            "A value of another type, beyond its range or off its list is refused with a sentence that names it; so is",
            "an unknown name. A parameter file to start from is `config/localizer.yaml` of geodistill_bringup.",
            'Parameters that may change while "unconfigured" are set before `configure` or after `cleanup`; those that',
            'change "at start", only when the process starts.',
        ),
        _table(("name", "values", "default", "may change", "meaning"), rows),
    )


def diagnostics_page() -> str:
    """Conditions with level and remedy, reasons of dropped images, keys."""
    conditions = [(_LEVELS[c.level], c.when, c.remedy) for c in CONDITIONS]
    drops = [(f"`{reason}`", drop.meaning, drop.remedy) for reason, drop in DROPPED.items()]
    keys = [(f"`{key}`", meaning) for key, meaning in KEYS.items()]
    return _page(
        "diagnostics",
        "# Diagnostics of the node",
        _prose(
            "The node publishes one status on `/diagnostics`, every `diagnostics_period_s`; the service `~/status`",
            "answers with the same as JSON, at once. The first condition below that applies gives level and sentence;",
            "where none does, the level is OK and the sentence `localizing`.",
        ),
        _table(("level", "when", "what to do"), conditions),
        "## Dropped images",
        "Every image is answered or counted: `images.received` = `images.answered` + `dropped.*` + `images.pending`.",
        _table(("`dropped.`", "the image", "what to do"), drops),
        "## Keys",
        _table(("key", "says"), keys),
    )


PAGES: dict[str, Callable[[], str]] = {"parameters": parameters_page, "diagnostics": diagnostics_page}


def _values(name: str) -> str:
    limits = bounds_of(name)
    if choices_of(name):
        return ", ".join(f"`{choice}`" for choice in choices_of(name))
    kind = {bool: "true, false", int: "integer", float: "number", str: "text"}[type(FIELDS[name].default)]
    return f"{limits[0]:g} to {limits[1]:g}" if limits else kind


def _default(name: str) -> str:
    style = '"' if isinstance(FIELDS[name].default, str) else None
    return str(yaml.safe_dump(FIELDS[name].default, default_style=style).splitlines()[0])


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *(tuple(row) for row in rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _prose(*lines: str) -> str:
    return "\n".join(lines)


def _page(name: str, *parts: str) -> str:
    return "\n\n".join((_MADE.format(name=name), *parts)) + "\n"


if __name__ == "__main__":
    print(PAGES[sys.argv[1]](), end="")
