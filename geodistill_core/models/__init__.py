# SPDX-License-Identifier: Apache-2.0
"""Networks with the three-call contract, their registry and their checkpoints."""

from geodistill_core.models.base import CrossViewNetwork
from geodistill_core.models.registry import ARCHITECTURES, build

__all__ = ["ARCHITECTURES", "CrossViewNetwork", "build"]
