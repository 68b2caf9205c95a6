# SPDX-License-Identifier: Apache-2.0
"""Whether a body is a picture of the size that was asked for, found out before it is decoded."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Collection

from geodistill_core.errors import MapError
from geodistill_core.maps.decode import decode_tile
from geodistill_core.maps.fetch.results import FetchError
from geodistill_core.types import Array

_PNG = b"\x89PNG\r\n\x1a\n"
_SERVICE_EXCEPTION = re.compile(rb'(?:exceptionCode|code)="([A-Za-z]{1,40})"')  # of WMS and WMTS
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_DARK, _BRIGHT = 2, 253


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Width and height in a JPEG's frame header."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """Width and height in the first chunk of a WebP: lossy, lossless or extended."""
    chunk, data = content[12:16], content[20:30]
    if len(data) < 10:
        return None
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", data[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X":
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    return None


def picture_size(content: bytes) -> tuple[int, int] | None:
    """Width and height that a PNG, JPEG or WebP claims in its header; None for anything else."""
    if content[:8] == _PNG and content[12:16] == b"IHDR" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    if content[:2] == b"\xff\xd8":
        return _jpeg_size(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp_size(content)
    return None


def _is_whole(content: bytes) -> bool:
    """Whether the end is there: a truncated picture may decode, with grey or old pixels in the rest."""
    if content[:8] == _PNG:
        return b"IEND" in content[-64:]
    if content[:2] == b"\xff\xd8":
        return b"\xff\xd9" in content[-64:]
    return int.from_bytes(content[4:8], "little") + 8 <= len(content)


def _is_blank(rgb: Array, valid: Array | None) -> bool:
    """White, black or transparent throughout: what servers send beyond the edge of their imagery."""
    if valid is not None and not valid.any():
        return True
    seen = rgb if valid is None else rgb[valid]
    return bool((seen <= _DARK).all() or (seen >= _BRIGHT).all())


def holds_imagery(content: bytes, media_type: str, side: int, no_imagery: Collection[str]) -> bool:
    """Check a tile; False for a picture that stands for "no imagery here": known by its SHA-256, or blank.

    Raises FetchError "not_an_image" for pages, other formats, other sizes than side x side, and damage.
    """
    if hashlib.sha256(content).hexdigest() in no_imagery:
        return False
    size = picture_size(content)
    if size is None:
        what = f"{len(content)} bytes of {media_type or 'no stated type'}"
        hint = "; a login page of this network?" if "html" in media_type else ""
        if code := _SERVICE_EXCEPTION.search(content[:4096]):
            hint = f"; the service says {code.group(1).decode()}"
        raise FetchError("not_an_image", f"the answer is {what}, not a PNG, JPEG or WebP picture{hint}")
    if size != (side, side):
        raise FetchError(
            "not_an_image",
            f"the answer is a picture of {size[0]} x {size[1]} pixels, and the source's tiles have {side} x {side}; "
            "check tile_size and scale",
        )
    if not _is_whole(content):
        raise FetchError("not_an_image", f"the picture is cut off after {len(content)} bytes")
    try:
        return not _is_blank(*decode_tile(content, "the answer"))
    except MapError as error:
        raise FetchError("not_an_image", str(error)) from error
