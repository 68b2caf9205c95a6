# SPDX-License-Identifier: Apache-2.0
"""Which family a network belongs to."""

from __future__ import annotations

from typing import Any

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.ccvpe import Ccvpe
from geodistill_core.models.ggcvt import Ggcvt
from geodistill_core.models.orientation import OrientationNetwork
from geodistill_core.models.overhead_matching import OverheadMatcher
from geodistill_core.models.tiny import Tiny
from geodistill_training.families.base import Family
from geodistill_training.families.ccvpe import CcvpeFamily
from geodistill_training.families.ggcvt import GgcvtFamily
from geodistill_training.families.orientation import OrientationFamily
from geodistill_training.families.overhead import OverheadFamily
from geodistill_training.families.tiny import TinyFamily

# Subclasses before what they derive from.
_FAMILIES: tuple[tuple[type[AnyNetwork], type[Family[Any, Any]]], ...] = (
    (Tiny, TinyFamily),
    (Ggcvt, GgcvtFamily),
    (OverheadMatcher, OverheadFamily),
    (Ccvpe, CcvpeFamily),
    (OrientationNetwork, OrientationFamily),
)


def family_of(network: AnyNetwork, autocast: bool = False) -> Family[Any, Any]:
    """The family that trains a network.

    Raises:
        ConfigError: no family knows it.
    """
    for kind, family in _FAMILIES:
        if isinstance(network, kind):
            return family(network, autocast)
    raise ConfigError(f"no training is known for {type(network).__name__}")
