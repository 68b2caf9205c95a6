# SPDX-License-Identifier: Apache-2.0
"""What must hold between the fields of an imagery source before anything is fetched from it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pyproj

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps import tile_grid, tile_requests, url_template

if TYPE_CHECKING:
    from geodistill_core.maps.spec import SourceSpec

OWN = "own"
# Headers that requests have anyway, or that say where one message ends and the next begins.
_OWN_HEADERS = {
    *("host", "user-agent", "accept", "accept-encoding", "range", "if-none-match", "if-modified-since", "connection"),
    *("content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect", "proxy-authorization"),
}
TILED = ("xyz", "tms", "wmts", "wms")
ONLY_FOR = (
    dict.fromkeys(("layer", "tile_matrix_set", "tile_matrix", "style"), ("wmts",))
    | dict.fromkeys(("layers", "styles", "version"), ("wms",))
    | dict.fromkeys(("origin", "scale_denominators"), ("wmts",))
    | dict.fromkeys(("crs", "format"), ("wmts", "wms"))
)


def complaint(spec: SourceSpec) -> str | None:
    """Why a source is refused and what to write instead, or None. No key of the URL is repeated."""
    written = (_terms, _url, _placeholders, _headers, _foreign_fields, _zooms, _service)
    for check in (*written, _crs, _grid, _bounds, _first_tile):
        found = check(spec)
        if found:
            return found
    return None


def _terms(spec: SourceSpec) -> str | None:
    if spec.terms_accepted:
        return None
    where = "the terms of this imagery" if spec.terms_url == OWN else spec.terms_url
    return (
        f"terms_accepted is false: read {where}, and if you agree to them set terms_accepted: true in your copy of "
        "the file"
    )


def _url(spec: SourceSpec) -> str | None:
    found = url_template.complaint(spec.kind, spec.url)
    if found:
        return f"url {found}"
    if not url_template.is_complete(spec.kind, spec.url):
        return f"url does not tell tiles apart; a {spec.kind} template holds zoom, column and row, as {{z}} {{x}} {{y}}"
    if spec.key_env and spec.url.lower().startswith("http:") and not spec.allow_private:
        return "url would send the key unencrypted; use https://"
    return None


def _placeholders(spec: SourceSpec) -> str | None:
    if ("{s}" in spec.url) != bool(spec.subdomains):
        return "url has {s} without subdomains, or subdomains without {s} in url; give both or neither"
    if ("{key}" in spec.url or spec.key_header is not None) != bool(spec.key_env):
        return (
            "key_env names the variable that holds the key, and {key} in url or key_header where it goes; give both or "
            "neither"
        )
    return None


def _headers(spec: SourceSpec) -> str | None:
    if spec.key_header is not None and spec.key_header.partition(" ")[0].lower() in _OWN_HEADERS:
        return f"key_header {spec.key_header} is not for keys; write the header's name that the provider gives"
    if spec.user_agent_contact is not None and not spec.user_agent_contact.isascii():
        return "user_agent_contact goes into a request header, which holds ASCII only; write an address without accents"
    return None


def _foreign_fields(spec: SourceSpec) -> str | None:
    for field in sorted(spec.model_fields_set & set(ONLY_FOR)):
        if spec.kind not in ONLY_FOR[field]:
            return f"{field} has no meaning for kind {spec.kind}; remove it"
    return None


def _zooms(spec: SourceSpec) -> str | None:
    if spec.kind in TILED and "zooms" not in spec.model_fields_set:
        return "zooms is missing: write the smallest and the largest zoom level that the service offers, as [0, 19]"
    if spec.zooms[0] > spec.zooms[1]:
        return f"zooms {list(spec.zooms)} must ascend"
    return None


def _service(spec: SourceSpec) -> str | None:
    if spec.kind == "wms" and spec.layers is None:
        return "layers is missing: name the layers of the WMS, separated by commas"
    if spec.kind != "wmts":
        return None
    asked = {"layer": spec.layer, "tile_matrix_set": spec.tile_matrix_set}
    by_query = not url_template.is_rest(spec.url)
    for field, name in (("layer", "{Layer}"), ("tile_matrix_set", "{TileMatrixSet}")):
        if asked[field] is None and (by_query or name in spec.url):
            return f"{field} is missing; the capabilities of the WMTS list what there is"
    return None


def _crs(spec: SourceSpec) -> str | None:
    try:
        pyproj.CRS(spec.crs)
    except pyproj.exceptions.CRSError:
        return f"crs {spec.crs} is unknown; write one that the capabilities of the service list"
    return None


def _grid(spec: SourceSpec) -> str | None:
    fields = ("crs", "origin", "scale_denominators")
    lacking = [field for field in fields if field not in spec.model_fields_set]
    if spec.kind != "wmts" or len(lacking) == len(fields):
        return None
    if lacking:
        return (
            f"{lacking[0]} is missing: a WMTS in a grid of its own has crs, origin and scale_denominators, as the "
            "TileMatrixSet in its capabilities states them"
        )
    scales, (first, last) = spec.scale_denominators, spec.zooms
    if len(scales) != last - first + 1:
        return f"scale_denominators are {len(scales)}; zooms {[first, last]} need {last - first + 1}, one a zoom level"
    if any(finer >= coarser for coarser, finer in itertools.pairwise(scales)):
        return "scale_denominators must descend: the first one belongs to the smallest zoom level"
    east, north = spec.origin or (0.0, 0.0)
    if not tile_grid.is_corner(spec.crs, east, north):
        return (
            f"origin {[east, north]} is no north-west corner in {spec.crs}; write the TopLeftCorner as east, north "
            "(capabilities may name north first)"
        )
    return None


def _bounds(spec: SourceSpec) -> str | None:
    if spec.bounds is None:
        return None
    try:
        GeoBounds(*spec.bounds)
    except ConfigError as error:
        return f"bounds are west, south, east, north: {error}"
    return None


def _first_tile(spec: SourceSpec) -> str | None:
    if spec.kind not in TILED:
        return None
    found = url_template.complaint(spec.kind, tile_requests.tile_url(spec, spec.zooms[0], 0, 0))
    return f"url with its fields filled in {found}" if found else None
