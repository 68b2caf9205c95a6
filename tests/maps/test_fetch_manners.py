# SPDX-License-Identifier: Apache-2.0
"""How a server is treated: few requests at a time, back-off, pauses it asks for, and peace while it is failing."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from geodistill_core.maps.fetch import Absent, Fetched, FetchError, Unchanged, Validators
from tests.maps.fetching import ManualClock, a_fetcher, failure
from tests.maps.server import OK, FaultServer, hang, png, redirect, status

TILE = png(seed=1)


class BareServer:
    """Answers 304, 404, 204 and 410 in turn on connections that it keeps open, and never says how long they are."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        chunked = "Transfer-Encoding: chunked\r\n\r\n4\r\nnone\r\n5\r\nthere\r\n0\r\n\r\n"
        self._answers = iter(
            [
                'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
                f"HTTP/1.1 404 Not Found\r\n{chunked}",
                "HTTP/1.1 204 No Content\r\n\r\n",
                f"HTTP/1.1 410 Gone\r\n{chunked}",
            ]
        )
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError, StopIteration):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                with connection:
                    while connection.recv(4096):
                        connection.sendall(next(self._answers).encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()


@pytest.fixture
def server():
    with FaultServer(TILE) as server:
        yield server


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def fetcher(server, clock):
    with a_fetcher(server.url, clock) as fetcher:
        yield fetcher


def test_f02_retry_after_two_seconds_is_waited_for_in_earnest(server):
    server.script(status(429, Retry_After="2"))
    with a_fetcher(server.url) as fetcher:
        assert isinstance(fetcher.get(f"{server.url}/1/0/0.png"), Fetched)
    (delay_s,) = server.delays_s
    assert delay_s >= 2.0


def test_f02_a_pause_longer_than_the_deadline_is_reported_at_once_and_kept(server, clock, fetcher):
    server.script(status(429, Retry_After="120"))
    error = failure(fetcher, f"{server.url}/1/0/0.png")
    assert error.cause == "rate_limited"
    clock.now_s += 60.0
    assert failure(fetcher, f"{server.url}/1/0/1.png").retry_after_s == pytest.approx(60.0, abs=1.0)
    assert len(server.log) == 1
    assert (fetcher.health().state, fetcher.health().cause) == ("degraded", "rate_limited")
    clock.now_s += 60.0
    assert isinstance(fetcher.get(f"{server.url}/1/0/1.png"), Fetched)
    assert fetcher.health().state == "online"


def test_f02_a_limit_without_a_time_is_backed_off_from(server, clock, fetcher):
    server.script(status(429), status(429))
    assert isinstance(fetcher.get(f"{server.url}/1/0/0.png"), Fetched)
    assert 3.0 <= sum(clock.slept) <= 7.5


def test_f02_unavailable_with_a_time_is_a_limit_too(server, clock, fetcher):
    server.script(status(503, Retry_After="4"))
    fetcher.get(f"{server.url}/1/0/0.png")
    assert sum(clock.slept) == pytest.approx(4.0)


def test_f03_three_server_errors_then_success_with_jittered_back_off(server, clock, fetcher):
    server.script(status(500), status(502), status(503))
    assert isinstance(fetcher.get(f"{server.url}/1/0/0.png"), Fetched)
    assert len(server.log) == 4
    assert all(0.0 < slept <= most for slept, most in zip(clock.slept, (0.5, 1.0, 2.0), strict=True))
    assert len({round(slept / most, 3) for slept, most in zip(clock.slept, (0.5, 1.0, 2.0), strict=True)}) == 3
    counted = {"requests": 4, "server": 3, "retries": 3, "fetched": 1, "bytes": len(TILE)}
    assert fetcher.health().counters == counted


def test_f03_the_fourth_server_error_is_the_last(server, clock, fetcher):
    server.always(status(500))
    assert failure(fetcher, f"{server.url}/1/0/0.png").cause == "server"
    assert len(server.log) == 4


def test_f03_a_deadline_that_leaves_no_time_ends_the_retries(server, clock, fetcher):
    def late(request, answer, server):
        clock.now_s += 9.9
        return status(500)(request, answer, server)

    server.always(late)
    assert failure(fetcher, f"{server.url}/1/0/0.png", deadline_s=10.0).cause == "server"
    assert len(server.log) == 1
    assert clock.slept == []


def test_f04_a_server_that_fails_forever_gets_one_request_in_thirty_seconds(server, clock, fetcher):
    server.always(status(500))
    failure(fetcher, f"{server.url}/1/0/0.png")
    failure(fetcher, f"{server.url}/1/0/1.png")
    assert (len(server.log), fetcher.health().state, fetcher.health().cause) == (5, "offline", "server")
    opened_s = clock.now_s
    server.clear()
    times = []
    for _ in range(600):
        clock.now_s += 0.5
        before = len(server.log)
        error = failure(fetcher, f"{server.url}/1/0/0.png")
        assert error.cause == "server"
        times += [clock.now_s] * (len(server.log) - before)
    assert len(times) == 10
    assert all(later - earlier > 29.999 for earlier, later in zip([opened_s, *times], times, strict=False))
    assert fetcher.health().since_s == pytest.approx(300.0, abs=1.0)


def test_f04_of_many_that_wait_for_the_probe_one_asks(server, clock, fetcher):
    server.always(status(500))
    for row in range(2):
        failure(fetcher, f"{server.url}/1/0/{row}.png")
    server.clear()
    server.latency_s = 0.2
    clock.now_s += 31.0
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda row: failure(fetcher, f"{server.url}/4/0/{row}.png"), range(8)))
    assert len(server.log) == 1


def test_f04_one_success_closes_the_circuit(server, clock, fetcher):
    server.always(status(500))
    for row in range(2):
        failure(fetcher, f"{server.url}/1/0/{row}.png")
    server.always(lambda request, answer, server: answer(request))
    clock.now_s += 29.0
    assert failure(fetcher, f"{server.url}/1/0/0.png").retry_after_s == pytest.approx(1.0, abs=0.1)
    clock.now_s += 1.5
    assert isinstance(fetcher.get(f"{server.url}/1/0/0.png"), Fetched)
    assert isinstance(fetcher.get(f"{server.url}/1/0/1.png"), Fetched)
    assert (fetcher.health().state, fetcher.health().cause) == ("online", None)


def test_f04_a_blocked_client_does_not_go_on_asking(server, clock, fetcher):
    server.always(status(403))
    for row in range(20):
        failure(fetcher, f"{server.url}/5/0/{row}.png")
    assert len(server.log) == 5
    assert fetcher.health().cause == "forbidden"


def test_single_failures_among_successes_leave_the_circuit_closed(server, fetcher):
    server.failure_share = 0.3
    for row in range(60):
        fetcher.get(f"{server.url}/6/0/{row}.png", deadline_s=60.0)
    assert fetcher.health().counters["fetched"] == 60


def test_no_more_requests_are_in_flight_than_the_terms_allow(server):
    server.latency_s = 0.03
    with a_fetcher(server.url) as fetcher, ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda row: fetcher.get(f"{server.url}/5/0/{row}.png"), range(24)))
    assert (server.peak_in_flight, server.connections) == (2, 2)


def test_a_refusal_does_not_cost_the_connection(server, fetcher):
    server.path("/1/0/1.png", status(404))
    server.path("/1/0/2.png", redirect("/1/0/3.png"))
    for row in range(4):
        fetcher.get(f"{server.url}/1/0/{row}.png")
    assert server.connections == 1


def test_answers_of_no_stated_length_do_not_cost_the_connection_either():
    with BareServer() as server, a_fetcher(server.url, ManualClock()) as fetcher:
        outcomes = [
            fetcher.get(f"{server.url}/1/0/0.png", validators=Validators(etag='"a"')),
            *(fetcher.get(f"{server.url}/1/0/{row}.png") for row in (1, 2, 3)),
        ]
    assert [type(outcome) for outcome in outcomes] == [Unchanged, Absent, Absent, Absent]
    assert server.connections == 1


def test_requests_that_were_given_no_time_are_not_held_against_the_server(server, fetcher):
    server.always(hang())
    causes = [failure(fetcher, f"{server.url}/1/0/{row}.png", deadline_s=0.05).cause for row in range(6)]
    assert set(causes) == {"timeout"}
    assert failure(fetcher, f"{server.url}/1/0/0.png", deadline_s=0.0).cause == "timeout"
    server.always(OK)
    assert isinstance(fetcher.get(f"{server.url}/1/0/0.png"), Fetched)
    health = fetcher.health()
    assert (health.state, health.counters["hurried"], health.counters.get("timeout", 0)) == ("online", 6, 0)


@pytest.mark.parametrize("state", ["silent server", "back-off", "waiting for a place"])
def test_setting_stop_ends_every_wait_at_once(server, state):
    server.always(status(429, Retry_After="9") if state == "back-off" else hang())
    fetcher = a_fetcher(server.url)
    errors = []

    def ask():
        try:
            fetcher.get(f"{server.url}/1/0/0.png")
        except FetchError as error:
            errors.append(error.cause)

    threads = [threading.Thread(target=ask) for _ in range(6 if state == "waiting for a place" else 1)]
    for thread in threads:
        thread.start()
    while not server.log:
        time.sleep(0.01)
    started_s = time.monotonic()
    fetcher.close()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started_s < 5.0
    assert set(errors) == {"cancelled"}
    assert len(errors) == len(threads)
    counters = fetcher.health().counters
    assert counters["requests"] <= 2
    assert set(counters) <= {"requests", "rate_limited", "retries"}
    assert failure(fetcher, f"{server.url}/1/0/0.png").cause == "cancelled"
