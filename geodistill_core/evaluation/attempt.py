# SPDX-License-Identifier: Apache-2.0
"""One frame through the localizer: an estimate, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from geodistill_core.errors import MapError, RuntimeBackendError
from geodistill_core.localization import Localizer
from geodistill_core.localization.planar_pose import CovarianceError, UnmeasuredSigmas, covariance_36
from geodistill_core.types import Estimate, GroundImage, Prior

NO_MAP = "no_map"
NONFINITE = "nonfinite"
COVARIANCE = "covariance"


def attempt(localizer: Localizer, image: GroundImage, prior: Prior) -> Estimate | str:
    """The estimate, or the reason under which the frame is counted as dropped (the live node's names)."""
    return attempted(lambda: localizer.locate(image, prior))


def attempted(locate: Callable[[], Estimate]) -> Estimate | str:
    """What `locate` finds, or the reason why it does not."""
    try:
        found = locate()
        covariance_36(np.asarray(found.covariance), UnmeasuredSigmas())
    except MapError:
        return NO_MAP
    except RuntimeBackendError:
        return NONFINITE
    except CovarianceError:
        return COVARIANCE
    return found
