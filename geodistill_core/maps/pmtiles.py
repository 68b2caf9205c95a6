# SPDX-License-Identifier: Apache-2.0
"""PMTiles 3: Web Mercator tiles in one file, found through compressed directories; and such a file on disk."""

from __future__ import annotations

import io
import json
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

from pmtiles.tile import (
    Compression,
    Entry,
    MagicNumberNotFound,
    SpecVersionUnsupported,
    TileType,
    deserialize_directory,
    deserialize_header,
    find_tile,
    read_varint,
    zxy_to_tileid,
)

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.cache import MemoryCache
from geodistill_core.maps.decode import plain_text, stated_sigma_m
from geodistill_core.maps.slippy_source import SlippySource

ReadBytes = Callable[[int, int], bytes]
"""(offset, length) to the bytes there, fewer where the file ends."""

MAGIC = b"PMTiles"
_HEADER_BYTES = 127
_MAX_DEPTH = 4
_DIRECTORY_BYTES = 1 << 26
# What an entry takes in memory, and at least in the file.
_ENTRY_BYTES, _LEAST_ENTRY = 120, 4
# A directory or the metadata beyond this is damage or malice: real ones stay below 1 MiB.
_MAX_UNPACKED = 1 << 22
_MAX_TILE = 1 << 23
_IMAGERY = (TileType.PNG, TileType.JPEG, TileType.WEBP)
_DAMAGE = (ValueError, EOFError, IndexError, KeyError, OverflowError, OSError, zlib.error)


class Archive:
    """Where an archive keeps its tiles. `name` is for messages; MapError for what is no archive of imagery."""

    def __init__(self, read: ReadBytes, name: str) -> None:
        self._name = name
        try:
            header = deserialize_header(self._exactly(read, 0, _HEADER_BYTES))
        except (MagicNumberNotFound, SpecVersionUnsupported, *_DAMAGE) as error:
            raise MapError(f"{name} is not a PMTiles archive of version 3; convert it: pmtiles convert") from error
        kind, packed = header["tile_type"], (header["internal_compression"], header["tile_compression"])
        if kind not in _IMAGERY:
            raise MapError(f"{name} holds {kind.name} tiles; imagery is needed: PNG, JPEG or WEBP")
        if packed[0] is not Compression.GZIP or packed[1] not in (Compression.NONE, Compression.UNKNOWN):
            raise MapError(
                f"{name} is compressed as {packed[0].name} with tiles as {packed[1].name}; GZIP with tiles as NONE is "
                "readable: pmtiles convert"
            )
        self._header = header
        self.zooms = tuple(range(header["min_zoom"], min(header["max_zoom"], mercator.MAX_ZOOM) + 1))
        if not self.zooms:
            raise MapError(f"{name} states zooms {header['min_zoom']}..{header['max_zoom']}; copy the file again")
        corners = (header[key] / 1e7 for key in ("min_lon_e7", "min_lat_e7", "max_lon_e7", "max_lat_e7"))
        try:
            self.bounds = GeoBounds(*corners)
        except ConfigError as error:
            raise MapError(f"{name} states impossible bounds: {error}") from error
        self._directories: MemoryCache[tuple[int, int], list[Entry]] = MemoryCache(_DIRECTORY_BYTES)

    def find(self, zoom: int, column: int, row: int, read: ReadBytes) -> tuple[int, int] | None:
        """(offset, length) of a slippy tile's picture, None where the archive has none."""
        number = zxy_to_tileid(zoom, column, row)
        entry = self._descend(read, lambda entries: find_tile(entries, number))
        return None if entry is None else self._span(entry)

    def any_tile(self, read: ReadBytes) -> tuple[int, int]:
        """(offset, length) of the first tile's picture."""
        entry = self._descend(read, lambda entries: entries[0] if entries else None)
        if entry is None:
            raise MapError(f"{self._name} holds no tiles")
        return self._span(entry)

    def stated(self, read: ReadBytes) -> tuple[str, float]:
        """The attribution without markup, and `map_sigma_m` (0 where unknown), as the metadata say."""
        span = self._header["metadata_offset"], self._header["metadata_length"]
        try:
            metadata = json.loads(self._unpack(self._exactly(read, *span))) if span[1] else {}
            attribution, sigma_m = (str(metadata.get(name, "")) for name in ("attribution", "map_sigma_m"))
        except (AttributeError, RecursionError, *_DAMAGE) as error:
            raise MapError(f"{self._name} has damaged metadata; copy the file again") from error
        return plain_text(attribution), stated_sigma_m(sigma_m)

    def _descend(self, read: ReadBytes, choose: Callable[[list[Entry]], Entry | None]) -> Entry | None:
        offset, length = self._header["root_offset"], self._header["root_length"]
        for _ in range(_MAX_DEPTH):
            entry = choose(self._entries(offset, length, read))
            if entry is None or entry.run_length > 0:
                return entry
            offset, length = self._header["leaf_directory_offset"] + entry.offset, entry.length
        raise MapError(f"{self._name} nests directories deeper than {_MAX_DEPTH}; copy the file again")

    def _entries(self, offset: int, length: int, read: ReadBytes) -> list[Entry]:
        known = self._directories.get((offset, length))
        if known is not None:
            return known
        try:
            packed = self._exactly(read, offset, length)
            # Looked at first, within bounds: the library unpacks and counts whatever it is given.
            plain = self._unpack(packed)
            if read_varint(io.BytesIO(plain)) * _LEAST_ENTRY > len(plain):
                raise ValueError("more entries than bytes")
            entries = deserialize_directory(packed)
        except _DAMAGE as error:
            raise MapError(f"{self._name} has a damaged directory at byte {offset}; copy the file again") from error
        self._directories.put((offset, length), entries, _ENTRY_BYTES * len(entries))
        return entries

    def _span(self, entry: Entry) -> tuple[int, int]:
        if not 0 < entry.length <= _MAX_TILE:
            raise MapError(f"{self._name} has a tile of {entry.length} bytes; 1..{_MAX_TILE} are readable")
        return self._header["tile_data_offset"] + entry.offset, entry.length

    @staticmethod
    def _exactly(read: ReadBytes, offset: int, length: int) -> bytes:
        if length > _MAX_UNPACKED:
            raise ValueError("too long")
        data = read(offset, length)
        if len(data) != length:
            raise EOFError("the file ends early")
        return data

    @staticmethod
    def _unpack(packed: bytes) -> bytes:
        unpacker = zlib.decompressobj(wbits=31)
        data = unpacker.decompress(packed, _MAX_UNPACKED)
        if not unpacker.eof:
            raise ValueError("unpacks to too much, or is cut")
        return data


class PMTilesFile(SlippySource):
    """An archive on disk with PNG, JPEG or WebP tiles."""

    kind = "pmtiles"

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise MapError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            self._archive = Archive(self._read, str(path))
            a_tile = self._read(*self._archive.any_tile(self._read))
            super().__init__(str(path), self._archive.zooms, self._archive.bounds, a_tile)
            self.attribution, self.map_sigma_m = self._archive.stated(self._read)
        except BaseException:
            self._file.close()
            raise

    def _read(self, offset: int, length: int) -> bytes:
        try:
            with self._lock:
                self._file.seek(offset)
                return self._file.read(length)
        except (OSError, ValueError) as error:
            raise MapError(f"{self._path} cannot be read at byte {offset}: {error}") from error

    def content(self, column: int, row: int, zoom: int) -> bytes | None:
        """See `SlippySource.content`."""
        span = self._archive.find(zoom, column, row, self._read)
        return None if span is None else self._read(*span)

    def close(self) -> None:
        """Close the file."""
        super().close()
        with self._lock:
            self._file.close()
