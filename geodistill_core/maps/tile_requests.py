# SPDX-License-Identifier: Apache-2.0
"""The address of one tile of an imagery service: slippy maps, TMS, WMTS (RESTful or by query) and WMS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geodistill_core.errors import ConfigError
from geodistill_core.maps import url_template
from geodistill_core.maps.tile_grid import Box, pyproj_crs, wms_grid

if TYPE_CHECKING:
    from geodistill_core.maps.spec import SourceSpec


def quadkey(zoom: int, column: int, row: int) -> str:
    """One digit 0..3 a zoom level: bit 0 from the column, bit 1 from the row."""
    return "".join(str((column >> bit & 1) | (row >> bit & 1) << 1) for bit in range(zoom - 1, -1, -1))


def tile_url(spec: SourceSpec, zoom: int, column: int, row: int) -> str:
    """Where the slippy tile (row 0 in the north) lies; {key} stays in it. ConfigError for kinds without tiles."""
    if spec.kind == "wms":
        url = _wms_tile_url(spec, zoom, column, row)
    elif spec.kind == "wmts" and not url_template.is_rest(spec.url):
        url = _wmts_query_url(spec, zoom, column, row)
    elif spec.kind in ("xyz", "tms", "wmts"):
        url = url_template.fill(spec.url, _values(spec, zoom, column, row))
    else:
        raise ConfigError(f"the {spec.kind} source {spec.name} is one file and has no tile addresses")
    if spec.subdomains:
        url = url_template.fill(url, {"s": spec.subdomains[(column + row) % len(spec.subdomains)]})
    return url


def _values(spec: SourceSpec, zoom: int, column: int, row: int) -> dict[str, object]:
    from_south = (1 << zoom) - 1 - row
    return {
        "z": zoom,
        "x": column,
        "y": from_south if spec.kind == "tms" else row,
        "-y": from_south,
        "r": "@2x" if spec.scale == 2 else "",
        "quadkey": quadkey(zoom, column, row),
        "TileMatrix": _matrix(spec, zoom),
        "TileRow": row,
        "TileCol": column,
        "Layer": spec.layer,
        "TileMatrixSet": spec.tile_matrix_set,
        "Style": spec.style,
    }


def _matrix(spec: SourceSpec, zoom: int) -> str:
    return url_template.fill(spec.tile_matrix, {"z": zoom})


def _wmts_query_url(spec: SourceSpec, zoom: int, column: int, row: int) -> str:
    parameters = {
        "SERVICE": "WMTS",
        "VERSION": "1.0.0",
        "REQUEST": "GetTile",
        "LAYER": spec.layer,
        "STYLE": spec.style,
        "FORMAT": spec.format,
        "TILEMATRIXSET": spec.tile_matrix_set,
        "TILEMATRIX": _matrix(spec, zoom),
        "TILEROW": row,
        "TILECOL": column,
    }
    return url_template.with_query(spec.url, parameters)


def _wms_tile_url(spec: SourceSpec, zoom: int, column: int, row: int) -> str:
    return map_url(spec, wms_grid(spec).box(zoom, column, row), spec.tile_pixels, spec.tile_pixels)


def map_url(spec: SourceSpec, box: Box, width: int, height: int) -> str:
    """The GetMap request for west, south, east, north in units of `crs`, in the axis order of its version."""
    west, south, east, north = box
    is_new = spec.version == "1.3.0"
    north_first = is_new and pyproj_crs(spec.crs).axis_info[0].direction == "north"
    corners = (south, west, north, east) if north_first else box
    parameters = {
        "SERVICE": "WMS",
        "VERSION": spec.version,
        "REQUEST": "GetMap",
        "LAYERS": spec.layers,
        "STYLES": spec.styles,
        "CRS" if is_new else "SRS": spec.crs,
        "BBOX": ",".join(repr(float(value)) for value in corners),
        "WIDTH": width,
        "HEIGHT": height,
        "FORMAT": spec.format,
        "TRANSPARENT": "FALSE" if spec.format == "image/jpeg" else "TRUE",
    }
    return url_template.with_query(spec.url, parameters)
