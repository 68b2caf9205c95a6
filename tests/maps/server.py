# SPDX-License-Identifier: Apache-2.0
"""A loopback server that misbehaves on demand, and remembers every request.

    with FaultServer(tiles) as server:              # `tiles`: bytes, a Reply, or a function of the Request
        server.script(status(503), slow(0.2), OK)   # for the next requests, one each; afterwards `tiles` again
        server.always(hang())                       # for all requests until `server.always(OK)`
        server.path("/20/1/2.png", status(404))     # for one path, whatever else is going on
        server.url, server.log, server.paths, server.peak_in_flight, server.kill(), server.revive()

A fault is a function (request, next answer, server) -> Reply or None (None: cut the connection).
"""

from __future__ import annotations

import gzip
import random
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from geodistill_core.maps.serve.http import Answer, LocalServer, Reply, Request

Fault = Callable[[Request, Answer, "FaultServer"], "Reply | None"]


class Logged(NamedTuple):
    """One request: when it came (time.monotonic), what it asked, which connection, what status went back."""

    at_s: float
    target: str
    headers: dict[str, str]
    connection: int


class FaultServer:
    """See the module. `latency_s` and `failure_share` (500, seeded) apply to every request."""

    def __init__(self, answer: Answer | Reply | bytes, *, latency_s: float = 0.0, failure_share: float = 0.0) -> None:
        self._answer = _as_answer(answer)
        self._lock, self._rng = threading.Lock(), random.Random(0)
        self._script: deque[Fault] = deque()
        self._always: Fault = OK
        self._paths: dict[str, Fault] = {}
        self.latency_s, self.failure_share = latency_s, failure_share
        self.log: list[Logged] = []
        self.in_flight = self.peak_in_flight = 0
        self.over = threading.Event()
        self._server: LocalServer | None = LocalServer(self._serve)
        self.port, self.url = self._server.port, self._server.url

    def script(self, *faults: Fault) -> None:
        """One fault for each of the next requests; afterwards the normal answer."""
        with self._lock:
            self._script.extend(faults)

    def always(self, fault: Fault) -> None:
        """This fault from now on, where no script or path says otherwise."""
        self._always = fault

    def path(self, path: str, fault: Fault) -> None:
        """This fault for one path (without query)."""
        self._paths[path] = fault

    def clear(self) -> None:
        """Forget the log and its peak."""
        with self._lock:
            self.log, self.peak_in_flight = [], self.in_flight

    @property
    def paths(self) -> list[str]:
        """Targets (path and query) in the order they were asked for."""
        return [entry.target for entry in self.log]

    @property
    def delays_s(self) -> list[float]:
        """Seconds between consecutive requests."""
        return [later.at_s - earlier.at_s for earlier, later in zip(self.log, self.log[1:], strict=False)]

    @property
    def connections(self) -> int:
        """How many different connections have carried a request."""
        return len({entry.connection for entry in self.log})

    def wait(self, seconds: float) -> None:
        """Sleep, unless the server is killed meanwhile."""
        self.over.wait(seconds)

    def kill(self) -> None:
        """Refuse connections and cut those that are open."""
        self.over.set()
        if self._server is not None:
            self._server.close()
            self._server = None

    def revive(self) -> None:
        """Listen on the same port again."""
        self.over.clear()
        if self._server is None:
            self._server = LocalServer(self._serve, port=self.port)

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _serve(self, request: Request) -> Reply | None:
        with self._lock:
            self.log.append(Logged(time.monotonic(), request.target, request.headers, request.connection))
            self.in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
            fault = self._paths.get(request.path)
            fault = fault or (self._script.popleft() if self._script else self._always)
            if self._rng.random() < self.failure_share:
                fault = status(500)
        try:
            if self.latency_s:
                self.wait(self.latency_s)
            return fault(request, self._answer, self)
        finally:
            with self._lock:
                self.in_flight -= 1


def _as_answer(answer: Answer | Reply | bytes) -> Answer:
    if callable(answer):
        return answer
    reply = Reply(answer, "image/png") if isinstance(answer, bytes) else answer
    return lambda request: reply


def OK(request: Request, answer: Answer, server: FaultServer) -> Reply | None:  # noqa: N802
    """The normal answer."""
    return answer(request)


def reply(body: bytes = b"", media_type: str = "image/png", status: int = 200, **headers: str) -> Fault:
    """A fixed reply; header names with underscores for hyphens."""
    fixed = Reply(body, media_type, status, {name.replace("_", "-"): value for name, value in headers.items()})
    return lambda request, answer, server: fixed


def status(code: int, **headers: str) -> Fault:
    """A status without an image, e.g. status(429, Retry_After="2")."""
    return reply(b"" if code in (204, 304) else f"status {code}\n".encode(), "text/plain", code, **headers)


def redirect(location: str, code: int = 302) -> Fault:
    """To wherever."""
    return status(code, Location=location)


def html(text: str = "<html><body>Access blocked</body></html>") -> Fault:
    """A page with status 200, as captive portals give."""
    return reply(text.encode(), "text/html")


def slow(seconds: float) -> Fault:
    """The normal answer, late."""

    def late(request: Request, answer: Answer, server: FaultServer) -> Reply | None:
        server.wait(seconds)
        return answer(request)

    return late


def hang() -> Fault:
    """No response, ever."""

    def silent(request: Request, answer: Answer, server: FaultServer) -> None:
        server.over.wait()

    return silent


def drop() -> Fault:
    """The connection ends without a response."""
    return lambda request, answer, server: None


def loris(bytes_per_s: float = 1.0) -> Fault:
    """The normal headers at once, the body drop by drop."""

    def drip(request: Request, answer: Answer, server: FaultServer) -> Reply:
        whole = _whole(answer(request))

        def drops() -> Iterator[bytes]:
            for byte in whole.body:
                yield bytes([byte])
                if server.over.wait(1.0 / bytes_per_s):
                    return

        return Reply(drops(), whole.media_type, whole.status, {**whole.headers, "Content-Length": str(len(whole.body))})

    return drip


def half_body() -> Fault:
    """The length of the whole, half of it, end of connection."""

    def half(request: Request, answer: Answer, server: FaultServer) -> Reply:
        whole = _whole(answer(request))
        body = whole.body[: len(whole.body) // 2]
        return Reply(body, whole.media_type, whole.status, {**whole.headers, "Content-Length": str(len(whole.body))})

    return half


def flood(size: int, media_type: str = "image/png", *, tell: bool = True) -> Fault:
    """A body of `size` zeros, its length told beforehand or not."""

    def zeros(request: Request, answer: Answer, server: FaultServer) -> Reply:
        headers = {"Content-Length": str(size)} if tell else {}
        return Reply((bytes(65_536) for _ in range(-(-size // 65_536))), media_type, 200, headers)

    return zeros


def gzip_bomb(size: int = 1 << 30) -> Fault:
    """Zeros that gzip packs a thousandfold, announced as Content-Encoding."""
    packed = gzip.compress(bytes(1 << 20))
    return reply(packed * (size >> 20), "image/png", Content_Encoding="gzip")


def _whole(made: Reply | None) -> Reply:
    assert made is not None and isinstance(made.body, bytes)
    return made


def png(side: int = 256, color: tuple[int, int, int] = (90, 120, 60), seed: int | None = None) -> bytes:
    """A PNG of one RGB colour, or of noise with a seed."""
    image = np.full((side, side, 3), color[::-1], np.uint8)
    if seed is not None:
        image = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".png", image)[1])


def png_bomb(side: int = 30_000) -> bytes:
    """A PNG of side x side zeros in a few hundred kilobytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    line = bytes(1 + (side + 7) // 8)
    packed = b"".join(packer.compress(line) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


GIF_1X1 = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
