# SPDX-License-Identifier: Apache-2.0
"""The proxy that the environment names for a host: used, or refused with the reason, never passed over."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from geodistill_core.maps.fetch.addresses import Place
from geodistill_core.maps.fetch.results import FetchError


@dataclass(frozen=True, slots=True)
class Proxy:
    """Scheme, host and port of an HTTP proxy as a URL; user name and password if it wants them."""

    url: str
    auth: tuple[bytes, bytes] | None = field(repr=False)


def proxy_for(place: Place) -> Proxy | None:
    """By HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in either case; None to connect directly.

    This machine itself is never asked through a proxy. Raises FetchError "refused" for proxies other than HTTP ones.
    """
    named = getproxies_environment()
    variable = place.scheme if named.get(place.scheme) else "all"
    text = named.get(variable)
    host_and_port = place.host if ":" in place.host else f"{place.host}:{place.port}"
    if not text or _is_this_machine(place.host) or proxy_bypass(host_and_port):
        return None
    variable = f"{variable.upper()}_PROXY"
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host or not host.isascii():
        raise FetchError(
            "refused",
            f"{variable} names a proxy that is none of http://HOST:PORT and https://HOST:PORT; correct it, or add "
            f"{place.host} to NO_PROXY",
        )
    auth = None
    if parts.username is not None:
        auth = unquote(parts.username).encode(), unquote(parts.password or "").encode()
    host = f"[{host}]" if ":" in host else host
    return Proxy(f"{parts.scheme}://{host}" + (f":{port}" if port else ""), auth)


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
