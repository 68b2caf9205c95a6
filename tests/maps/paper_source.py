# SPDX-License-Identifier: Apache-2.0
"""A remote source without a network: its tiles are grey paper, and the test says which are at hand and what loads."""

import threading

import numpy as np

from geodistill_core.maps.address import TileAddress, cells_under
from geodistill_core.maps.fetch import FetchError, Health
from geodistill_core.maps.remote.source import Piece, RemoteSource
from geodistill_core.maps.slippy import SlippyGrid
from geodistill_core.maps.spec import parse_source

ZOOM, MPP = 19, 0.25
PAPER = np.full((256, 256, 3), 200, np.uint8)
SPEC = {
    "name": "paper",
    "kind": "xyz",
    "url": "https://paper.invalid/{z}/{x}/{y}.png",
    "attribution": "paper mill",
    "terms_url": "own",
    "terms_accepted": True,
    "cache_allowed": True,
    "zooms": [12, 19],
    "map_sigma_m": 0.7,
}


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 1000.0

    def __call__(self):
        return self.now_s


class PaperService:
    """Stands for the fetcher."""

    state = "online"

    def health(self):
        return Health(self.state, None if self.state == "online" else "refused", 61.0, {"requests": 7})

    def close(self):
        pass


class PaperSource(RemoteSource):
    """`at_hand`, `stale`: addresses; `fails(address)` whether a request does; `asked`: every request, in order."""

    def __init__(self, clock=None):
        super().__init__(parse_source(SPEC, "paper"), PaperService(), clock=clock or Clock())
        self.at_hand, self.stale, self.asked = set(), set(), []
        self.fails = lambda address: False
        self.during = lambda address: None
        self._lock = threading.Lock()
        self.in_flight = self.peak = 0

    def grids(self, target):
        def paper(column, row, zoom):
            return (PAPER, None) if TileAddress(zoom, column, row) in self.at_hand else None

        return (SlippyGrid(ZOOM, 256, paper),)

    def addresses(self, target):
        cells = cells_under(target, self.grids(target)[0], 256)
        return tuple(TileAddress(ZOOM, column, row) for column, row in cells)

    def piece_at_hand(self, address):
        return Piece((PAPER, None), address not in self.stale) if address in self.at_hand else None

    def fetch_piece(self, address, deadline_s):
        with self._lock:
            self.asked.append(address)
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
        try:
            self.during(address)
            if self.fails(address):
                raise FetchError("server", "no answer", retry_after_s=4.0)
            self.at_hand.add(address)
            self.stale.discard(address)
        finally:
            with self._lock:
                self.in_flight -= 1
