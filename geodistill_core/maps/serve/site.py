# SPDX-License-Identifier: Apache-2.0
"""A map as a web service: which path gives what."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

from geodistill_core.geometry import mercator
from geodistill_core.maps.cache import MemoryCache
from geodistill_core.maps.cut import cut
from geodistill_core.maps.encode import encode_tile
from geodistill_core.maps.serve.capabilities import tile_json, wms_capabilities, wmts_capabilities
from geodistill_core.maps.serve.http import LocalServer, Reply, Request
from geodistill_core.maps.serve.ranges import file_reply
from geodistill_core.maps.serve.wms import FORMATS, get_map
from geodistill_core.maps.source import MapInfo, MapSource
from geodistill_core.maps.target import SlippyTarget

_TILE = re.compile(
    r"/((?P<scheme>tms|512)/|(?P<wmts>wmts/map/default/GoogleMapsCompatible)/)?"
    r"(?P<zoom>\d{1,2})/(?P<first>\d{1,9})/(?P<second>\d{1,9})(?P<double>@2x)?\.(?P<format>png|jpg|webp)"
)
_MEDIA_TYPES = {image_format: media_type for media_type, image_format in FORMATS.items()}
_DRAWN_BYTES, _ENTRY_BYTES = 64 << 20, 500
# Coarser tiles would read the whole map for a few pixels, finer ones would only enlarge it.
_COARSER, _FINER = 3, 2
_NOT_FOUND = Reply(b"not found; see /tiles.json, /wms?, /wmts?\n", status=404)


def _zooms(info: MapInfo) -> range:
    """Zoom levels worth offering for 256-pixel tiles."""
    finest = mercator.zoom_as_fine_as(info.metres_per_pixel, info.bounds.center.latitude)
    coarsest = min(info.zooms, default=finest)
    return range(max(min(coarsest, finest) - _COARSER, 0), min(finest + _FINER, mercator.MAX_ZOOM) + 1)


class MapSite:
    """Answers for one map: XYZ (256, @2x, /512), /tms, /wmts, /wms, /tiles.json; and /file/NAME, by ranges."""

    def __init__(self, source: MapSource, file: Path | None = None) -> None:
        self._source, self._file = source, file
        self.info = source.info()
        self.zooms = _zooms(self.info)
        self._drawn: MemoryCache[tuple[int, int, int, int, str], tuple[bytes, str]] = MemoryCache(_DRAWN_BYTES)

    def __call__(self, request: Request) -> Reply:
        """The answer to a request; readable from pages of any origin, as map panels in browsers need."""
        reply = self._route(request)
        if isinstance(reply.body, bytes) and reply.status == 200:
            tag = f'"{hashlib.sha256(reply.body).hexdigest()[:16]}"'
            if request.headers.get("if-none-match") == tag:
                reply = replace(reply, body=b"", status=304)
            reply = replace(reply, headers={"ETag": tag, "Cache-Control": "public, max-age=3600", **reply.headers})
        return replace(reply, headers={"Access-Control-Allow-Origin": "*", **reply.headers})

    def _route(self, request: Request) -> Reply:
        if match := _TILE.fullmatch(request.path):
            return self._tile(*_address(match), match["format"])
        services = {
            "/": self._tile_json,
            "/tiles.json": self._tile_json,
            "/wms": self._wms,
            "/wmts": self._wmts,
        }
        if request.path in services:
            return services[request.path](request.query, f"http://{request.headers.get('host', '')}")
        if self._file is not None and request.path == f"/file/{self._file.name}":
            return file_reply(self._file, request)
        return _NOT_FOUND

    def _tile_json(self, query: dict[str, str], url: str) -> Reply:
        return Reply(tile_json(self.info, url, self.zooms), "application/json")

    def _wms(self, query: dict[str, str], url: str) -> Reply:
        if query.get("REQUEST", "").lower() == "getmap":
            return get_map(self._source, query)
        return Reply(wms_capabilities(self.info, url, list(FORMATS)), "text/xml")

    def _wmts(self, query: dict[str, str], url: str) -> Reply:
        if query.get("REQUEST", "").lower() != "gettile":
            return Reply(wmts_capabilities(self.info, url, self.zooms), "text/xml")
        try:
            zoom, column, row = (int(query[name]) for name in ("TILEMATRIX", "TILECOL", "TILEROW"))
            image_format = FORMATS[query.get("FORMAT", "image/png")]
        except (KeyError, ValueError):
            return Reply(b"TILEMATRIX, TILEROW, TILECOL and a FORMAT of ours are needed\n", status=400)
        return self._tile(zoom, column, row, 256, image_format)

    def _tile(self, zoom: int, column: int, row: int, side: int, image_format: str) -> Reply:
        # A tile of 512 pixels is as fine as one of 256 a zoom level down.
        if zoom + (side == 512) not in self.zooms or not 0 <= row < 1 << zoom or not 0 <= column < 1 << zoom:
            return _NOT_FOUND
        place = zoom, column, row, side, image_format
        drawn = self._drawn.get(place)
        if drawn is None:
            rgb, valid = cut(self._source, SlippyTarget(column, row, zoom, side))
            if not valid.any():
                return _NOT_FOUND
            # Only PNG can say which pixels are missing.
            media_type = _MEDIA_TYPES[image_format] if valid.all() else "image/png"
            drawn = encode_tile(rgb, valid, image_format), media_type
            self._drawn.put(place, drawn, len(drawn[0]) + _ENTRY_BYTES)
        return Reply(*drawn)


def _address(match: re.Match[str]) -> tuple[int, int, int, int]:
    """(zoom, column, row from the north, side in pixels) of a tile's path."""
    zoom, column, row = int(match["zoom"]), int(match["first"]), int(match["second"])
    if match["wmts"]:
        column, row = row, column
    if match["scheme"] == "tms":
        row = (1 << zoom) - 1 - row
    return zoom, column, row, 512 if match["double"] or match["scheme"] == "512" else 256


def serve(source: MapSource, host: str = "127.0.0.1", port: int = 0, *, file: Path | None = None) -> LocalServer:
    """Serve a map until the server is closed; port 0 takes a free one. MapError: the address cannot be used.

    `file` is offered for range requests too (a COG or PMTiles). The source stays the caller's to close.
    """
    return LocalServer(MapSite(source, file), host, port)
