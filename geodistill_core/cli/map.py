# SPDX-License-Identifier: Apache-2.0
"""`geodistill map`: prepare map imagery, look into it, serve it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import numpy as np
import typer
from pyproj import Geod
from rich.console import Console

from geodistill_core.cli.map_fetch import fetch
from geodistill_core.cli.output import JsonOption, emit, notes, table
from geodistill_core.errors import ConfigError
from geodistill_core.maps import GeoBounds, MapInfo, open_map

if TYPE_CHECKING:
    from geodistill_core.maps.holes import Holes

app = typer.Typer(help="Prepare map imagery, look into it, serve it.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Prepare map imagery, look into it, serve it."""


app.command()(fetch)


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


def _found(holes: Holes) -> dict[str, Any]:
    return {"covered": holes.covered, "tiles": holes.tiles, "missing": dict(holes.missing or {})}


def _render(console: Console, info: MapInfo, holes: Holes | None) -> None:
    facts, bounds = summary(info), info.bounds
    shown = table(info.location, "", "")
    shown.add_row("kind", info.kind)
    shown.add_row("south-west", f"{bounds.south:.6f}, {bounds.west:.6f}")
    shown.add_row("north-east", f"{bounds.north:.6f}, {bounds.east:.6f}")
    shown.add_row("size", f"{facts['extent_m']['east']:.0f} m x {facts['extent_m']['north']:.0f} m")
    shown.add_row("resolution", f"{info.metres_per_pixel:.3f} m per pixel" if info.metres_per_pixel else "–")
    shown.add_row("zoom levels", ", ".join(str(zoom) for zoom in info.zooms) or "–")
    if holes is not None:
        shown.add_row("covered", f"{100 * holes.covered:.1f} % of the rectangle")
        for reason, count in sorted((holes.missing or {}).items()):
            shown.add_row("no imagery at the source" if reason == "absent" else f"failed: {reason}", f"{count} tiles")
    shown.add_row("attribution", info.attribution or "– (none stated: check the licence before you publish)")
    console.print(shown)


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="File or folder of imagery, or the YAML of a service.")],
    *,
    picture: Annotated[
        Optional[Path],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
        typer.Option(metavar="PNG", help="Look through all of it, and draw it with its holes in red."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Show coverage, zoom levels, resolution and attribution of a map, and where it has holes."""
    holes = None
    with open_map(path) as map_:
        held = map_.info()
        if picture is not None:
            from geodistill_core.maps.holes import find_holes

            holes = find_holes(map_)
            _write_png(picture, holes)
    facts = summary(held) | (_found(holes) if holes else {})
    emit(facts, json_path, lambda console: _render(console, held, holes))


def _write_png(path: Path, holes: Holes) -> None:
    from PIL import Image

    Image.fromarray(holes.picture).save(path, format="PNG")


def _is_own(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    import ipaddress

    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@app.command()
def serve(
    path: Annotated[Path, typer.Argument(help="File or folder of imagery, or the YAML of a service.")],
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets the network in.")] = "127.0.0.1",
) -> None:
    """Serve a map to Foxglove's map panel and to GIS programs, until Ctrl-C."""
    import threading

    from geodistill_core.maps.remote import RemoteSource
    from geodistill_core.maps.serve import serve as serve_map

    with open_map(path) as map_:
        is_service = isinstance(map_, RemoteSource)
        if is_service and not _is_own(host):
            raise ConfigError(f"{path} is a service whose terms you accepted for yourself; serve it on 127.0.0.1 only")
        with serve_map(map_, host, port, file=path if path.is_file() and not is_service else None) as server:
            shown = notes()
            shown.print(f"map panel: {server.url}/{{z}}/{{x}}/{{y}}.png", markup=False)
            shown.print(f"GIS: {server.url}/wms? {server.url}/wmts? {server.url}/tiles.json; Ctrl-C ends", markup=False)
            threading.Event().wait()


@app.command()
def preset(
    name: Annotated[Optional[str], typer.Argument(help="Which; all names where none is given.")] = None,  # noqa: UP045
) -> None:
    """Print a description of open imagery, to be saved, its terms read and accepted, and given to `map fetch`."""
    from geodistill_core.maps.presets import preset_names, preset_text

    typer.echo("\n".join(preset_names()) if name is None else preset_text(name), nl=name is None)
