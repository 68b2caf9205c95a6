# SPDX-License-Identifier: Apache-2.0
"""`geodistill map fetch`: prepare a map for an area, a route or a recorded drive."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console

from geodistill_core.cli.output import JsonOption, emit, notes, progress, table
from geodistill_core.errors import ConfigError

if TYPE_CHECKING:
    from geodistill_core.maps.area import Area
    from geodistill_core.maps.fetch_area import Estimate, FetchedArea, TileGetter

ASK_ABOVE = 1000
"""Tiles that are fetched without asking."""
_ZOOM_OF_NETWORKS = 20


class _Origin:
    """Where tiles come from: a service, as its tiles are where it has any of ours, or imagery on disk."""

    def __init__(self, source: str) -> None:
        from geodistill_core.maps.open import open_map
        from geodistill_core.maps.presets import preset_names
        from geodistill_core.maps.remote import RemoteSource

        if source in preset_names() and not Path(source).exists():
            raise ConfigError(
                f"{source} is a preset whose terms are still to be accepted: geodistill map preset {source} > "
                f"{source}.yaml, read the terms named there, set terms_accepted: true, and give --source {source}.yaml"
            )
        self.map = open_map(source)
        self.metadata = {"attribution": self.map.attribution, "map_sigma_m": repr(self.map.map_sigma_m)}
        self.service = self.map if isinstance(self.map, RemoteSource) else None
        self.spec = None if self.service is None else self.service.spec
        spec = self.spec
        self.as_is = spec is not None and spec.is_slippy
        self.tile_pixels = spec.tile_pixels if spec is not None and self.as_is else 256
        self.source_id = f"local-{Path(source).resolve().name}" if spec is None else spec.source_id

    def finest_zoom(self) -> int:
        """The last zoom level that is worth fetching; of a file on a server, once that has been opened."""
        from geodistill_core.geometry import mercator
        from geodistill_core.maps.remote.file_source import FileSource

        if self.spec is not None and self.as_is:
            return self.spec.zooms[1]
        if isinstance(self.service, FileSource):
            self.service.open()
        info = self.map.info()
        return mercator.zoom_as_fine_as(info.metres_per_pixel, info.bounds.center.latitude)

    def getter(self) -> TileGetter:
        """One tile of this source after the other."""
        from geodistill_core.maps.fetch_area import ask, draw, patient

        if self.service is None:
            return draw(self.map)
        fetcher = self.service.fetcher
        get = ask(self.service.spec, fetcher) if self.as_is else draw(self.map)
        return patient(get, fetcher, lambda text: notes().print(text, markup=False))


def _area(bbox: str | None, route: Path | None, bag: Path | None, margin_m: float) -> Area:
    from geodistill_core.maps.area import BoxArea, CorridorArea

    if sum(given is not None for given in (bbox, route, bag)) != 1:
        raise ConfigError("say where: one of --bbox WEST,SOUTH,EAST,NORTH, --route FILE.gpx or --bag DRIVE")
    if bbox is not None:
        return BoxArea(_bounds(bbox))
    if route is not None:
        from geodistill_core.maps.gpx import read_gpx

        return CorridorArea(read_gpx(route), margin_m)
    from geodistill_core.bags.fix_lines import fix_lines

    assert bag is not None
    return CorridorArea(fix_lines(bag), margin_m)


def _bounds(text: str) -> Any:
    from geodistill_core.geometry.bounds import GeoBounds

    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--bbox {text!r} is not WEST,SOUTH,EAST,NORTH in degrees") from None
    return GeoBounds(west, south, east, north)


def _zooms(text: str | None, origin: _Origin) -> list[int]:
    """As given (`20` or `17-20`), else the zoom of the networks or the finest of the imagery."""
    match = re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?", text or str(_ZOOM_OF_NETWORKS))
    if match is None:
        raise ConfigError(f"--zoom {text!r} is neither a zoom level nor a range like 17-20")
    first, last = int(match[1]), int(match[2] or match[1])
    if text is None:
        first = last = min(_ZOOM_OF_NETWORKS - (origin.tile_pixels == 512), origin.finest_zoom())
    zooms = list(range(first, last + 1))
    if not zooms:
        raise ConfigError(f"--zoom {text} descends; write the coarser level first")
    if origin.spec is not None and origin.as_is:
        for zoom in zooms:
            origin.spec.require_zoom(zoom)
    return zooms


def _confirm(guess: Estimate, origin: _Origin, yes: bool) -> None:
    """Say how much it is; ask above the limit. ConfigError where nobody can be asked."""
    by_zoom = ", ".join(f"{count} at zoom {zoom}" for zoom, count in guess.tiles.items())
    said = f"{guess.count} tiles ({by_zoom}), about {guess.bytes / 1e6:.0f} MB"
    if origin.spec is not None:
        origin.spec.require_preload(guess.count)
        said += f", from {origin.spec.name} over {origin.spec.max_connections} connections at most"
    notes().print(said, markup=False)
    if guess.count <= ASK_ABOVE or yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{said}: more than {ASK_ABOVE} tiles are fetched only with --yes")
    if not typer.confirm("Fetch them?", err=True):
        raise typer.Exit(2)


def fetch(
    *,
    source: Annotated[str, typer.Option(help="YAML file of an imagery service, or imagery on disk to cut tiles from.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="MBTiles file to write, or to go on with.")],
    bbox: Annotated[
        Optional[str],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
        typer.Option(metavar="W,S,E,N", help="Rectangle in degrees; W > E crosses the antimeridian."),
    ] = None,
    route: Annotated[Optional[Path], typer.Option(metavar="GPX", help="Corridor along a route.")] = None,  # noqa: UP045
    bag: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DRIVE", help="Corridor along the GNSS fixes of a recorded drive."),
    ] = None,
    margin: Annotated[float, typer.Option(help="Half the corridor's width in metres.")] = 100.0,
    zoom: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Zoom level, or a range like 17-20; else the one that networks use or the imagery's finest."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help=f"Fetch more than {ASK_ABOVE} tiles without asking.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Fetch the tiles of an area into a file, to drive without a network.

    Run the same command again to go on where it was stopped, and to try again what failed. Exits with 3 when tiles
    are left out.
    """
    from geodistill_core.maps.area_file import AreaFile
    from geodistill_core.maps.fetch_area import estimate, fetch_area

    area = _area(bbox, route, bag, margin)
    origin = _Origin(source)
    with origin.map:
        zooms = _zooms(zoom, origin)
        guess = estimate(area, zooms, origin.tile_pixels)
        _confirm(guess, origin, yes)
        with AreaFile(output, origin.source_id) as file, progress("fetching tiles", total=guess.count) as step:
            done = fetch_area(
                area,
                zooms,
                origin.getter(),
                file,
                metadata=origin.metadata,
                connections=origin.spec.max_connections if origin.spec else 1,
                stop=origin.service.fetcher.stop if origin.service else None,
                step=step,
            )
    emit(_facts(output, zooms, done), json_path, lambda console: _render(console, output, done))
    if done.failed:
        raise typer.Exit(3)


def _facts(output: Path, zooms: list[int], done: FetchedArea) -> dict[str, Any]:
    return {
        "map": str(output),
        "zooms": zooms,
        "tiles": {"known": done.known, "fetched": done.fetched, "absent": done.absent, "failed": dict(done.failed)},
        "file": {"tiles": done.tiles_in_file, "bytes": done.bytes_in_file},
    }


def _render(console: Console, output: Path, done: FetchedArea) -> None:
    shown = table(str(output), "", "tiles")
    shown.add_row("fetched", str(done.fetched))
    shown.add_row("known before", str(done.known))
    shown.add_row("no imagery at the source", str(done.absent))
    for cause, count in sorted(done.failed.items()):
        shown.add_row(f"failed: {cause}", str(count))
    shown.add_row("in the file", f"{done.tiles_in_file} ({done.bytes_in_file / 1e6:.1f} MB)")
    console.print(shown)
    if done.failed:
        console.print("Run the same command again to fetch what failed.")
