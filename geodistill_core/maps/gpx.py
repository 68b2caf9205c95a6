# SPDX-License-Identifier: Apache-2.0
"""Routes from GPX 1.0 and 1.1 files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import ParseError, XMLParser

import numpy as np

from geodistill_core.errors import MapError
from geodistill_core.types import Array

MAX_BYTES = 256 << 20
_LINES = ("trkseg", "rte")
_POINTS = ("trkpt", "rtept")


class _Lines:
    """Receives the parser's events; keeps points only, whatever else the file holds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lines: list[list[tuple[float, float]]] = []
        self.is_gpx: bool | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition("}")[2]
        if self.is_gpx is None:
            self.is_gpx = name == "gpx"
        if name in _LINES:
            self.lines.append([])
        elif name in _POINTS and self.lines:
            self.lines[-1].append(self._place(attributes))

    def _place(self, attributes: dict[str, str]) -> tuple[float, float]:
        try:
            latitude, longitude = float(attributes["lat"]), float(attributes["lon"])
        except (KeyError, ValueError):
            latitude = longitude = math.nan
        if not (abs(latitude) <= 90.0 and abs(longitude) <= 180.0):
            raise MapError(f"{self._path} has a point at {_shown(attributes)}; latitude and longitude are degrees")
        return latitude, longitude

    def doctype(self, name: str, public: str | None, system: str | None) -> NoReturn:
        # Entities can make a small file endless; GPX has no use for them.
        raise MapError(f"{self._path} declares a document type, which GPX has not; export the route again")

    def close(self) -> None:
        """Nothing is left to do."""


def _shown(attributes: dict[str, str]) -> str:
    return ", ".join(f"{key}={value[:20]!r}" for key, value in attributes.items() if key in ("lat", "lon")) or "nowhere"


def read_gpx(path: str | Path) -> list[Array]:
    """Track segments and routes, each [N, 2] degrees (latitude, longitude); waypoints alone are no route.

    Raises:
        MapError: the file cannot be read, is not GPX, holds no such line, or a point that is none.
    """
    path = Path(path)
    events = _Lines(path)
    parser = XMLParser(target=events)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MapError(f"{path} is larger than {MAX_BYTES >> 20} MB; give a shorter route")
        with path.open("rb") as file:
            while chunk := file.read(1 << 16):
                parser.feed(chunk)
        parser.close()
    except OSError as error:
        raise MapError(f"route {path} cannot be read: {error.strerror}") from error
    except (ParseError, ValueError) as error:
        raise MapError(f"{path} is not a GPX file: {error}") from error
    if not events.is_gpx:
        raise MapError(f"{path} is XML but not GPX; give a file with tracks (trk) or routes (rte)")
    lines = [np.array(line) for line in events.lines if line]
    if not lines:
        raise MapError(f"{path} holds no track or route; waypoints alone do not say where to drive")
    return lines
