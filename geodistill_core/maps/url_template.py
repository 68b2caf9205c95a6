# SPDX-License-Identifier: Apache-2.0
"""URL templates of imagery services: which are safe and complete, and the URL of one tile."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TILE = {"z", "x", "y", "-y", "quadkey"}
_WMTS = {"TileMatrix", "TileRow", "TileCol", "TileMatrixSet", "Layer", "Style"}
KNOWN = {
    "xyz": {*_TILE, "s", "r", "key"},
    "tms": {"z", "x", "y", "s", "r", "key"},
    "wmts": {*_WMTS, "z", "x", "y", "s", "key"},
    "wms": {"s", "key"},
    "cog": {"key"},
    "pmtiles": {"key"},
}
_KEY_PARAMETERS = {
    *("key", "apikey", "api_key", "api-key", "token", "access_token", "auth", "password", "passwd", "pwd"),
    *("signature", "sig", "secret", "client_secret", "subscription-key", "appid", "app_code", "ek"),
}


def complaint(kind: str, url: str) -> str | None:
    """Why a template is refused, or None. The text never repeats the template: a key may stand in it."""
    if re.search(r"[\x00-\x20\x7f\\]", url):
        return "holds blanks, control characters or a backslash; percent-encode them"
    if not url.isascii():
        return "holds characters beyond ASCII; percent-encode them, and write the host in its xn-- form"
    unknown = sorted({name for name in PLACEHOLDER.findall(url)} - KNOWN[kind])
    if unknown or "{" in (bare := PLACEHOLDER.sub("", url)) or "}" in bare:
        what = f"the placeholders {unknown}" if unknown else "unbalanced braces"
        return f"holds {what}; a {kind} source knows {sorted(KNOWN[kind])}"
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "is no URL; write https://HOST/PATH"
    if parts.scheme not in ("https", "http") or not host:
        return f"has the scheme {parts.scheme!r}; only https:// and http:// with a host are fetched"
    return _host_complaint(parts.netloc) or _path_complaint(parts.path) or _query_complaint(parts.query, parts.fragment)


def _host_complaint(netloc: str) -> str | None:
    if "@" in netloc:
        return "holds a user name or password before the host; name the key's environment variable in key_env"
    if set(PLACEHOLDER.findall(netloc)) - {"s"}:
        return "has a placeholder in the host; only {s} may stand there"
    return None


def _path_complaint(path: str) -> str | None:
    decoded = path
    for _ in range(3):
        decoded = unquote(decoded)
    if any(segment in (".", "..") for segment in re.split(r"[/\\;]", decoded)):
        return "leaves its folder with '.' or '..' segments; write the path without them"
    return None


def _query_complaint(query: str, fragment: str) -> str | None:
    if fragment:
        return "has a #fragment, which no server sees; remove it"
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name.lower() in _KEY_PARAMETERS and "{key}" not in value:
            return (
                f"holds what looks like a key in {name}=...; write {name}={{key}} and name the environment variable "
                "with the key in key_env"
            )
    return None


def is_rest(url: str) -> bool:
    """Whether a WMTS address is a template for tiles; else it is asked by query parameters."""
    return bool(set(PLACEHOLDER.findall(url)) - {"s", "key"})


def is_complete(kind: str, url: str) -> bool:
    """Whether a template tells tiles apart: zoom, column and row, where its kind needs them in the URL."""
    names = set(PLACEHOLDER.findall(url))
    if kind in ("xyz", "tms"):
        return "quadkey" in names or ({"z", "x"} <= names and bool({"y", "-y"} & names))
    if kind == "wmts" and is_rest(url):
        return bool({"TileMatrix", "z"} & names) and ({"TileCol", "TileRow"} <= names or {"x", "y"} <= names)
    return True


def fill(url: str, values: Mapping[str, object]) -> str:
    """The template with percent-encoded values; placeholders without a value stay, `{key}` above all."""

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        return quote(str(values[name]), safe="@") if name in values else match.group(0)

    return PLACEHOLDER.sub(value_of, url)


def with_query(url: str, parameters: Mapping[str, object]) -> str:
    """`url` with more query parameters, percent-encoded but for commas, colons and slashes."""
    query = "&".join(f"{name}={quote(str(value), safe=',:/')}" for name, value in parameters.items())
    joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{joint}{query}"
