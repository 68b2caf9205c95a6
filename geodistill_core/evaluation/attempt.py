# SPDX-License-Identifier: Apache-2.0
"""One frame through the localizer: an estimate, or the reason why there is none."""

from __future__ import annotations

from geodistill_core.errors import MapError, RuntimeBackendError
from geodistill_core.localization import Localizer
from geodistill_core.types import Estimate, GroundImage, Prior

NO_MAP = "no_map"
NONFINITE = "nonfinite"


def attempt(localizer: Localizer, image: GroundImage, prior: Prior) -> Estimate | str:
    """The estimate, or the reason under which the frame is counted as dropped (the live node's names)."""
    try:
        return localizer.locate(image, prior)
    except MapError:
        return NO_MAP
    except RuntimeBackendError:
        return NONFINITE
