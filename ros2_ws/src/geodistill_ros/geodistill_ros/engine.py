# SPDX-License-Identifier: Apache-2.0
"""What a configured node holds: a network over a map. Opening it is the slow half of `configure`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from geodistill_core.errors import ConfigError
from geodistill_core.localization import EstimateConfig, Localizer, LocalizerConfig
from geodistill_core.localization.ahead import Ahead
from geodistill_core.maps import open_map
from geodistill_core.maps.live import LiveMap, live_map
from geodistill_core.maps.prefetch import Prefetcher
from geodistill_core.models.manifest import TrackCalibration
from geodistill_core.runtime.attach import Attached
from geodistill_core.runtime.ladder import RuntimeOptions
from geodistill_core.tracking.tracked import Locating
from geodistill_ros.parameters import NodeParameters


@dataclass(frozen=True, slots=True)
class Engine:
    """A localizer, how to release it, whether its covariance is calibrated, and what it is made of.

    The localizer leaves the GNSS out of its heat maps unless the output is `per_frame`. `ahead` is told where the
    vehicle drives; `live` is the map where it is a remote one; `runtime` tells what runs the network;
    `track_calibration` is that of poses tracked with it.
    """

    localizer: Locating
    close: Callable[[], None]
    calibrated: bool
    facts: dict[str, str]
    ahead: Ahead | None = None
    live: LiveMap | None = None
    runtime: Attached | None = None
    track_calibration: TrackCalibration | None = None


EngineFactory = Callable[[NodeParameters], Engine]


def load_engine(settings: NodeParameters) -> Engine:
    """Open map and checkpoint; the checkpoint's probe runs the network once, so it is warm afterwards.

    Raises:
        GeodistillError: the map or the checkpoint cannot be used.
    """
    if not settings.map:
        raise ConfigError(
            "parameter 'map' is empty; set it to an .mbtiles file, a GeoTIFF, a tile folder or a source's .yaml"
        )
    if settings.threads:
        torch.set_num_threads(settings.threads)
    source = live_map(open_map(settings.map))
    try:
        config = LocalizerConfig(
            prior="gaussian" if settings.output == "per_frame" else "flat",
            orientation_model=settings.orientation_model or None,
            estimate=EstimateConfig(map_sigma_m=settings.map_sigma_m),
        )
        localizer = Localizer.load(settings.model, source, config)
    except BaseException:
        source.close()
        raise
    runtime = Attached(localizer, _runtime_options(settings), background=True)
    live = source if isinstance(source, LiveMap) else None
    prefetcher = None if live is None else prefetcher_of(live, localizer)
    ahead = Ahead(localizer.prepare, prefetcher).start()

    def close() -> None:
        # The source first: it ends the requests that the threads wait for.
        source.close()
        runtime.close()
        ahead.close()

    facts = {
        "model": settings.model,
        "map": settings.map,
        "fingerprint": localizer.fingerprint(),
        "attribution": source.attribution,
        "threads": str(torch.get_num_threads()),
    }
    tracking = localizer.manifest.tracking
    calibrated = localizer.manifest.calibration is not None and (settings.output != "tracked" or tracking is not None)
    return Engine(localizer, close, calibrated, facts, ahead, live, runtime, tracking)


def _runtime_options(settings: NodeParameters) -> RuntimeOptions:
    cache = Path(settings.runtime_cache) if settings.runtime_cache else None
    return RuntimeOptions(settings.runtime, settings.runtime_precision, cache, settings.runtime_build_limit_s)


def prefetcher_of(live: LiveMap, localizer: Localizer) -> Prefetcher:
    """Fetches what the localizer will ask of the map, over as many connections as the source allows."""
    return Prefetcher(live.source, localizer.tile_shapes, workers=live.source.spec.max_connections)
