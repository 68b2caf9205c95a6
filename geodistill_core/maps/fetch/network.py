# SPDX-License-Identifier: Apache-2.0
"""Connections that are made to checked addresses only, and that end in time whatever the server does."""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from geodistill_core.maps.fetch.addresses import require_permitted, resolve
from geodistill_core.maps.fetch.results import FetchError

_SLICE_S = 0.25


class Allowance(threading.local):
    """Seconds that the request of the calling thread may still take; `stop` ends them at once."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop, self.until = stop, math.inf

    def left(self, timeout_s: float | None) -> float:
        """At most `timeout_s`; zero or less when the time is over. Raises FetchError "cancelled"."""
        if self._stop.is_set():
            raise FetchError("cancelled", "the request was cancelled: the map is being closed")
        return min(math.inf if timeout_s is None else timeout_s, self.until - time.monotonic())


class _Stream(httpcore.NetworkStream):
    """A connection whose every read and write ends when the request's allowance does.

    A read time-out alone lets a server that sends one byte a second hold a request for hours.
    """

    def __init__(self, inner: httpcore.NetworkStream, allowance: Allowance) -> None:
        self._inner, self._allowance = inner, allowance

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        until = time.monotonic() + self._allowance.left(timeout)
        while True:
            left = min(until - time.monotonic(), self._allowance.left(None))
            if left <= 0:
                raise httpcore.ReadTimeout("the request's time is over")
            try:
                return self._inner.read(max_bytes, min(left, _SLICE_S))
            except httpcore.ReadTimeout:
                continue

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, max(self._allowance.left(timeout), 0.001))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = max(self._allowance.left(timeout), 0.001)
        try:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._allowance)
        except httpcore.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise FetchError(
                    "refused",
                    f"the certificate of {server_hostname} is not valid: {error.__cause__.verify_message}. Check the "
                    "clock of this computer; a network's own certificate authority is named in SSL_CERT_FILE",
                ) from error
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class CheckedBackend(httpcore.NetworkBackend):
    """Resolves a name once, checks the addresses, and connects to one of those that were checked.

    Resolving again for the connection would let a name server answer differently the second time.
    """

    def __init__(self, allowance: Allowance, allow_private: bool) -> None:
        self._inner, self._allowance, self._allow_private = httpcore.SyncBackend(), allowance, allow_private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """See `httpcore.NetworkBackend`; raises FetchError "refused" where no address is permitted."""
        until = time.monotonic() + self._allowance.left(timeout)
        addresses = self._addresses(host, port, until - time.monotonic())
        failure: Exception = httpcore.ConnectTimeout(f"no connection to {host} in time")
        for index, address in enumerate(addresses):
            left = (until - time.monotonic()) / (len(addresses) - index)
            if left <= 0:
                break
            try:
                inner = self._inner.connect_tcp(address, port, left, local_address, socket_options)
                return _Stream(inner, self._allowance)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def _addresses(self, host: str, port: int, timeout_s: float) -> list[str]:
        try:
            found = resolve(host, port, timeout_s)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return require_permitted(host, found, self._allow_private)
