# SPDX-License-Identifier: Apache-2.0
"""Connections kept open between requests, directly or through the proxy that the environment names."""

from __future__ import annotations

import functools
import ssl
import threading

import certifi
import httpcore

from geodistill_core.maps.fetch.addresses import Place, is_ip_address, require_permitted
from geodistill_core.maps.fetch.network import Allowance, CheckedBackend
from geodistill_core.maps.fetch.proxies import Proxy, proxy_for

_KEPT_OPEN_S = 30.0


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Certificates that this system trusts (SSL_CERT_FILE included) and those that browsers do."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class Connections:
    """At most `most` to each proxy, and as many made directly.

    Addresses are checked where this machine resolves them. Through a proxy it does not: which addresses a name may
    lead to is then the proxy's to decide, and only addresses written in a URL are checked here.
    """

    def __init__(self, allowance: Allowance, allow_private: bool, most: int) -> None:
        self._allowance, self._allow_private, self._most = allowance, allow_private, most
        self._lock = threading.Lock()
        self._pools: dict[Proxy | None, httpcore.ConnectionPool] = {}

    def towards(self, place: Place) -> httpcore.ConnectionPool:
        """The connections that lead there. Raises FetchError "refused"."""
        proxy = proxy_for(place)
        if proxy is not None and is_ip_address(place.host):
            require_permitted(place.host, [place.host], self._allow_private)
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = self._through(proxy)
            return self._pools[proxy]

    def _through(self, proxy: Proxy | None) -> httpcore.ConnectionPool:
        # A proxy was named by whoever runs this computer, and most lie in a private network.
        backend = CheckedBackend(self._allowance, allow_private=proxy is not None or self._allow_private)
        if proxy is None:
            return httpcore.ConnectionPool(
                ssl_context=tls_context(),
                max_connections=self._most,
                keepalive_expiry=_KEPT_OPEN_S,
                network_backend=backend,
            )
        return httpcore.HTTPProxy(
            proxy.url,
            proxy.auth,
            ssl_context=tls_context(),
            proxy_ssl_context=tls_context() if proxy.url.startswith("https:") else None,
            max_connections=self._most,
            keepalive_expiry=_KEPT_OPEN_S,
            network_backend=backend,
        )

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
