# SPDX-License-Identifier: Apache-2.0
"""`Localizer.locate`: the method of the papers. The node, the replayer, the evaluation and the demo all call it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from geodistill_core.errors import ConfigError, MapError, NotFiniteError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.covariance import CovarianceScale
from geodistill_core.localization.encoded_tiles import EncodedTiles
from geodistill_core.localization.estimate import EstimateConfig, estimate, posterior
from geodistill_core.localization.heights import log_likelihood, log_likelihoods
from geodistill_core.maps import MapSource, open_map
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.checkpoint import load_checkpoint
from geodistill_core.models.manifest import Manifest
from geodistill_core.models.orientation import OrientationNetwork
from geodistill_core.types import Array, Estimate, GeoPoint, GroundImage, HeatMap, MapTile, Prior

if TYPE_CHECKING:
    from geodistill_core.runtime.attach import Attached
    from geodistill_core.runtime.ladder import Runtime, RuntimeOptions


@dataclass(frozen=True, slots=True)
class LocalizerConfig:
    """How far and how finely to search; `prior="flat"` leaves the GNSS out of the posterior (likelihood only).

    `orientation_model` names the checkpoint of an orientation network, whose belief about the heading joins the heat
    map's (GeoDistill, section 3.3).
    """

    prior: Literal["gaussian", "flat"] = "gaussian"
    tile_extent_m: float = 96.0
    tile_grid_m: float = 8.0
    cached_tiles: int = 16
    orientation_model: str | None = None
    yaw_step_deg: float = 3.0
    yaw_window_sigmas: float = 2.3
    estimate: EstimateConfig = field(default_factory=EstimateConfig)

    def __post_init__(self) -> None:
        if self.prior not in ("gaussian", "flat"):
            raise ConfigError(f"prior {self.prior!r} is neither 'gaussian' nor 'flat'")
        if not 0.5 <= self.yaw_step_deg <= 15:
            raise ConfigError(f"yaw_step_deg {self.yaw_step_deg} is outside 0.5..15")
        if not 48 <= self.tile_extent_m <= 200:
            raise ConfigError(f"tile_extent_m {self.tile_extent_m} is outside 48..200 m")


class Localizer:
    """A network, its calibration and a map; optionally an orientation network."""

    def __init__(
        self,
        network: AnyNetwork,
        manifest: Manifest,
        source: MapSource,
        config: LocalizerConfig,
        orientation: OrientationNetwork | None = None,
    ) -> None:
        self.manifest = manifest
        self.source = source
        self.config = config
        self.orientation = orientation
        self._running = network, self._encoded(network)
        self._before: Callable[[GroundImage], None] | None = None
        self.runtime: Attached | None = None
        self._orientation_tiles = None if orientation is None else self._encoded(orientation)

    @staticmethod
    def load(
        model: str | Path,
        map: MapSource | str | Path,
        config: LocalizerConfig | None = None,
        *,
        runtime: Runtime | RuntimeOptions = "torch",
    ) -> Localizer:
        """A verified checkpoint (shipped name or folder) over a map (open source or path).

        `runtime` names what runs the network; other than on torch, the first image waits until it is compiled.

        Raises:
            CheckpointError, MapError: either cannot be used.
            ConfigError: the orientation model is none, or there is no such runtime.
        """
        from geodistill_core.runtime.attach import Attached
        from geodistill_core.runtime.ladder import RuntimeOptions

        options = runtime if isinstance(runtime, RuntimeOptions) else RuntimeOptions(runtime)
        source = map if isinstance(map, MapSource) else open_map(map)
        config = config or LocalizerConfig()
        orientation = None if config.orientation_model is None else orientation_network(config.orientation_model)
        localizer = Localizer(*load_checkpoint(model), source, config, orientation)
        localizer.runtime = Attached(localizer, options)
        return localizer

    @property
    def network(self) -> AnyNetwork:
        """The network that localizes."""
        return self._running[0]

    def run_on(self, network: AnyNetwork) -> None:
        """Localize with another form of the same network from the next image on; tiles are encoded anew."""
        self._running = network, self._encoded(network)

    def before_locating(self, call: Callable[[GroundImage], None] | None) -> None:
        """Have each image shown to `call` before it is localized; None ends that."""
        self._before = call

    def _encoded(self, network: AnyNetwork) -> EncodedTiles:
        size = network.map_size_px
        extent_m = self.config.tile_extent_m if size is None else size * network.metres_per_pixel
        return EncodedTiles(
            network,
            self.source,
            extent_m=extent_m,
            grid_m=self.config.tile_grid_m,
            capacity=self.config.cached_tiles,
        )

    @property
    def tile_extent_m(self) -> float:
        """Width of the tiles that are matched: the network's own where it reads one size only."""
        return self._running[1].extent_m

    @torch.inference_mode()
    def locate(self, image: GroundImage, prior: Prior) -> Estimate:
        """Where the image was taken, given roughly where and how the vehicle stood.

        Raises:
            MapError: no imagery around the prior.
            NotFiniteError: the network's output is not finite.
            RuntimeBackendError: the back end failed.
        """
        if self._before is not None:
            self._before(image)
        network, tiles = self._running
        tile, map_features = tiles.around(prior.point)
        yaw = self._yaw_hypotheses(prior)
        log_p = log_likelihood(network, image, map_features, yaw, self._temperature)
        self._add_orientation(log_p, image, prior, yaw)
        heatmap = self._posterior(log_p, prior, tile, yaw)
        return estimate(heatmap, tile, image.stamp_ns, self.estimate_config)

    @torch.inference_mode()
    def log_likelihoods(
        self, image: GroundImage, point: GeoPoint, yaw_enu_rad: Array, height_offsets_m: Array
    ) -> list[HeatMap]:
        """Log-likelihoods (float64, up to one constant) of poses around `point` at yaws [Y], by the image alone.

        One for each offset [N] from the image's stated camera height; a single one where the network's answer does not
        depend on it.

        Raises:
            MapError: no imagery around the point.
        """
        network, tiles = self._running
        tile, map_features = tiles.around(point)
        answers = log_likelihoods(network, image, map_features, yaw_enu_rad, self._temperature, height_offsets_m)
        return [self._on_grid(log_p, tile, yaw_enu_rad) for log_p in answers]

    @torch.inference_mode()
    def prepare(self, point: GeoPoint) -> bool:
        """Encode the map around a position ahead of time, from any thread, so that `locate` finds it done there.

        False where there was nothing to do, or not all imagery is at hand.
        """
        return any([tiles.prepare(point) for tiles in self._tile_caches])

    @property
    def tile_shapes(self) -> tuple[tuple[float, float], ...]:
        """(extent in metres, metres per pixel) of the tiles that are asked of the map."""
        return tuple((tiles.extent_m, tiles.network.metres_per_pixel) for tiles in self._tile_caches)

    @property
    def _tile_caches(self) -> list[EncodedTiles]:
        return [tiles for tiles in (self._running[1], self._orientation_tiles) if tiles is not None]

    @property
    def estimate_config(self) -> EstimateConfig:
        """How heat maps become answers, with the scale that the checkpoint's calibration states."""
        return replace(self.config.estimate, scale=CovarianceScale.of(self.manifest.calibration))

    @property
    def _temperature(self) -> float:
        calibration = self.manifest.calibration
        return calibration.temperature if calibration else 1.0

    def _add_orientation(self, log_p: Array, image: GroundImage, prior: Prior, yaw: Array) -> None:
        """Add the orientation network's log-probability of each yaw [Y], where there is one, to log_p [Y, P, P]."""
        if self.orientation is None or self._orientation_tiles is None:
            return
        _, map_features = self._orientation_tiles.around(prior.point)
        ground = self.orientation.encode_ground(self.orientation.prepare_ground(image, prior.yaw_enu_rad))
        of_yaw = self.orientation.match(ground, map_features, torch.from_numpy(yaw).float().unsqueeze(0))
        log_p += of_yaw.double().numpy().reshape(-1, 1, 1)

    def _yaw_hypotheses(self, prior: Prior) -> Array:
        step = math.radians(self.config.yaw_step_deg)
        reach = math.ceil(min(prior.sigma_yaw_rad * self.config.yaw_window_sigmas, math.pi) / step)
        reach = min(reach, math.ceil(math.pi / step) - 1)
        return prior.yaw_enu_rad + step * np.arange(-reach, reach + 1)

    def _posterior(self, log_p: Array, prior: Prior, tile: MapTile, yaw: Array) -> HeatMap:
        """Softmax of log-likelihoods [Y, P, P], to which the log prior is added in place."""
        likeliest = log_p.max()  # NaN where any is
        if np.isneginf(likeliest):
            raise MapError(
                f"no valid cell: the map around {prior.latitude:.6f}, {prior.longitude:.6f} has too little valid "
                "imagery to match against; extend the map"
            )
        if not np.isfinite(likeliest):
            raise NotFiniteError("the network returned NaN or infinite logits; check the checkpoint and the runtime")
        grid = self._on_grid(log_p, tile, yaw)
        if self.config.prior == "gaussian":
            for term in self.log_prior(prior, grid):
                log_p += term
        return posterior(log_p, grid)

    def _on_grid(self, values: Array, tile: MapTile, yaw: Array) -> HeatMap:
        """Values [Y, P, P] with the geo-reference of the network's answers about a tile."""
        cell, (east, south) = self.network.metres_per_cell, self.network.heatmap_shift_cells
        center = LocalFrame(tile.center).point(east * cell, -south * cell) if east or south else tile.center
        return HeatMap(values, center, cell, yaw)

    @staticmethod
    def log_prior(prior: Prior, grid: HeatMap) -> tuple[Array, Array]:
        """Gaussians over position [P, P] and yaw [Y, 1, 1] on the heat map's cells, which add up to the log prior."""
        east, north = grid.axes_m()
        at_east, at_north = LocalFrame(grid.center).to_enu(prior.latitude, prior.longitude)
        distance_sq = (north[:, None] - at_north) ** 2 + (east[None, :] - at_east) ** 2
        yaw_sq = (grid.yaw_enu_rad - prior.yaw_enu_rad) ** 2
        return distance_sq / (-2 * prior.sigma_m**2), yaw_sq[:, None, None] / (-2 * prior.sigma_yaw_rad**2)

    def fingerprint(self) -> str:
        """Identifies model and settings in reports, wherever checkpoints lie."""
        name = self.config.orientation_model
        config = replace(self.config, orientation_model=name and Path(name).name)
        decisive = f"{self.manifest.sha256}{self.manifest.calibration}{config}"
        return hashlib.sha256(decisive.encode()).hexdigest()[:12]


def orientation_network(name: str) -> OrientationNetwork:
    """The orientation network of a checkpoint (shipped name or folder).

    Raises:
        CheckpointError: it cannot be used.
        ConfigError: it is another network.
    """
    network, _ = load_checkpoint(name)
    if not isinstance(network, OrientationNetwork):
        raise ConfigError(
            f"orientation model {name!r} is a {type(network).__name__}, no orientation network; "
            "name a checkpoint of architecture geodistill_orientation"
        )
    return network
