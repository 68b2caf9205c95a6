# SPDX-License-Identifier: Apache-2.0
"""`geodistill map`: look into map imagery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pyproj import Geod
from rich.console import Console

from geodistill_core.cli.output import JsonOption, emit, table
from geodistill_core.maps import GeoBounds, MapInfo, open_map
from geodistill_core.types import GeoPoint

app = typer.Typer(help="Look into map imagery.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Look into map imagery."""


def _extent_m(bounds: GeoBounds) -> tuple[float, float]:
    """Metres along the middle parallel and the middle meridian."""
    geod, middle = Geod(ellps="WGS84"), bounds.center
    along = np.linspace(0.0, 1.0, 181)
    east_m = geod.line_length(bounds.west + along * bounds.width, np.full(181, middle.latitude))
    north_m = geod.line_length([middle.longitude] * 2, [bounds.south, bounds.north])
    return float(east_m), float(north_m)


def summary(info: MapInfo) -> dict[str, Any]:
    """What `map info` tells, as JSON values: degrees, metres, zoom levels."""
    bounds = info.bounds
    width_m, height_m = _extent_m(bounds)
    return {
        "map": info.location,
        "kind": info.kind,
        "bounds": {"west": bounds.west, "south": bounds.south, "east": bounds.east, "north": bounds.north},
        "center": {"latitude": bounds.center.latitude, "longitude": bounds.center.longitude},
        "extent_m": {"east": width_m, "north": height_m},
        "metres_per_pixel": info.metres_per_pixel,
        "zooms": list(info.zooms),
        "attribution": info.attribution,
    }


def _corner(latitude: float, longitude: float) -> str:
    point = GeoPoint(latitude, longitude)
    return f"{point.latitude:.6f}, {point.longitude:.6f}"


def _render(console: Console, info: MapInfo) -> None:
    facts, bounds = summary(info), info.bounds
    shown = table(info.location, "", "")
    shown.add_row("kind", info.kind)
    shown.add_row("south-west", _corner(bounds.south, bounds.west))
    shown.add_row("north-east", _corner(bounds.north, bounds.east))
    shown.add_row("size", f"{facts['extent_m']['east']:.0f} m x {facts['extent_m']['north']:.0f} m")
    shown.add_row("resolution", f"{info.metres_per_pixel:.3f} m per pixel")
    shown.add_row("zoom levels", ", ".join(str(zoom) for zoom in info.zooms) or "–")
    shown.add_row("attribution", info.attribution or "– (none stated: check the licence before you publish)")
    console.print(shown)


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="Folder of named tiles, MBTiles, GeoTIFF or VRT.")],
    json_path: JsonOption = None,
) -> None:
    """Show coverage, zoom levels, resolution and attribution of a map."""
    with open_map(path) as map_:
        held = map_.info()
    emit(summary(held), json_path, lambda console: _render(console, held))
