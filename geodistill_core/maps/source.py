# SPDX-License-Identifier: Apache-2.0
"""What every map is: imagery that answers for any place with a north-up tile in true metres."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType

from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.types import GeoPoint, MapTile


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What a map holds: kind, coverage, zoom levels (none without a pyramid), finest ground resolution."""

    kind: str
    location: str
    bounds: GeoBounds
    zooms: tuple[int, ...]
    metres_per_pixel: float
    attribution: str


class MapSource(ABC):
    """Imagery of some part of the earth. Reads are safe from any thread; a context manager closes it.

    `map_sigma_m` is the standard deviation of the imagery's own position, per axis in metres; 0 where unknown.
    """

    attribution: str = ""
    map_sigma_m: float = 0.0

    @abstractmethod
    def tile(self, center: GeoPoint, extent_m: float, metres_per_pixel: float) -> MapTile:
        """A square tile of `extent_m` metres around `center`, resampled into the tangent plane there.

        Its side is extent_m / metres_per_pixel rounded to whole pixels. Where imagery is missing, `valid` is
        False; MapError when nothing at all is covered, ConfigError for a side outside 16..8192 pixels.
        """

    def tile_ahead(self, center: GeoPoint, extent_m: float, metres_per_pixel: float) -> MapTile:
        """As `tile`, for somebody who only prepares: it says nothing of the place where the vehicle is."""
        return self.tile(center, extent_m, metres_per_pixel)

    @abstractmethod
    def bounds(self) -> GeoBounds:
        """The rectangle that holds all imagery."""

    @abstractmethod
    def info(self) -> MapInfo:
        """What the map holds."""

    @abstractmethod
    def close(self) -> None:
        """Release files; later reads raise MapError."""

    def __enter__(self) -> MapSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
