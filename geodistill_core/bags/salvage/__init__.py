# SPDX-License-Identifier: Apache-2.0
"""What can still be read of a damaged recording, and an account of what cannot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from geodistill_core.bags.salvage.account import Gap, Salvage
from geodistill_core.bags.salvage.mcap import SalvagedMcap
from geodistill_core.bags.salvage.sqlite import SalvagedSqlite
from geodistill_core.bags.storage.folder import BagFiles, FileKind, kind_of, refuse_foreign
from geodistill_core.bags.storage.parts import merged_topics
from geodistill_core.errors import BagError

__all__ = ["Gap", "Salvage", "salvaged_parts"]

Part = SalvagedMcap | SalvagedSqlite


def salvaged_parts(files: BagFiles) -> tuple[list[Part], Salvage]:
    """The readable files of a recording and the account of the rest; raises BagError where there is none."""
    names = [file.name for file in files.files]
    order = list(files.promise.files) if files.promise else sorted([*names, *files.missing], key=_by_number)
    found: list[Part | Gap] = []
    errors: list[BagError] = []
    for name in [Path(name).name for name in order] + [name for name in names if name not in order]:
        file = next((file for file in files.files if file.name == name), None)
        if file is None:
            found.append(Gap(name, "the file is missing"))
            continue
        try:
            found.append(_salvaged(file))
        except BagError as error:
            errors.append(error)
            found.append(Gap(name, "nothing of it can be read", file.stat().st_size))
    parts = [part for part in found if not isinstance(part, Gap)]
    if not parts:
        raise errors[0]
    recovered = {topic: info.messages for topic, info in merged_topics(parts).items()}
    end_ns = files.promise.end_ns if files.promise else None
    gaps = tuple(_bounded(gap, found, index, end_ns) for index, part in enumerate(found) for gap in _gaps(part))
    unverified = sum(part.unverified for part in parts)
    return parts, Salvage(recovered, _expected(files, found, recovered), gaps, unverified)


def _salvaged(file: Path) -> Part:
    kind = kind_of(file)
    refuse_foreign(file, kind)
    return SalvagedSqlite(file) if FileKind.SQLITE is kind or file.suffix == ".db3" else SalvagedMcap(file)


def _gaps(part: Part | Gap) -> Sequence[Gap]:
    return (part,) if isinstance(part, Gap) else part.gaps


def _bounded(gap: Gap, found: Sequence[Part | Gap], index: int, end_ns: int | None) -> Gap:
    """A gap that is open at an end of its file reaches to the neighbouring file, or to the recording's end."""
    before = [part.end_ns for part in found[:index] if not isinstance(part, Gap)]
    after = [part.start_ns for part in found[index + 1 :] if not isinstance(part, Gap)]
    from_ns = max(before) if gap.from_ns is None and before else gap.from_ns
    to_ns = (min(after) if after else end_ns) if gap.to_ns is None else gap.to_ns
    return replace(gap, from_ns=from_ns, to_ns=to_ns)


def _expected(files: BagFiles, found: Sequence[Part | Gap], recovered: dict[str, int]) -> dict[str, int] | None:
    """Messages by topic that the recording once had: by metadata.yaml (written anew when a recorder ends, so that
    one with fewer messages than were read says nothing), or by the indexes of all files."""
    promised = dict(files.promise.messages) if files.promise else {}
    if promised and all(promised.get(topic, 0) >= count for topic, count in recovered.items()):
        return promised
    total: dict[str, int] = {}
    for part in found:
        if isinstance(part, Gap) or part.expected is None:
            return None
        for topic, count in part.expected.items():
            total[topic] = total.get(topic, 0) + count
    return total


def _by_number(name: str) -> list[tuple[int, str]]:
    """Sorts bag_2 before bag_10."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in re.split(r"(\d+)", name)]
