# SPDX-License-Identifier: Apache-2.0
"""A small HTTP server for maps: what it answers is a function of the request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from geodistill_core.errors import GeodistillError, MapError

_IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """A GET or HEAD request: decoded path, query with upper-case keys, headers with lower-case names."""

    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    connection: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back. A body given in parts is sent as it is made; `headers` may contradict it (for tests)."""

    body: bytes | Iterable[bytes] = b""
    media_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Answer = Callable[[Request], Reply | None]
"""None closes the connection without a word."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "geodistill"
    sys_version = ""
    timeout = _IDLE_S
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.number = cast(LocalServer, self.server).opened(self.connection)

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            cast(LocalServer, self.server).closed(self.number)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key.upper(): value for key, value in parse_qsl(parts.query, keep_blank_values=True)}
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = cast(LocalServer, self.server).reply_to(
            Request(self.path, unquote(parts.path), query, headers, self.number)
        )
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        sent = {"Content-Type": reply.media_type, **reply.headers}
        known = isinstance(reply.body, bytes)
        if known:
            sent.setdefault("Content-Length", str(len(cast(bytes, reply.body))))
        for name, value in sent.items():
            self.send_header(name, value)
        if not known or sent.get("Content-Length") != str(len(cast(bytes, reply.body))):
            # The length is not what the header says, or not said: the end of the connection is the end of the body.
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            for part in (reply.body,) if isinstance(reply.body, bytes) else reply.body:
                self.wfile.write(part)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: whoever answers may keep a log."""


class LocalServer(ThreadingHTTPServer):
    """Serves `answer` from background threads, one a connection, until closed; port 0 takes a free one."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Answer, host: str = "127.0.0.1", port: int = 0) -> None:
        self._answer, self._lock = answer, threading.Lock()
        self._open: dict[int, socket.socket] = {}
        self._connections = 0
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise MapError(f"cannot listen on {host}:{port}: {error}; choose another --port or --host") from error
        threading.Thread(target=self.serve_forever, args=(0.05,), name="map server", daemon=True).start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """Where it answers, without a trailing slash."""
        host = str(self.server_address[0])
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def open_connections(self) -> int:
        """Connections held open now."""
        with self._lock:
            return len(self._open)

    def opened(self, connection: socket.socket) -> int:
        """Count a new connection; its number."""
        with self._lock:
            self._connections += 1
            self._open[self._connections] = connection
            return self._connections

    def closed(self, number: int) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.pop(number, None)

    def reply_to(self, request: Request) -> Reply | None:
        """The answer; an error of ours is a 500 with its message."""
        try:
            return self._answer(request)
        except GeodistillError as error:
            return Reply(f"{error}\n".encode(), status=500)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away in mid-answer: that is theirs to report."""

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self.shutdown()
        self.server_close()
        with self._lock:
            held = list(self._open.values())
        for connection in held:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def __exit__(self, *_: object) -> None:
        self.close()
