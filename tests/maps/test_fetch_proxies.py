# SPDX-License-Identifier: Apache-2.0
"""Proxies that the environment names: used where they are meant, refused where they cannot be, never passed over."""

from __future__ import annotations

import base64
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress

import pytest

from geodistill_core.maps.fetch import Fetched, connections
from geodistill_core.maps.fetch.addresses import Place
from geodistill_core.maps.fetch.proxies import proxy_for
from tests.maps.fetching import ManualClock, a_fetcher, failure
from tests.maps.server import FaultServer, png, status

TILE = png(seed=1)
WORLD = "http://tiles.example.org"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.fixture
def proxy():
    """A proxy for http:// is a server that is asked for whole addresses."""
    with FaultServer(TILE) as server:
        yield server


class Tunnel:
    """A proxy for https:// that answers in place of the host it leads to; `certificate`: paths of it and its key."""

    def __init__(self, answer: bytes, certificate=None) -> None:
        self._answer, self._certificate = answer, certificate
        self.heads: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    self._read_head(connection)
                    connection.sendall(self._answer)
                    if self._certificate:
                        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                        context.load_cert_chain(*self._certificate)
                        with context.wrap_socket(connection, server_side=True) as inner:
                            self._read_head(inner)
                            head = f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {len(TILE)}\r\n\r\n"
                            inner.sendall(head.encode() + TILE)

    def _read_head(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        self.heads.append(head.decode())


def test_plain_requests_go_through_the_proxy_and_its_name_server(proxy, environment):
    environment.setenv("HTTP_PROXY", proxy.url.replace("//", "//robot:p%40ss@"))
    with a_fetcher(WORLD, ManualClock()) as fetcher:
        assert isinstance(fetcher.get(f"{WORLD}/1/0/0.png"), Fetched)
    assert proxy.paths == [f"{WORLD}/1/0/0.png"]
    headers = proxy.log[0].headers
    assert headers["host"] == "tiles.example.org"
    assert headers["proxy-authorization"] == "Basic " + base64.b64encode(b"robot:p@ss").decode()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_encrypted_requests_are_tunnelled_with_the_certificate_checked_here(environment, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=tiles.example.org",
         "-addext", "subjectAltName=DNS:tiles.example.org", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    trusting = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    environment.setattr(connections, "tls_context", lambda: trusting)
    tunnel = Tunnel(b"HTTP/1.1 200 OK\r\n\r\n", (tmp_path / "cert.pem", tmp_path / "key.pem"))
    environment.setenv("https_proxy", tunnel.url)
    environment.setenv("TILES_KEY", "s3cr3t-k3y")
    keyed = {"key_env": "TILES_KEY", "key_header": "Authorization Bearer"}
    with a_fetcher("https://tiles.example.org", ManualClock(), allow_private=False, **keyed) as fetcher:
        assert isinstance(fetcher.get("https://tiles.example.org/1/0/0.png"), Fetched)
    tunnel.close()
    assert tunnel.heads[0].startswith("CONNECT tiles.example.org:443 ")
    assert "s3cr3t" not in tunnel.heads[0] and "authorization: bearer s3cr3t-k3y" in tunnel.heads[1].lower()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "forbidden"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "offline"),
        (b"HTTP/1.1 999 s3cr3t\r\nContent-Length: 0\r\n\r\n", "offline"),
    ],
)
def test_a_proxy_that_opens_no_tunnel_is_named_as_the_obstacle(environment, answer, cause):
    tunnel = Tunnel(answer)
    environment.setenv("HTTPS_PROXY", tunnel.url)
    with a_fetcher("https://tiles.example.org", ManualClock()) as fetcher:
        error = failure(fetcher, "https://tiles.example.org/1/0/0.png")
    tunnel.close()
    assert error.cause == cause
    assert "HTTPS_PROXY" in str(error) and answer[9:12].decode() in str(error) and "s3cr3t" not in str(error)


def test_a_proxy_that_wants_a_password_is_not_mistaken_for_a_refused_key(proxy, environment):
    environment.setenv("HTTP_PROXY", proxy.url)
    proxy.always(status(407))
    with a_fetcher(WORLD, ManualClock()) as fetcher:
        error = failure(fetcher, f"{WORLD}/1/0/0.png")
    assert error.cause == "forbidden" and "proxy" in str(error) and "key" not in str(error)


def test_a_proxy_that_is_not_there_is_no_reason_to_go_round_it(environment):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        environment.setenv("HTTP_PROXY", f"127.0.0.1:{listener.getsockname()[1]}")
    with a_fetcher(WORLD, ManualClock()) as fetcher:
        error = failure(fetcher, f"{WORLD}/1/0/0.png")
    assert error.cause == "offline" and "through the proxy http://127.0.0.1:" in str(error)


@pytest.mark.parametrize("named", ["socks5://127.0.0.1:1080", "ftp://p", "http://", "http://[::1", "http://h:port"])
def test_a_proxy_of_another_kind_is_refused_in_clear_words(environment, named):
    environment.setenv("ALL_PROXY", named.replace("//", "//user:s3cr3t@"))
    with a_fetcher(WORLD, ManualClock()) as fetcher:
        error = failure(fetcher, f"{WORLD}/1/0/0.png")
    assert error.cause == "refused"
    assert "ALL_PROXY" in str(error) and "NO_PROXY" in str(error) and "s3cr3t" not in str(error)


@pytest.mark.parametrize(
    ("url", "is_proxied"),
    [
        ("http://tiles.example.org/", True),
        ("http://tiles.example.com/", False),
        ("http://tiles.example.net:8080/", False),
        ("http://tiles.example.net/", True),
        ("http://localhost:8000/", False),
        ("http://127.0.0.9/", False),
        ("http://[::1]:80/", False),
        ("http://10.0.0.1/", True),
        ("https://tiles.example.org/", False),
    ],
)
def test_which_hosts_are_asked_through_the_proxy(environment, url, is_proxied):
    environment.setenv("HTTP_PROXY", "http://proxy.example.org:3128")
    environment.setenv("NO_PROXY", "example.com, tiles.example.net:8080")
    found = proxy_for(Place.of(url))
    assert (found is not None) == is_proxied
    assert found is None or found.url == "http://proxy.example.org:3128"


def test_f08_a_private_address_in_the_url_is_refused_before_the_proxy_sees_it(proxy, environment):
    environment.setenv("HTTP_PROXY", proxy.url)
    with a_fetcher("http://10.0.0.1", ManualClock(), allow_private=False) as fetcher:
        error = failure(fetcher, "http://10.0.0.1/1/0/0.png")
    assert error.cause == "refused" and "allow_private" in str(error) and not proxy.log


def test_f14_the_password_of_a_proxy_is_shown_nowhere(proxy, environment, caplog):
    environment.setenv("HTTP_PROXY", proxy.url.replace("//", "//robot:s3cr3t@"))
    caplog.set_level("DEBUG")
    proxy.script(*[status(500)] * 4)
    with a_fetcher(WORLD, ManualClock()) as fetcher:
        error = failure(fetcher, f"{WORLD}/1/0/0.png")
        shown = f"{error!r} {vars(fetcher)} {vars(fetcher._exchange)} {vars(fetcher._exchange._connections)}"
    assert proxy.log[0].headers["proxy-authorization"].startswith("Basic ")
    assert "s3cr3t" not in shown + caplog.text
    assert proxy.log[0].headers["proxy-authorization"][6:] not in shown + caplog.text
