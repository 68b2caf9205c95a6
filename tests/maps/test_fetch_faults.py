# SPDX-License-Identifier: Apache-2.0
"""Servers and networks at their worst: silence, floods, bombs, false trails, no network at all."""

from __future__ import annotations

import inspect
import logging
import socket
import subprocess
import sys
import threading
import time

import pytest

from geodistill_core.maps.fetch import Fetched, Fetcher, exchange
from tests.maps.fetching import ManualClock, a_fetcher, failure
from tests.maps.server import OK, FaultServer, drop, half_body, hang, loris, png, redirect, reply

TILE = png(seed=1)
ELSEWHERE = "203.0.113.7"  # reserved for documentation: nobody answers


@pytest.fixture
def server():
    with FaultServer(TILE) as server:
        yield server


@pytest.fixture
def fetcher(server):
    with a_fetcher(server.url, ManualClock()) as fetcher:
        yield fetcher


@pytest.fixture
def names(monkeypatch):
    """Host names and what they resolve to: addresses, an error, or an event to wait for."""
    known, asked = {}, []

    def getaddrinfo(host, port, *_, **__):
        asked.append(host)
        found = known.get(host, [host])
        if isinstance(found, threading.Event):
            found.wait(20.0)
            found = OSError("too late")
        if isinstance(found, Exception):
            raise found
        if found and isinstance(found[0], list):
            found = found.pop(0)
        kinds = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(kinds[":" in address], socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr("geodistill_core.maps.fetch.addresses.socket.getaddrinfo", getaddrinfo)
    known["asked"] = asked
    return known


def header_loris(serve_s=30.0):
    """A port where headers come one byte at a time, each in time."""
    listener = socket.create_server(("127.0.0.1", 0))

    def drip():
        connection, _ = listener.accept()
        connection.recv(4096)
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1000:
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                return
            time.sleep(0.02)

    threading.Thread(target=drip, daemon=True).start()
    return listener


@pytest.mark.parametrize("fault", [loris(20.0), hang(), drop(), half_body()], ids=["loris", "hang", "drop", "half"])
def test_f05_no_server_holds_a_request_beyond_its_deadline(server, fault):
    server.always(fault)
    with a_fetcher(server.url) as fetcher:
        started_s = time.monotonic()
        assert failure(fetcher, f"{server.url}/1/0/0.png", deadline_s=0.5).cause in ("timeout", "server")
    assert time.monotonic() - started_s < 5.0


def test_f05_headers_that_trickle_in_end_with_the_deadline_too():
    with header_loris() as listener, a_fetcher(f"http://127.0.0.1:{listener.getsockname()[1]}") as fetcher:
        started_s = time.monotonic()
        error = failure(fetcher, f"http://127.0.0.1:{listener.getsockname()[1]}/1/0/0.png", deadline_s=0.5)
    assert error.cause == "timeout"
    assert time.monotonic() - started_s < 5.0


def test_f05_an_attempt_ends_after_ten_seconds_however_late_the_deadline(server, fetcher, monkeypatch):
    assert (exchange.CONNECT_S, exchange.READ_S, exchange.TOTAL_S) == (3.0, 5.0, 10.0)
    assert inspect.signature(Fetcher.get).parameters["deadline_s"].default == 10.0
    monkeypatch.setattr(exchange, "TOTAL_S", 0.2)
    server.always(loris(50.0))
    assert failure(fetcher, f"{server.url}/1/0/0.png", deadline_s=3600.0).cause == "timeout"
    assert fetcher.health().counters["requests"] == 4


MEMORY_OF_A_FETCH = """
import re, sys
import numpy as np
from tests.maps.fetching import ManualClock, a_fetcher
from tests.maps.server import FaultServer, flood, gzip_bomb, png, png_bomb, reply
from geodistill_core.maps.fetch import FetchError

faults = {
    "png bomb": reply(png_bomb(30_000)), "gzip bomb": gzip_bomb(1 << 30), "flood": flood(2 << 30),
    "untold flood": flood(2 << 30, tell=False),
}

def memory(of):
    return int(re.search(of + r":\\s+([0-9]+) kB", open("/proc/self/status").read()).group(1)) / 1024

with FaultServer(png(seed=1)) as server, a_fetcher(server.url, ManualClock()) as fetcher:
    fetcher.get(server.url + "/1/0/0.png")
    for name, fault in faults.items():
        server.always(fault)
        open("/proc/self/clear_refs", "w").write("5")
        before = memory("VmRSS")
        try:
            print(fetcher.get(server.url + "/1/0/0.png"))
        except FetchError as error:
            print(name, error.cause, memory("VmHWM") - before, sep=",")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_f07_bombs_and_floods_are_cut_at_the_limit(request):
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_OF_A_FETCH],
        capture_output=True, text=True, check=True, cwd=request.config.rootpath,
        env={"PYTHONPATH": ".", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    lines = [line.split(",") for line in done.stdout.splitlines()]
    bomb, *rest = [cause for _, cause, _ in lines]
    assert (bomb, rest) == ("not_an_image", ["too_large"] * 3)
    assert all(float(grown_mb) < 64.0 for _, _, grown_mb in lines), lines


@pytest.mark.parametrize(
    "location",
    [
        *("http://example.org/tile.png", "https://example.org/", "//example.org/", "file:///etc/passwd"),
        *("http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:22/", "ftp://127.0.0.1/", "http://[::1]/"),
        *("http://user:pass@127.0.0.1/", "http://127.1/", "http://2130706433/", ""),
    ],
)
def test_f08_redirects_that_lead_away_are_refused(server, fetcher, location):
    server.always(redirect(location))
    assert failure(fetcher, f"{server.url}/1/0/0.png").cause == "refused"
    assert len(server.log) == 1


def test_f08_redirects_within_the_source_are_followed_but_not_in_circles(server, fetcher):
    server.path("/1/0/0.png", redirect("../../2/0/0.png"))
    assert isinstance(fetcher.get(f"{server.url}/1/0/0.png"), Fetched)
    server.path("/2/0/0.png", redirect("/1/0/0.png"))
    server.clear()
    assert failure(fetcher, f"{server.url}/1/0/0.png").cause == "refused"
    assert len(server.log) == 4


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://example.org/1/0/0.png", "tiles/1/0/0.png", "http://["])
def test_f08_what_is_not_on_a_host_of_the_source_is_never_asked_for(fetcher, url):
    assert failure(fetcher, url).cause == "refused"
    assert "requests" not in fetcher.health().counters


def test_f08_a_name_that_leads_to_a_private_address_is_refused(server, names):
    names["tiles.example.org"] = ["127.0.0.1"]
    url = f"http://tiles.example.org:{server.port}"
    with a_fetcher(url, ManualClock(), allow_private=False) as fetcher:
        error = failure(fetcher, f"{url}/1/0/0.png")
    assert (error.cause, server.log) == ("refused", [])
    assert "allow_private" in str(error)
    with a_fetcher(url, ManualClock()) as fetcher:
        assert isinstance(fetcher.get(f"{url}/1/0/0.png"), Fetched)


def test_f08_a_name_that_changes_its_mind_after_the_check_gains_nothing(server, names, monkeypatch):
    names["tiles.example.org"] = [["9.9.9.9"], ["127.0.0.1"], ["127.0.0.1"], ["127.0.0.1"]]
    connected = []

    def connect(self, host, port, *_):
        connected.append(host)
        raise exchange.httpcore.ConnectError("nobody there")

    monkeypatch.setattr("httpcore.SyncBackend.connect_tcp", connect)
    url = f"http://tiles.example.org:{server.port}"
    with a_fetcher(url, ManualClock(), allow_private=False) as fetcher:
        assert failure(fetcher, f"{url}/1/0/0.png").cause == "refused"
    assert connected == ["9.9.9.9"]
    assert names["asked"] == ["tiles.example.org"] * 2


@pytest.mark.parametrize("found", [socket.gaierror(-2, "Name or service not known"), ["127.0.0.1"], ["::1"], []])
def test_f09_without_a_way_to_the_server_the_source_is_offline_at_once(server, names, found):
    names["tiles.example.org"] = found
    server.kill()
    url = f"http://tiles.example.org:{server.port}"
    with a_fetcher(url, ManualClock()) as fetcher:
        started_s = time.monotonic()
        assert failure(fetcher, f"{url}/1/0/0.png").cause == "offline"
        assert time.monotonic() - started_s < 3.0
        assert (fetcher.health().state, fetcher.health().cause) == ("offline", "offline")


def test_f09_a_name_server_that_is_silent_makes_the_source_offline_within_three_seconds(server, names):
    names["tiles.example.org"] = threading.Event()
    url = f"http://tiles.example.org:{server.port}"
    with a_fetcher(url) as fetcher:
        started_s = time.monotonic()
        thread = threading.Thread(target=failure, args=(fetcher, f"{url}/1/0/0.png"), daemon=True)
        thread.start()
        while fetcher.health().state != "offline" and thread.is_alive():
            time.sleep(0.02)
        assert time.monotonic() - started_s < 4.5
        names["tiles.example.org"].set()


def test_f09_an_address_that_fails_is_not_the_last_that_is_tried(server, names):
    names["tiles.example.org"] = ["::1", "127.0.0.2", "127.0.0.1"]
    url = f"http://tiles.example.org:{server.port}"
    with a_fetcher(url, ManualClock()) as fetcher:
        assert isinstance(fetcher.get(f"{url}/1/0/0.png"), Fetched)


def test_f09_a_server_that_comes_back_is_used_again_without_a_restart(server):
    clock = ManualClock()
    with a_fetcher(server.url, clock) as fetcher:
        fetcher.get(f"{server.url}/1/0/0.png")
        server.kill()
        for row in range(3):
            failure(fetcher, f"{server.url}/1/0/{row}.png")
        assert fetcher.health().state == "offline"
        server.revive()
        clock.now_s += 30.0
        assert isinstance(fetcher.get(f"{server.url}/1/0/0.png"), Fetched)
        assert fetcher.health().state == "online"


def test_f14_a_key_in_a_header_goes_to_the_service_and_no_further(names, monkeypatch, caplog):
    monkeypatch.setenv("TILES_KEY", "s3cr3t-k3y")
    names["cdn.example.org"] = ["127.0.0.1"]
    keyed = {"key_env": "TILES_KEY", "key_header": "Authorization Bearer", "allowed_hosts": ["cdn.example.org"]}
    with FaultServer(TILE) as server, a_fetcher(server.url, ManualClock(), **keyed) as fetcher:
        caplog.set_level(logging.DEBUG)
        elsewhere = f"http://cdn.example.org:{server.port}"
        echo = reply(b"", "text/s3cr3t-k3y", Warning="Bearer s3cr3t-k3y")
        server.script(redirect("/2/0/0.png"), OK, redirect(f"{elsewhere}/1/0/0.png"), OK, echo)
        for _ in range(2):
            fetcher.get(f"{server.url}/1/0/0.png")
        error = failure(fetcher, f"{server.url}/1/0/0.png")
        shown = f"{error} {error!r} {vars(fetcher)} {vars(fetcher._exchange)} {fetcher.health()}"
    sent = [entry.headers.get("authorization") for entry in server.log]
    assert sent == ["Bearer s3cr3t-k3y"] * 3 + [None, "Bearer s3cr3t-k3y"]
    assert "s3cr3t" not in shown + caplog.text
    assert "httpcore" in {record.name.partition(".")[0] for record in caplog.records}


def test_f14_a_key_that_the_server_sends_back_reaches_neither_log_nor_error(server, monkeypatch, caplog):
    monkeypatch.setenv("TILES_KEY", "s3cr3t-k3y")
    template = "/{z}/{x}/{y}.png?token={key}"
    with (
        caplog.at_level(logging.DEBUG),
        a_fetcher("", ManualClock(), url=server.url + template, key_env="TILES_KEY") as fetcher,
    ):
        faults = [
            *(redirect("http://s3cr3t-k3y.example.org/"), redirect("http://example.org/?token=s3cr3t-k3y")),
            *(reply(b"", "text/s3cr3t-k3y"), reply(TILE, **{"s3cr3t-k3y is no name": "of a header"})),
        ]
        for fault in faults:
            server.script(*[fault] * (4 if fault is faults[-1] else 1))
            error = failure(fetcher, f"{server.url}/1/0/0.png?token={{key}}")
            assert "s3cr3t" not in f"{error} {error!r} {error.__cause__} {error.__context__}"
            fetcher.get(f"{server.url}/1/0/0.png?token={{key}}")
        assert "s3cr3t" not in repr(vars(fetcher)) + repr(fetcher.health())
    assert set(server.paths) == {"/1/0/0.png?token=s3cr3t-k3y"}
    assert "httpcore" in {record.name.partition(".")[0] for record in caplog.records}
    assert "s3cr3t" not in caplog.text
