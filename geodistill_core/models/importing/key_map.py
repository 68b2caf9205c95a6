# SPDX-License-Identifier: Apache-2.0
"""Published state-dict keys become this project's keys by ordered regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from torch import Tensor

from geodistill_core.errors import CheckpointError


def is_unused(key: str, unused: Sequence[str]) -> bool:
    """Whether a published key belongs to a part that the network does not run."""
    return any(re.search(pattern, key) for pattern in unused)


def renamed(key: str, published: Sequence[tuple[str, str]]) -> str:
    """One published key after all rules, applied in order.

    Raises:
        CheckpointError: a rule that matches the published key no longer matches when its turn comes.
    """
    name = key
    for pattern, replacement in published:
        name, hits = re.subn(pattern, replacement, name)
        if not hits and re.search(pattern, key):
            raise CheckpointError(
                f"key {key!r}: the rule {pattern!r} matches it, but an earlier rule has made it {name!r}; "
                "order the rules or make them exclusive"
            )
    return name


def sources(keys: Iterable[str], published: Sequence[tuple[str, str]], unused: Sequence[str]) -> dict[str, str]:
    """Our name -> published key, without the keys of unused parts.

    Raises:
        CheckpointError: two keys get one name, or two rules fight over a key.
    """
    found: dict[str, str] = {}
    for key in keys:
        if is_unused(key, unused):
            continue
        name = renamed(key, published)
        if name in found:
            raise CheckpointError(
                f"keys {found[name]!r} and {key!r} are both renamed to {name!r}; make the rules exclusive"
            )
        found[name] = key
    return found


def rename(state: dict[str, Tensor], published: Sequence[tuple[str, str]], unused: Sequence[str]) -> dict[str, Tensor]:
    """The state dict under our keys, without the tensors of unused parts; values are shared, not copied.

    Raises:
        CheckpointError: two keys get one name, or two rules fight over a key.
    """
    return {name: state[key] for name, key in sources(state, published, unused).items()}
