# SPDX-License-Identifier: Apache-2.0
"""A disc of a remote map that is to be loaded once, laid out bit by bit so that nothing else waits."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from geodistill_core.errors import MapError
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.corridor import disc
from geodistill_core.maps.gridded import plane_target
from geodistill_core.maps.remote import RemoteSource
from geodistill_core.maps.remote.file_source import OPENING
from geodistill_core.types import GeoPoint

PITCH_M = 100.0
"""Distance of the places that a disc is laid out in."""
# So many addresses are laid out at a time. Those that fail wait here, the rest behind them; while the service is
# there, a tile that failed so often is given up.
_AT_A_TIME, _ATTEMPTS = 64, 5
# The square by which tiles are guessed.
_SAMPLE_M = 500.0


def guess(source: RemoteSource, center: GeoPoint, radius_m: float, extent_m: float, metres_per_pixel: float) -> int:
    """About how many tiles are needed for pictures of `extent_m` anywhere within `radius_m`; at once.

    MapError where it cannot be told, because the source is a file that has not been opened yet.
    """
    side_m = min(2.0 * radius_m, _SAMPLE_M)
    sample = source.addresses(plane_target(center, side_m, metres_per_pixel))
    if OPENING in sample:
        raise MapError(
            f"the file of {source.spec.name} has not been opened yet, so it is not known what is to be loaded; "
            "ask again in a few seconds"
        )
    return math.ceil(len(sample) * math.pi * ((radius_m + extent_m / 2.0) / side_m) ** 2)


class Preload:
    """What is left of a disc. For one thread at a time."""

    def __init__(self, center: GeoPoint, radius_m: float) -> None:
        self._places = deque(disc(center, radius_m, PITCH_M))
        self._failures: dict[TileAddress, int] = {}  # of what has been laid out and is not here
        self._given_up: set[TileAddress] = set()

    def left(self) -> int:
        """Places that are not complete."""
        return len(self._places) + bool(self._failures)

    def addresses(self, missing: Callable[[GeoPoint], Mapping[TileAddress, None]]) -> Iterator[TileAddress]:
        """What is to be loaded next; `missing` tells what a place lacks."""
        yield from list(self._failures)
        while self._places and len(self._failures) < _AT_A_TIME:
            known = self._failures.keys() | self._given_up
            more = [address for address in missing(self._places.popleft()) if address not in known]
            self._failures |= dict.fromkeys(more, 0)
            yield from more

    def done(self, address: TileAddress) -> None:
        """An address has been loaded."""
        self._failures.pop(address, None)

    def failed(self, address: TileAddress, offline: bool) -> None:
        """An address could not be loaded; `offline` where that says nothing of the address."""
        if address not in self._failures or offline:
            return
        self._failures[address] += 1
        if self._failures[address] >= _ATTEMPTS:
            del self._failures[address]
            self._given_up.add(address)
