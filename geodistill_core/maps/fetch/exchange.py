# SPDX-License-Identifier: Apache-2.0
"""One request and its answer: redirects within the source's hosts, a bounded body, failures by their cause."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpcore

from geodistill_core.maps.fetch.addresses import Place, redirected
from geodistill_core.maps.fetch.body import read_body, read_small
from geodistill_core.maps.fetch.connections import Connections
from geodistill_core.maps.fetch.network import Allowance
from geodistill_core.maps.fetch.proxies import proxy_for
from geodistill_core.maps.fetch.results import FetchError
from geodistill_core.maps.secret import MaskingFilter, Secret

if TYPE_CHECKING:
    from geodistill_core.maps.spec import SourceSpec

TOTAL_S, CONNECT_S, READ_S = 10.0, 3.0, 5.0
_TIMEOUTS = {"connect": CONNECT_S, "read": READ_S, "write": READ_S, "pool": TOTAL_S}
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 3
_SMALL = 65_536
_asking = threading.local()


class _MaskKey(logging.Filter):
    """Masks the key of the request that the calling thread is making."""

    def filter(self, record: logging.LogRecord) -> bool:
        secret: Secret | None = getattr(_asking, "secret", None)
        return secret is None or MaskingFilter(secret).filter(record)


# It prints the headers of answers, and those may repeat the URL.
for _part in ("http11", "proxy"):
    logging.getLogger(f"httpcore.{_part}").addFilter(_MaskKey())


@dataclass(frozen=True, slots=True)
class Request:
    """GET `url` with `headers`; of the `expected` status, a body of at most `limit` bytes is wanted."""

    url: str = field(repr=False)
    headers: Mapping[str, str]
    expected: int
    limit: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower-case names), and the body if the status was the expected one or the body is small."""

    status: int
    headers: dict[str, str]
    content: bytes


class Exchange:
    """Asks the hosts of one source over kept-open connections."""

    def __init__(self, spec: SourceSpec, stop: threading.Event) -> None:
        self._spec, self._hosts = spec, spec.hosts
        self._allowance = Allowance(stop)
        self._connections = Connections(self._allowance, spec.allow_private, spec.max_connections)

    def check(self, url: str) -> None:
        """FetchError "refused" for a URL that is not on one of the source's hosts."""
        place = Place.of(url)
        if place.host not in self._hosts:
            raise FetchError("refused", f"{place.host} is no host of this source; name it in allowed_hosts")

    def ask(self, request: Request, within_s: float, secret: Secret | None) -> Answer:
        """Its answer; a body larger than the limit, or an end later than `within_s` seconds, raises FetchError."""
        url, first = request.url, Place.of(request.url)
        keyed = {} if secret is None else self._spec.key_headers(secret)
        self._allowance.until = time.monotonic() + min(within_s, TOTAL_S)
        _asking.secret = secret
        proxy = proxy_for(first)
        with _failures(first.host if proxy is None else f"{first.host} (through the proxy {proxy.url})", within_s):
            for _ in range(_MOST_REDIRECTS + 1):
                place = Place.of(url)
                # Where a service sends its clients on to, its own address says all that is needed.
                headers = {**request.headers, **(keyed if place.host == first.host else {})}
                answer = self._once(place, url, headers, request)
                if answer.status not in _REDIRECTS:
                    return answer if secret is None else _without(secret, answer)
                url = redirected(url, answer.headers.get("location", ""), self._hosts)
        raise FetchError("refused", f"{Place.of(url).host} redirects in circles")

    def _once(self, place: Place, url: str, headers: Mapping[str, str], request: Request) -> Answer:
        sent = {"User-Agent": self._spec.user_agent, "Accept-Encoding": "identity", **headers}
        pool = self._connections.towards(place)
        with pool.stream("GET", url, headers=[*sent.items()], extensions={"timeout": _TIMEOUTS}) as response:
            got: dict[str, str] = {}
            for name, value in response.headers:
                key, text = name.decode("latin-1").lower(), value.decode("latin-1")
                got[key] = f"{got[key]}, {text}" if key in got else text
            if response.status == request.expected:
                return Answer(response.status, got, read_body(response.iter_stream(), got, request.limit))
            return Answer(response.status, got, read_small(response.iter_stream(), got, _SMALL))

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._connections.close()


def _without(secret: Secret, answer: Answer) -> Answer:
    """The answer without the key in its headers, some of which are kept on disk."""
    return replace(answer, headers={name: secret.mask(value) for name, value in answer.headers.items()})


@contextmanager
def _failures(host: str, within_s: float) -> Iterator[None]:
    """Name the causes of the connection's failures."""
    try:
        yield
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        # Whoever gave no time to connect cannot tell that there is no connection.
        hurried = isinstance(error, httpcore.ConnectTimeout) and within_s < CONNECT_S
        raise FetchError("timeout" if hurried else "offline", f"no connection to {host}: {error}", 5.0) from error
    except httpcore.ProxyError as error:
        status = str(error)[:3]
        raise FetchError(
            "forbidden" if status in ("401", "403", "407") else "offline",
            f"the proxy does not lead to {host} ({status if status.isdecimal() else 'no such tunnel'}); check "
            "HTTPS_PROXY, its user name and password, or add the host to NO_PROXY",
            5.0,
        ) from error
    except httpcore.TimeoutException as error:
        raise FetchError(
            "timeout",
            f"{host} did not answer in full in time ({READ_S:.0f} s, {min(within_s, TOTAL_S):.3g} s in all)",
            5.0,
        ) from error
    except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
        raise FetchError("server", f"{host} broke off its answer: {error}", 5.0) from error
    except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol) as error:
        raise FetchError("refused", f"the request to {host} is malformed: {error}") from error
