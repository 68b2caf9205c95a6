# SPDX-License-Identifier: Apache-2.0
"""The misbehaving server misbehaves as told: the other tests stand on it."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest

from tests.maps.server import (
    FaultServer,
    drop,
    flood,
    half_body,
    hang,
    loris,
    png,
    png_bomb,
    redirect,
    reply,
    slow,
    status,
)


def _get(url, timeout=5.0):
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_script_is_followed_once_and_the_log_knows_every_request():
    with FaultServer(png()) as server:
        server.script(status(503), reply(b"x", Retry_After="2"))
        assert [_get(f"{server.url}/{i}.png?k=v")[0] for i in range(3)] == [503, 200, 200]
        assert server.paths == ["/0.png?k=v", "/1.png?k=v", "/2.png?k=v"]
        assert len(server.delays_s) == 2 and all(delay_s > 0 for delay_s in server.delays_s)


def test_paths_and_standing_faults_apply_until_lifted():
    with FaultServer(png()) as server:
        server.path("/a", status(404))
        server.always(status(500))
        assert (_get(f"{server.url}/a")[0], _get(f"{server.url}/b")[0]) == (404, 500)


def test_connections_are_kept_alive_and_counted():
    with FaultServer(png()) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        for _ in range(3):
            connection.request("GET", "/a.png")
            assert connection.getresponse().read() == png()
        assert server.connections == 1 and server.peak_in_flight == 1
        connection.close()


def test_a_slow_answer_is_late_and_a_drip_never_ends():
    with FaultServer(png()) as server:
        server.script(slow(0.2), loris(1000.0))
        begun = time.monotonic()
        assert _get(f"{server.url}/a")[1] == png() and time.monotonic() - begun >= 0.2
        with urllib.request.urlopen(f"{server.url}/b", timeout=5) as answer:
            assert answer.read(1) == png()[:1] and int(answer.headers["Content-Length"]) == len(png())


def test_a_half_body_a_dropped_connection_and_silence_are_errors_at_the_client():
    with FaultServer(png(seed=1)) as server:
        server.script(half_body(), drop(), hang())
        with pytest.raises(http.client.IncompleteRead):
            _get(f"{server.url}/a")
        with pytest.raises(http.client.RemoteDisconnected):
            _get(f"{server.url}/b")
        with pytest.raises(TimeoutError):
            _get(f"{server.url}/c", timeout=0.2)


def test_a_flood_is_as_long_as_told_and_a_redirect_points_elsewhere():
    with FaultServer(png()) as server:
        server.script(flood(1 << 20, tell=False), redirect("http://169.254.169.254/latest"))
        assert len(_get(f"{server.url}/a")[1]) == 1 << 20
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("GET", "/b")
        answer = connection.getresponse()
        assert answer.status == 302 and answer.headers["Location"].startswith("http://169.254")
        connection.close()


def test_a_killed_server_refuses_and_a_revived_one_answers_at_the_same_place():
    with FaultServer(png()) as server:
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        kept.request("GET", "/a")
        kept.getresponse().read()
        server.kill()
        with pytest.raises((http.client.HTTPException, OSError)):
            kept.request("GET", "/b")
            kept.getresponse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=1)
        server.revive()
        assert _get(f"{server.url}/c") == (200, png())


def test_a_share_of_the_requests_fails():
    with FaultServer(png(), failure_share=0.3) as server:
        failed = sum(_get(f"{server.url}/{i}")[0] == 500 for i in range(60))
    assert 8 <= failed <= 30


def test_the_picture_bomb_is_small_and_claims_many_pixels():
    bomb = png_bomb(2048)
    assert len(bomb) < 4096 and cv2.imdecode(np.frombuffer(bomb, np.uint8), cv2.IMREAD_GRAYSCALE).shape == (2048, 2048)
