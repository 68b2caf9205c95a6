# SPDX-License-Identifier: Apache-2.0
"""The rules that fetching is made of: addresses, times in headers, packed bodies, certificates."""

from __future__ import annotations

import gzip
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodistill_core.maps.fetch import FetchError, picture
from geodistill_core.maps.fetch.addresses import is_permitted
from geodistill_core.maps.fetch.body import read_body
from geodistill_core.maps.fetch.freshness import max_age_s, may_store, retry_after_s
from tests.maps.fetching import ManualClock, a_fetcher, failure

MIB = 1 << 20
PUBLIC = ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909"]
PRIVATE = ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1", "::ffff:10.1.2.3"]
NEVER = ["169.254.169.254", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"]
HIDDEN = ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"]


@pytest.mark.parametrize(
    ("addresses", "publicly", "privately"),
    [(PUBLIC, True, True), (PRIVATE, False, True), (NEVER, False, False), (HIDDEN, False, False)],
    ids=["public", "private", "never", "hidden"],
)
def test_f08_addresses_are_told_apart(addresses, publicly, privately):
    assert {address: is_permitted(address, False) for address in addresses} == dict.fromkeys(addresses, publicly)
    assert {address: is_permitted(address, True) for address in addresses} == dict.fromkeys(addresses, privately)


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "64:ff9b::{}"]))
def test_f08_an_ipv4_address_in_ipv6_clothes_is_judged_as_what_it_is(address, clothes):
    dressed = str(ipaddress.IPv6Address(clothes.format(address)))
    for allow_private in (False, True):
        assert is_permitted(dressed, allow_private) <= is_permitted(str(address), allow_private)


DATE = {"date": "Wed, 21 Oct 2015 07:28:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "age_s", "kept"),
    [
        ({}, None, True),
        ({"cache-control": "public, max-age=600"}, 600.0, True),
        ({"cache-control": 'Max-Age="600"', "age": "590"}, 10.0, True),
        ({"cache-control": "max-age=10", "age": "90"}, 0.0, True),
        ({"cache-control": "s-maxage=5, max-age=600"}, 600.0, True),
        ({"cache-control": "no-cache, max-age=600"}, 0.0, True),
        ({"cache-control": "no-store"}, 0.0, False),
        ({"cache-control": "max-age=99999999999"}, 366 * 86400.0, True),
        ({"cache-control": "max-age=nonsense"}, None, True),
        (DATE | {"expires": "Wed, 21 Oct 2015 08:28:00 GMT"}, 3600.0, True),
        (DATE | {"expires": "Wed, 21 Oct 2015 06:28:00 GMT"}, 0.0, True),
        (DATE | {"expires": "0"}, 0.0, True),
        (DATE | {"expires": "Wed, 21 Oct 2015 08:28:00 GMT", "cache-control": "max-age=60"}, 60.0, True),
    ],
)
def test_how_long_a_copy_holds(headers, age_s, kept):
    assert (max_age_s(headers), may_store(headers)) == (age_s, kept)


@pytest.mark.parametrize(
    ("said", "pause_s"),
    [
        *((None, None), ("", None), ("2", 2.0), ("0", 0.0), ("soon", None), ("-5", None), ("nan", None)),
        *(("999999999", 3600.0), ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0), ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0)),
    ],
)
def test_f02_how_long_to_stay_away(said, pause_s):
    assert retry_after_s(DATE if said is None else DATE | {"retry-after": said}) == pause_s


@given(st.text(max_size=40))
def test_headers_hold_anything_and_break_nothing(text):
    for name in ("cache-control", "expires", "age", "date", "retry-after"):
        headers = {"cache-control": "max-age=9", "expires": DATE["date"], "retry-after": DATE["date"], name: text}
        age_s, pause_s = max_age_s(headers), retry_after_s(headers)
        assert age_s is None or 0.0 <= age_s <= 366 * 86400.0
        assert pause_s is None or 0.0 <= pause_s <= 3600.0


@given(st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x00\x00\x00\x00WEBPVP8"]), st.binary())
def test_f06_bytes_that_begin_like_a_picture_break_nothing(start, rest):
    with pytest.raises(FetchError):
        picture.holds_imagery(start + rest, "image/png", 256, ())


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_f06_a_picture_without_its_end_is_refused_whatever_a_decoder_makes_of_it(suffix, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    whole = bytes(cv2.imencode(suffix, image)[1])
    monkeypatch.setattr(picture, "decode_tile", lambda content, name: (image, None))
    assert picture.holds_imagery(whole, "", 256, ())
    with pytest.raises(FetchError, match="cut off"):
        picture.holds_imagery(whole[:-10], "", 256, ())


def pieces(content, size=1000):
    return (content[at : at + size] for at in range(0, len(content), size))


@pytest.mark.parametrize(
    "pack", [gzip.compress, zlib.compress, lambda body: gzip.compress(body[:999]) + gzip.compress(body[999:])]
)
@pytest.mark.parametrize("size", [1, 1000, 10**6])
def test_f07_packed_bodies_are_unpacked(pack, size):
    body = bytes(range(256)) * 100
    assert read_body(pieces(pack(body), size), {"content-encoding": "gzip"}, len(body)) == body


@pytest.mark.parametrize(
    ("content", "headers", "cause"),
    [
        (b"x" * 1001, {}, "too_large"),
        (b"", {"content-length": "1001"}, "too_large"),
        (gzip.compress(bytes(1001)), {"content-encoding": "gzip"}, "too_large"),
        (gzip.compress(b"") * 1000, {"content-encoding": "gzip"}, "too_large"),
        (gzip.compress(bytes(900))[:-4], {"content-encoding": "gzip"}, "server"),
        (b"not packed", {"content-encoding": "deflate"}, "server"),
        (b"", {"content-encoding": "gzip"}, "server"),
        (b"packed?", {"content-encoding": "br"}, "server"),
    ],
    ids=["long", "told", "packed", "empties", "cut", "plain", "nothing", "unknown"],
)
def test_f07_bodies_that_break_a_rule_are_errors(content, headers, cause):
    with pytest.raises(FetchError) as caught:
        read_body(pieces(content, 100), headers, 1000)
    assert caught.value.cause == cause


def test_f07_a_gigabyte_in_one_packed_piece_is_cut_before_it_is_unpacked():
    taken = 0

    def bomb():
        nonlocal taken
        packer = zlib.compressobj(9)
        for _ in range(1024):
            yield packer.compress(bytes(MIB))
            taken += 1

    with pytest.raises(FetchError, match="2097152"):
        read_body(bomb(), {"content-encoding": "deflate"}, 2 * MIB)
    assert taken < 64


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_certificate_that_nobody_vouches_for_is_refused_and_not_retried(tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    shaken = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shake_hands():
            connection, _ = listener.accept()
            shaken.append(connection)
            try:
                context.wrap_socket(connection, server_side=True)
            except OSError:
                connection.close()

        threading.Thread(target=shake_hands, daemon=True).start()
        url = f"https://localhost:{listener.getsockname()[1]}"
        with a_fetcher(url, ManualClock()) as fetcher:
            error = failure(fetcher, f"{url}/1/0/0.png")
    assert error.cause == "refused"
    assert "certificate" in str(error)
    assert len(shaken) == 1
