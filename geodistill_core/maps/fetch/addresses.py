# SPDX-License-Identifier: Apache-2.0
"""Which hosts a source may be asked at: the names its terms allow, and no address of somebody's own network."""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from geodistill_core.maps.fetch.results import FetchError

_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def _inner(address: IPAddress) -> list[IPAddress]:
    """The IPv4 address that an IPv6 address leads to, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    ends = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        ends.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [end for end in ends if end is not None]


def is_permitted(text: str, allow_private: bool) -> bool:
    """Whether an IP address may be connected to.

    Private networks and this machine only if `allow_private`; link-local (where clouds keep credentials),
    multicast, unspecified and reserved addresses never. Looks through IPv4-mapped, 6to4, Teredo and NAT64 addresses.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    for part in (address, *_inner(address)):
        if part.is_link_local or part.is_multicast or part.is_unspecified:
            return False
        if part.version == 4 and part.is_reserved:
            return False
        if not allow_private and not part.is_global and not (part is address and _inner(address)):
            return False
    return True


def require_permitted(host: str, found: list[str], allow_private: bool) -> list[str]:
    """Those of a host's addresses that may be connected to. Raises FetchError "refused" where none may."""
    permitted = [address for address in found if is_permitted(address, allow_private)]
    if found and not permitted:
        remedy = "it is never fetched from" if allow_private else "set allow_private: true if it is meant"
        raise FetchError("refused", f"{host} leads to {found[0]}, an address of a private network; {remedy}")
    return permitted


def is_ip_address(host: str) -> bool:
    """Whether a host is an address already, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def resolve(host: str, port: int, timeout_s: float) -> list[str]:
    """The IP addresses of a host name, in the order to try them. Raises OSError, TimeoutError after `timeout_s`."""
    found: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(str(info[4][0]) for info in infos)))
        except UnicodeError as error:
            found.put(OSError(f"{host!r} is no host name: {error}"))
        except OSError as error:
            found.put(error)

    # The system's resolver knows no time-out: whoever waits for it must be able to walk away.
    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        addresses = found.get(timeout=max(timeout_s, 0.0))
    except queue.Empty:
        raise TimeoutError(f"no answer from the name server within {timeout_s:.1f} s") from None
    if isinstance(addresses, OSError):
        raise addresses
    return addresses


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL points: scheme, host, port. The rest of it may hold a key and is never shown."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Place:
        """Raises FetchError "refused" for what is no plain http(s) URL."""
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
        except ValueError as error:
            raise FetchError("refused", "an address that is no URL is not fetched; check the source's url") from error
        if scheme not in _PORTS or not host:
            raise FetchError("refused", f"only http:// and https:// are fetched, not {scheme or 'a bare path'}://")
        if parts.username is not None or not url.isascii() or not url.isprintable() or " " in url:
            raise FetchError("refused", f"a URL on {host} holds a user name or unencoded characters; encode them")
        return cls(scheme, host, port or _PORTS[scheme])


def redirected(url: str, location: str, hosts: Collection[str]) -> str:
    """Where a redirect leads, if it may be followed: to a host of the source, not from https down to http.

    Raises FetchError "refused".
    """
    if not location:
        raise FetchError("refused", f"{Place.of(url).host} sent a redirect to nowhere; the source's url is out of date")
    here = Place.of(url)
    try:
        target = urljoin(url, location)
    except ValueError:
        raise FetchError("refused", f"{here.host} sent a redirect to what is no URL") from None
    there = Place.of(target)
    if there.host not in hosts:
        raise FetchError(
            "refused",
            f"{here.host} sends requests on to another host, {there.host}. A login page of this network? "
            "If it is the imagery's, name it in allowed_hosts",
        )
    if here.scheme == "https" and there.scheme == "http":
        raise FetchError("refused", f"{here.host} sends requests from https down to http; the key would be readable")
    if there.port not in (here.port, _PORTS[there.scheme]):
        raise FetchError("refused", f"{here.host} sends requests on to port {there.port}, which is not the source's")
    return target
