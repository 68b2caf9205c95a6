# SPDX-License-Identifier: Apache-2.0
"""What the answers of a real loopback server become: imagery, no change, nothing there, or a named failure."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest

from geodistill_core.errors import ConfigError
from geodistill_core.maps.fetch import Absent, Fetched, FetchError, Unchanged, Validators
from tests.maps.fetching import ManualClock, a_fetcher, failure
from tests.maps.server import GIF_1X1, FaultServer, half_body, html, png, png_bomb, reply, status

TILE = png(seed=1)
DAY_S = 86_400.0


@pytest.fixture
def server():
    with FaultServer(TILE) as server:
        yield server


@pytest.fixture
def fetcher(server):
    with a_fetcher(server.url, ManualClock()) as fetcher:
        yield fetcher


def encoded(suffix, image):
    return bytes(cv2.imencode(suffix, image)[1])


def noise(side):
    return np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_a_tile_comes_with_what_is_needed_to_ask_again(server, fetcher):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.always(reply(TILE, ETag='"v1"', Last_Modified=date, Cache_Control="public, max-age=600", Age="100"))
    fetched = fetcher.get(f"{server.url}/1/0/0.png")
    assert fetched == Fetched(TILE, '"v1"', date, 500.0, "image/png")
    assert fetched.validators == Validators('"v1"', date)


def test_a_copy_that_is_still_right_is_not_sent_again(server, fetcher):
    server.script(status(304, Cache_Control="max-age=60"))
    held = Validators('"v1"', "Wed, 21 Oct 2015 07:28:00 GMT")
    assert fetcher.get(f"{server.url}/1/0/0.png", validators=held) == Unchanged(60.0)
    sent = server.log[0].headers
    assert (sent["if-none-match"], sent["if-modified-since"]) == (held.etag, held.last_modified)


def test_not_modified_that_nobody_asked_for_is_an_error(server, fetcher):
    server.always(status(304))
    assert failure(fetcher, f"{server.url}/1/0/0.png").cause == "refused"


def test_requests_say_who_asks_and_whom_to_write_to(server):
    with a_fetcher(server.url, user_agent_contact="maps@example.org") as fetcher:
        fetcher.get(f"{server.url}/1/0/0.png")
    assert server.log[0].headers["user-agent"].startswith("geodistill/")
    assert "maps@example.org" in server.log[0].headers["user-agent"]


@pytest.mark.parametrize("code", [204, 404, 410])
def test_f01_nothing_there_is_an_answer_that_holds_for_a_day(server, fetcher, code):
    server.always(status(code))
    assert fetcher.get(f"{server.url}/1/0/0.png") == Absent(DAY_S)
    assert len(server.log) == 1
    assert fetcher.health().state == "online"


def test_f01_nothing_there_is_believed_for_a_minute_at_least(server, fetcher):
    server.always(status(404, Cache_Control="no-cache"))
    assert fetcher.get(f"{server.url}/1/0/0.png") == Absent(60.0)


def test_f01_the_wmts_exception_for_a_tile_outside_is_nothing_there(server, fetcher):
    server.script(reply(b'<Exception exceptionCode="TileOutOfRange" locator="TileRow"/>', "text/xml", 400))
    assert fetcher.get(f"{server.url}/1/0/0.png") == Absent(DAY_S)
    server.script(reply(b'<Exception exceptionCode="InvalidParameterValue"/>', "text/xml", 400))
    assert failure(fetcher, f"{server.url}/1/0/0.png").cause == "refused"


def test_f01_forbidden_names_the_key_and_is_not_repeated(server, monkeypatch):
    monkeypatch.setenv("TILES_KEY", "s3cr3t-k3y")
    server.always(status(403))
    with a_fetcher(server.url, url=f"{server.url}/{{z}}/{{x}}/{{y}}.png?token={{key}}", key_env="TILES_KEY") as fetcher:
        error = failure(fetcher, f"{server.url}/1/0/0.png?token={{key}}")
    assert (error.cause, error.retry_after_s) == ("forbidden", 60.0)
    assert "TILES_KEY" in str(error)
    assert server.paths == ["/1/0/0.png?token=s3cr3t-k3y"]
    assert "s3cr3t" not in str(error) + repr(error)


def test_a_missing_key_is_said_before_anything_is_asked(server, monkeypatch):
    monkeypatch.delenv("TILES_KEY", raising=False)
    with (
        a_fetcher(server.url, url=f"{server.url}/{{z}}/{{x}}/{{y}}.png?k={{key}}", key_env="TILES_KEY") as fetcher,
        pytest.raises(ConfigError, match="TILES_KEY"),
    ):
        fetcher.get(f"{server.url}/1/0/0.png?k={{key}}")
    assert server.log == []


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"<html>blocked</html>", "text/html"),
        (b"<html>blocked</html>", "image/png"),
        (b"", "image/png"),
        (GIF_1X1, "image/gif"),
        (png(128, seed=1), "image/png"),
        (png(512, seed=1), "image/png"),
        (encoded(".jpg", noise(240)), "image/jpeg"),
        (encoded(".webp", noise(512)), "image/webp"),
        (encoded(".bmp", noise(256)), "image/bmp"),
        (TILE[: len(TILE) // 2], "image/png"),
        (encoded(".jpg", noise(256))[:9000], "image/jpeg"),
        (encoded(".webp", noise(256))[:9000], "image/webp"),
        (encoded(".jpg", noise(256))[:-2], "image/jpeg"),
        (TILE[:60] + b"\x00" * 400 + TILE[460:], "image/png"),
        (png_bomb(4000), "image/png"),
    ],
    ids=[
        *("html", "html as png", "empty", "gif", "small", "large", "jpeg", "webp", "bmp"),
        *("cut png", "cut jpeg", "cut webp", "open jpeg", "damaged", "bomb"),
    ],
)
def test_f06_what_is_no_picture_of_the_right_size_is_refused(server, fetcher, body, media_type):
    server.always(reply(body, media_type))
    assert failure(fetcher, f"{server.url}/1/0/0.png").cause == "not_an_image"
    assert len(server.log) == 1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize(("tile_size", "scale"), [(256, 1), (256, 2), (512, 1), (512, 2)])
def test_f06_pictures_of_the_right_size_pass(server, suffix, tile_size, scale):
    side = tile_size * scale
    server.always(reply(encoded(suffix, np.kron(noise(side // 4), np.ones((4, 4, 1), np.uint8))), "image/whatever"))
    with a_fetcher(server.url, tile_size=tile_size, scale=scale) as fetcher:
        assert isinstance(fetcher.get(f"{server.url}/1/0/0.png"), Fetched)


def test_f06_the_page_of_a_captive_portal_is_called_one(server, fetcher):
    server.always(html())
    assert "login page" in str(failure(fetcher, f"{server.url}/1/0/0.png"))


def test_f06_the_exception_of_a_map_service_is_passed_on(server, fetcher):
    server.always(reply(b'<ServiceException code="LayerNotDefined">?</ServiceException>', "text/xml"))
    assert "LayerNotDefined" in str(failure(fetcher, f"{server.url}/1/0/0.png"))


def test_f06_the_picture_for_no_imagery_is_no_imagery(server):
    sign = png(256, (200, 190, 180))
    server.always(reply(sign))
    with a_fetcher(server.url) as fetcher:
        assert isinstance(fetcher.get(f"{server.url}/1/0/0.png"), Fetched)
    with a_fetcher(server.url, no_imagery_sha256=[hashlib.sha256(sign).hexdigest()]) as fetcher:
        assert fetcher.get(f"{server.url}/1/0/0.png") == Absent(DAY_S)


@pytest.mark.parametrize(
    "picture",
    [np.full((256, 256, 3), 255), np.zeros((256, 256)), np.dstack([noise(256), np.zeros((256, 256))])],
    ids=["white", "black", "transparent"],
)
def test_f06_a_blank_picture_is_no_imagery(server, fetcher, picture):
    server.always(reply(encoded(".png", picture.astype(np.uint8))))
    assert fetcher.get(f"{server.url}/1/0/0.png") == Absent(DAY_S)


def test_f06_a_body_that_ends_early_is_not_a_tile(server, fetcher):
    server.script(half_body(), half_body(), half_body(), half_body())
    assert failure(fetcher, f"{server.url}/1/0/0.png").cause == "server"


def test_a_tile_that_must_not_be_kept_says_so(server, fetcher):
    server.always(reply(TILE, Cache_Control="no-store"))
    fetched = fetcher.get(f"{server.url}/1/0/0.png")
    assert (fetched.max_age_s, fetched.may_store) == (0.0, False)


def bytes_of(content):
    def serve(request, answer, server):
        first, last = (int(part) for part in request.headers["range"].removeprefix("bytes=").split("-"))
        part = content[first : last + 1]
        where = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
        return reply(part, "application/octet-stream", 206, Content_Range=where, ETag='"f"')(request, answer, server)

    return serve


def test_a_range_is_the_bytes_asked_for_and_fewer_only_at_the_end(server, fetcher):
    content = bytes(range(256)) * 8
    server.always(bytes_of(content))
    assert fetcher.get_range(f"{server.url}/a.pmtiles", 100, 500).content == content[100:600]
    last = fetcher.get_range(f"{server.url}/a.pmtiles", 2000, 500)
    assert (last.content, last.etag) == (content[2000:], '"f"')


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (reply(b"x" * 10, status=206, Content_Range="bytes 5-14/100"), "server"),
        (reply(b"x" * 10, status=206, Content_Range="bytes 5-9/100"), "server"),
        (reply(b"x" * 9, status=206, Content_Range="bytes 0-8/100"), "server"),
        (reply(b"x" * 10, status=206), "server"),
        (reply(b"x" * 100, status=200), "refused"),
        (reply(b"x" * 11, status=206, Content_Range="bytes 0-10/100"), "too_large"),
        (status(416), "refused"),
        (status(404), "refused"),
    ],
    ids=["elsewhere", "contradictory", "short", "unsaid", "whole", "long", "past the end", "gone"],
)
def test_a_range_that_is_not_what_was_asked_for_is_an_error(server, fetcher, answer, cause):
    server.always(answer)
    with pytest.raises(FetchError) as caught:
        fetcher.get_range(f"{server.url}/a.pmtiles", 0, 10)
    assert caught.value.cause == cause
