# SPDX-License-Identifier: Apache-2.0
"""From a camera image and a rough position to a pose with covariance."""

from geodistill_core.localization.estimate import EstimateConfig
from geodistill_core.localization.localizer import Localizer, LocalizerConfig

__all__ = ["EstimateConfig", "Localizer", "LocalizerConfig"]
