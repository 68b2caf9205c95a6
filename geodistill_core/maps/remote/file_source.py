# SPDX-License-Identifier: Apache-2.0
"""Maps that are one file on a server: read what is at hand, fetch what that came upon, read again."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, TypeVar

from geodistill_core.errors import MapError
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.cache import MemoryCache
from geodistill_core.maps.fetch import FetchError
from geodistill_core.maps.grid import Pixels
from geodistill_core.maps.remote.file import NotAtHandError, RemoteFile
from geodistill_core.maps.remote.source import Piece, RemoteSource
from geodistill_core.maps.slippy import DecodedTile, bytes_of
from geodistill_core.maps.target import Target

OPENING = TileAddress(0, 0, 0)
"""Stands for the file's head, which tells what else there is."""
# How many times reading one piece may come upon bytes that are not at hand.
_STEPS = 64
_ATTEMPTS = 10_000


Head = TypeVar("Head")


class FileSource(RemoteSource, Generic[Head]):
    """Pieces of one file. Until its head is at hand, `missing` names that alone."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.file = RemoteFile(self.spec, self.fetcher, self.cache, self.clock)
        self._decoded: MemoryCache[tuple[str, TileAddress], Piece] = MemoryCache(self.memory_bytes)
        self._in_vain: MemoryCache[tuple[str, TileAddress], int] = MemoryCache(_ATTEMPTS)
        self._head: tuple[str | None, Head] | None = None
        self._headless: tuple[str | None, int] | None = None

    @abstractmethod
    def read_piece(self, address: TileAddress) -> DecodedTile | None:
        """Decode a piece from bytes at hand. Raises NotAtHandError, or MapError for damage."""

    @abstractmethod
    def read_head(self) -> Head:
        """What tells where the pieces are, from bytes at hand. Raises as `read_piece`."""

    def head(self) -> Head:
        """The head of the edition at hand, read once. Raises as `read_piece`."""
        edition, known = self.file.edition(), self._head
        if known is None or known[0] != edition:
            known = self._head = edition, self.read_head()
        return known[1]

    def head_at_hand(self) -> Head | None:
        """The head, None where it is not at hand or no head of this kind."""
        state = self.file.edition(), self.file.fetches
        if state == self._headless:
            return None
        try:
            return self.head()
        except MapError:
            self._headless = state
            return None

    def piece_at_hand(self, address: TileAddress) -> Piece | None:
        """See `RemoteSource.piece_at_hand`."""
        edition = self.file.edition()
        if edition is None:
            return None
        held = self._decoded.get((edition, address))
        if held is None:
            if self._in_vain.get((edition, address)) == self.file.fetches:
                return None
            fetches = self.file.fetches
            try:
                held = self._decode(edition, address)
            except MapError:
                self._in_vain.put((edition, address), fetches, 1)
                return None
        return Piece(held.pixels, self.file.is_fresh())

    def fetch_piece(self, address: TileAddress, deadline_s: float) -> None:
        """See `RemoteSource.fetch_piece`."""
        until_s = self.clock() + deadline_s
        self.file.open(deadline_s)
        for _ in range(_STEPS):
            try:
                self._decode(self.file.edition() or "", address)
                return
            except NotAtHandError as lacking:
                left_s = until_s - self.clock()
                if left_s <= 0.0:
                    raise FetchError("timeout", f"{self.spec.name}: reading {address} took too long", 1.0) from None
                self.file.fetch(lacking.spans, left_s)
        raise MapError(f"{self.spec.name} scatters one tile over more than {_STEPS} places; make the file anew")

    def sample(self, target: Target) -> Pixels:
        """See `RemoteSource.sample`."""
        self.open()
        return super().sample(target)

    def open(self) -> None:
        """Bring the head to hand; blocks. Raises FetchError, or MapError for a file of another kind."""
        if self.head_at_hand() is None:
            self.load_or_keep(OPENING, self.clock() + self.deadline_s)

    def _decode(self, edition: str, address: TileAddress) -> Piece:
        piece = Piece(self.read_piece(address), True)
        self._decoded.put((edition, address), piece, bytes_of(piece.pixels))
        return piece
