# SPDX-License-Identifier: Apache-2.0
"""A service of imagery as its user describes it: where the tiles are, and on which terms they may be used."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from geodistill_core import __version__
from geodistill_core.errors import ConfigError
from geodistill_core.maps import spec_checks, tile_requests, url_template
from geodistill_core.maps.secret import Secret
from geodistill_core.maps.tile_grid import WEB_MERCATOR

if TYPE_CHECKING:
    from geodistill_core.maps.address import TileAddress

__all__ = ["Secret", "SourceSpec", "load_source", "parse_source"]

Kind = Literal["xyz", "tms", "wmts", "wms", "cog", "pmtiles"]
_LARGEST_FILE = 65_536
_NAME_OR_IPV6 = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*")


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("is empty or holds line breaks or control characters; write one line of text")
    return text.strip()


def _web_page(text: str) -> str:
    parts = urlsplit(text)
    if text != spec_checks.OWN and (parts.scheme not in ("https", "http") or not parts.hostname):
        raise ValueError(f"{text!r} is no web page; give the https:// address of the terms, or 'own' for your imagery")
    return text


def _host(text: str) -> str:
    name = text.strip("[]").lower()
    if not _NAME_OR_IPV6.fullmatch(name):
        raise ValueError("is no host; write its name alone, as tiles.example.org, without scheme, port or path")
    return name


Line = Annotated[str, Field(max_length=500), AfterValidator(_one_line)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Host = Annotated[str, Field(max_length=255), AfterValidator(_host)]


class SourceSpec(BaseModel):
    """One imagery service. It exists only with its terms accepted and its attribution given.

    `url` is a template: {z} {x} {y} {-y} {quadkey} for xyz, {z} {x} {y} for tms, the OGC names {TileMatrix} {TileCol}
    {TileRow} for a RESTful WMTS; the service's address for wms and a WMTS by query; the file's for cog and pmtiles.
    A WMTS that is not in the Web Mercator set has `crs`, `origin` (east, north) and `scale_denominators` of its zooms.
    {s} is one of `subdomains`, {r} is "@2x" where `scale` is 2, {key} is the key in the environment variable `key_env`;
    it goes into the request header `key_header` too: a name, then a word to stand before the key where one is wanted.
    `tile_size` times `scale` is the side of the pictures in pixels. `max_age_s` holds where the service names no age.
    `map_sigma_m` is the standard deviation of the imagery's own position, per axis in metres. The key is in no field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    kind: Kind
    url: Annotated[str, Field(min_length=8, max_length=2000)]
    attribution: Line
    terms_url: Annotated[Line, AfterValidator(_web_page)]
    terms_accepted: bool
    cache_allowed: bool
    zooms: tuple[Annotated[int, Field(ge=0, le=30)], Annotated[int, Field(ge=0, le=30)]] = (0, 30)
    bounds: tuple[float, float, float, float] | None = None
    tile_size: Literal[256, 512] = 256
    scale: Literal[1, 2] = 1
    subdomains: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,30}$")], ...] = ()
    layer: Line | None = None
    tile_matrix_set: Line | None = None
    tile_matrix: Line = "{z}"
    style: Line = "default"
    layers: Line | None = None
    styles: str = ""
    version: Literal["1.1.1", "1.3.0"] = "1.3.0"
    crs: Annotated[str, Field(pattern=r"^EPSG:\d{4,6}$")] = "EPSG:3857"
    origin: tuple[float, float] | None = None
    scale_denominators: tuple[Annotated[float, Field(gt=0.0, le=1e12)], ...] = ()
    format: Literal["image/png", "image/jpeg", "image/webp"] = "image/png"
    max_age_s: Annotated[float, Field(ge=0.0, le=3.2e8)] = 30 * 86_400.0
    max_connections: Annotated[int, Field(ge=1, le=8)] = 2
    max_preload_tiles: Annotated[int, Field(ge=1, le=10_000_000)] = 20_000
    key_env: Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]{0,127}$")] | None = None
    key_header: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}( [A-Za-z]{1,30})?$")] | None = None
    user_agent_contact: Line | None = None
    allow_private: bool = False
    allowed_hosts: tuple[Host, ...] = ()
    no_imagery_sha256: tuple[Sha256, ...] = ()
    map_sigma_m: Annotated[float, Field(gt=0.0, le=50.0)] = 0.5

    @model_validator(mode="after")
    def _check(self) -> SourceSpec:
        complaint = spec_checks.complaint(self)
        if complaint:
            raise ValueError(complaint)
        return self

    @property
    def source_id(self) -> str:
        """Names this imagery in caches: equal for equal pictures, without keys, terms or limits."""
        fields = {"kind", "url", "subdomains", "tile_size", "scale", *spec_checks.ONLY_FOR}
        text = json.dumps(self.model_dump(include=fields), sort_keys=True)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def tile_pixels(self) -> int:
        """Side of one picture in pixels."""
        return self.tile_size * self.scale

    @property
    def is_slippy(self) -> bool:
        """Whether its tiles are those of Web Mercator's zoom levels; else they lie in a grid of its own."""
        by_kind = {"wms": self.crs == WEB_MERCATOR, "wmts": not self.scale_denominators}
        return by_kind.get(self.kind, self.kind in ("xyz", "tms"))

    @property
    def user_agent(self) -> str:
        """What requests call themselves."""
        return f"geodistill/{__version__}" + (f" (+{self.user_agent_contact})" if self.user_agent_contact else "")

    @property
    def hosts(self) -> frozenset[str]:
        """Hosts that may be asked: the URL's and `allowed_hosts`, in lower case."""
        urls = [url_template.fill(self.url, {"s": part}) for part in self.subdomains or ("",)]
        return frozenset({urlsplit(url).hostname or "" for url in urls} | set(self.allowed_hosts))

    def secret(self) -> Secret | None:
        """The key as the environment has it now, None where none is needed.

        Raises:
            ConfigError: the variable is not set, or holds what no header may.
        """
        if self.key_env is None:
            return None
        secret = Secret.from_environment(self.key_env)
        if self.key_header and not secret.reveal().isascii():
            raise ConfigError(
                f"the key in the environment variable {self.key_env} holds characters beyond ASCII, which no header "
                "carries; export the key as the provider wrote it"
            )
        return secret

    def keyed(self, url: str, secret: Secret) -> str:
        """`url` with {key} filled in: for the request alone."""
        return url.replace("{key}", quote(secret.reveal(), safe=""))

    def key_headers(self, secret: Secret) -> dict[str, str]:
        """The header that carries the key, if one does: for the request alone."""
        if self.key_header is None:
            return {}
        name, _, scheme = self.key_header.partition(" ")
        return {name: f"{scheme} {secret.reveal()}".lstrip()}

    def tile_url(self, address: TileAddress) -> str:
        """Where a tile lies. {key} stays in it: it may be shown and stored.

        Raises:
            ConfigError: the zoom is outside `zooms`, or the kind has no tiles.
        """
        self.require_zoom(address.zoom)
        return tile_requests.tile_url(self, address.zoom, address.column, address.row)

    def require_zoom(self, zoom: int) -> None:
        """ConfigError for a zoom level that the service does not offer."""
        if not self.zooms[0] <= zoom <= self.zooms[1]:
            raise ConfigError(
                f"zoom {zoom} is outside {self.zooms[0]}..{self.zooms[1]}, what the source {self.name} offers"
            )

    def require_preload(self, tiles: int) -> None:
        """ConfigError for fetching ahead more tiles than the source allows, or where it may not be stored."""
        if not self.cache_allowed:
            raise ConfigError(
                f"the terms of the source {self.name} do not let its tiles be stored (cache_allowed: false), so none "
                "are fetched ahead; drive online, or use imagery that may be stored"
            )
        if tiles > self.max_preload_tiles:
            raise ConfigError(
                f"{tiles} tiles would be fetched from the source {self.name}, which allows {self.max_preload_tiles} at "
                "once (max_preload_tiles); choose a smaller area or fewer zoom levels"
            )


def parse_source(fields: object, origin: str) -> SourceSpec:
    """A source from the fields of its description; `origin` names it in messages.

    Raises:
        ConfigError: a field is missing, unknown or outside its limits; the text says which, and what to write.
    """
    if not isinstance(fields, dict):
        raise ConfigError(f"{origin} describes no imagery source; write fields as name: ..., kind: ..., url: ...")
    try:
        return SourceSpec.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"{origin} is refused. " + "; ".join(_explain(part) for part in error.errors())) from None


def load_source(path: str | Path) -> SourceSpec:
    """The source described in a YAML file.

    Raises:
        ConfigError: it cannot be read, or is refused (see `parse_source`).
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"imagery source {path} cannot be read: {error.strerror}") from None
    if len(text) > _LARGEST_FILE:
        raise ConfigError(f"imagery source {path} is larger than {_LARGEST_FILE} bytes; a source is a page of YAML")
    try:
        fields = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        raise ConfigError(f"imagery source {path} is not valid YAML; see docs/maps.md for an example") from None
    return parse_source(fields, str(path))


_MISSING = {
    "attribution": "write the line that the provider asks to be shown with its imagery",
    "terms_url": "give the address of the provider's terms, or 'own' for imagery of your own",
    "terms_accepted": "read the terms, then write terms_accepted: true",
    "cache_allowed": "write whether the terms let tiles be stored: true or false",
    "kind": "write one of xyz, tms, wmts, wms, cog, pmtiles",
    "url": "give the address of the service, as https://HOST/{z}/{x}/{y}.png",
    "name": "give the source a short name of its own",
}


def _explain(part: Any) -> str:
    field = ".".join(str(step) for step in part["loc"])
    if part["type"] == "missing":
        return f"{field} is missing: {_MISSING[field]}"
    if part["type"] == "extra_forbidden":
        return f"{field} is no field of a source; see docs/maps.md"
    message = part["msg"].removeprefix("Value error, ")
    return f"{field}: {message}" if field else message
