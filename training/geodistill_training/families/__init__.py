# SPDX-License-Identifier: Apache-2.0
"""What training asks of a network, family by family."""

from geodistill_training.families.base import Family
from geodistill_training.families.of import family_of

__all__ = ["Family", "family_of"]
