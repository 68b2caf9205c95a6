# SPDX-License-Identifier: Apache-2.0
"""What a check found, in words and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from geodistill_core.datasets.check.leak import Overlap, leak_text

Severity = Literal["note", "missing", "broken", "leak"]
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of thing that is worth saying: `count` cases of it, the first of them in `examples`.

    "note" is for information, "missing" and "broken" leave the rest usable, "leak" makes a split unfit to judge by.
    """

    severity: Severity
    text: str
    count: int = 1
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, severity: Severity, text: str, cases: Sequence[object]) -> Finding:
        """All cases of one kind; the first twenty are named."""
        return cls(severity, text, len(cases), tuple(str(case) for case in cases[:_NAMED]))


@dataclass(frozen=True, slots=True)
class ListCount:
    """A list of samples: how many lines it has, and how many have every file."""

    name: str
    path: Path
    samples: int
    complete: int
    groups: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class CheckReport:
    """Everything about one tree; `layout` is the tree that was expected."""

    dataset: str
    root: Path
    layout: str
    lists: list[ListCount] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    pictures: dict[str, int] = field(default_factory=dict)
    decoded: int = 0

    def add(self, severity: Severity, text: str, cases: Sequence[object]) -> None:
        """Note a kind of finding, if there is any case of it."""
        if cases:
            self.findings.append(Finding.of(severity, text, cases))

    def add_overlap(self, name: str, overlap: Overlap, near_is_leak: bool) -> None:
        """Note what the training and test lists of a split have in common."""
        text = leak_text(overlap, near_is_leak)
        if text is not None:
            found = [*overlap.shared, *(overlap.nearest or ())] if near_is_leak else overlap.shared
            self.add("leak", f"{name} leaks: {text}", found)
        elif overlap.near:
            text = (
                f"test images of {name} within {overlap.within_m:g} m of training images, as is usual within one area "
                f"(nearest {overlap.nearest_m:.1f} m)"
            )
            self.findings.append(Finding("note", text, overlap.near, overlap.nearest or ()))

    def add_repeated(self, name: str, names: Sequence[str]) -> None:
        """Note ground images that a list names more than once."""
        repeated = [key for key, count in Counter(names).items() if count > 1]
        self.add("note", f"ground images that {name} names more than once", repeated)

    @property
    def usable(self) -> bool:
        """Whether some list has a sample with every file, and no split leaks."""
        return any(one.complete for one in self.lists) and all(one.severity != "leak" for one in self.findings)

    @property
    def exit_code(self) -> int:
        """0 all there, 3 usable but something is missing or broken, 4 of no use."""
        if not self.usable:
            return 4
        return 3 if any(one.severity != "note" for one in self.findings) else 0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "dataset": self.dataset,
            "root": str(self.root),
            "usable": self.usable,
            "exit_code": self.exit_code,
            "expected": self.layout.splitlines(),
            "pictures": self.pictures,
            "decoded": self.decoded,
            "lists": [
                {"name": one.name, "path": str(one.path), "samples": one.samples, "complete": one.complete,
                 "groups": one.groups}
                for one in self.lists
            ],
            "findings": [
                {"severity": one.severity, "text": one.text, "count": one.count, "examples": list(one.examples)}
                for one in self.findings
            ],
        }  # fmt: skip
