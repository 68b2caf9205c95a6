# SPDX-License-Identifier: Apache-2.0
"""One producer per golden pack: it returns every array of the pack, computed by this project's code."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from tests.parity.pack import Pack

Producer = Callable[[Pack], dict[str, Any]]
PRODUCERS: dict[str, Producer] = {}


def produces(*packs: str) -> Callable[[Producer], Producer]:
    """Register a producer for the named packs."""

    def register(producer: Producer) -> Producer:
        PRODUCERS.update(dict.fromkeys(packs, producer))
        return producer

    return register


def load_all() -> None:
    """Import every module of this package, so that its producers register."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
