# SPDX-License-Identifier: Apache-2.0
"""What a configured node holds: a network over a map. Opening it is the slow half of `configure`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from geodistill_core.errors import ConfigError
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.maps import open_map
from geodistill_core.types import Estimate, GroundImage, Prior
from geodistill_ros.parameters import NodeParameters


class Locating(Protocol):
    """What the node needs of a localizer."""

    def locate(self, image: GroundImage, prior: Prior) -> Estimate:
        """The pose from an image and a prior; raises GeodistillError."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A localizer, how to release it, whether its covariance is calibrated, and what it is made of."""

    localizer: Locating
    close: Callable[[], None]
    calibrated: bool
    facts: dict[str, str]


EngineFactory = Callable[[NodeParameters], Engine]


def load_engine(settings: NodeParameters) -> Engine:
    """Open map and checkpoint; the checkpoint's probe runs the network once, so it is warm afterwards.

    Raises:
        GeodistillError: the map or the checkpoint cannot be used.
    """
    if not settings.map:
        raise ConfigError("parameter 'map' is empty; set it to an .mbtiles file, a GeoTIFF or a tile folder")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    source = open_map(settings.map)
    try:
        config = LocalizerConfig(prior=settings.prior, orientation_model=settings.orientation_model or None)
        localizer = Localizer.load(settings.model, source, config)
    except BaseException:
        source.close()
        raise
    facts = {
        "model": settings.model,
        "map": settings.map,
        "fingerprint": localizer.fingerprint(),
        "attribution": source.attribution,
        "threads": str(torch.get_num_threads()),
    }
    return Engine(localizer, source.close, localizer.manifest.calibration is not None, facts)
