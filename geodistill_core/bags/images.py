# SPDX-License-Identifier: Apache-2.0
"""Image messages to RGB arrays: validated before anything is allocated or decoded.

The messages are duck-typed (`sensor_msgs/Image`, `sensor_msgs/CompressedImage`): rclpy's and rosbags' classes
both fit, and `data` may be a numpy array, bytes, a memoryview or an `array.array`.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Any

import cv2
import numpy as np
import simplejpeg

from geodistill_core.errors import DatasetError
from geodistill_core.types import MAX_IMAGE_SIDE, Array

MIN_IMAGE_SIDE = 16
MAX_IMAGE_PIXELS = 40_000_000
BLANK_SPREAD = 6
MAX_HEADER_BYTES = 262_144
PANORAMA_ROWS = 512
"""Panoramas are decoded at the least size that has as many rows.

`tiny` was trained on panoramas of this size and finds positions no better in larger ones; published networks read less.
"""
_DIVISORS = (1, 2, 4, 8)
_PNG = b"\x89PNG\r\n\x1a\n"

# encoding: channels, OpenCV conversion to RGB (None: already RGB)
_ENCODINGS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "bayer_rggb8": (1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": (1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": (1, cv2.COLOR_BayerGRBG2RGB),
}
SUPPORTED_ENCODINGS = tuple(_ENCODINGS)


class ImageReason(str, Enum):
    """Why an image message was refused."""

    ENCODING = "encoding"
    STEP = "step"
    SIZE = "size"
    TRUNCATED = "truncated"
    DECODE = "decode"
    BLANK = "blank"

    def __str__(self) -> str:
        return self.value


class ImageError(DatasetError):
    """An image message that cannot be used; `reason` is the counter it belongs to."""

    def __init__(self, reason: ImageReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class BlankImageError(ImageError):
    """An image that shows nothing; `seen` is its thumbnail."""

    def __init__(self, rgb: Array) -> None:
        text = f"image is constant (brightness {rgb.mean():.0f} of 255); check lens cap and exposure"
        super().__init__(ImageReason.BLANK, text)
        self.seen = thumbnail(rgb).copy()


def decode_image(msg: Any) -> Array:
    """`sensor_msgs/Image` to H x W x 3 uint8 RGB (a copy); raises ImageError, also for blank images."""
    if msg.encoding not in _ENCODINGS:
        raise ImageError(
            ImageReason.ENCODING,
            f"image encoding {msg.encoding!r} is not one of {', '.join(SUPPORTED_ENCODINGS)}; convert",
        )
    channels, conversion = _ENCODINGS[msg.encoding]
    width, height, step = int(msg.width), int(msg.height), int(msg.step)
    _check_size(width, height)
    if step < width * channels:
        raise ImageError(
            ImageReason.STEP, f"image step {step} is below {width} pixels x {channels} bytes; fix the driver"
        )
    data = _bytes_of(msg.data)
    if data.size != step * height:
        reason = ImageReason.TRUNCATED if data.size < step * height else ImageReason.STEP
        raise ImageError(
            reason, f"image holds {data.size} bytes but step {step} x height {height} says {step * height}"
        )
    pixels = data.reshape(height, step)[:, : width * channels]
    if channels > 1:
        pixels = pixels.reshape(height, width, channels)
    rgb = pixels.copy() if conversion is None else cv2.cvtColor(np.ascontiguousarray(pixels), conversion)
    return _not_blank(np.asarray(rgb))


def decode_compressed(msg: Any, *, panorama: bool = False) -> Array:
    """`sensor_msgs/CompressedImage` (JPEG or PNG) to H x W x 3 uint8 RGB.

    A large `panorama` in JPEG comes at a half, a quarter or an eighth of its size: at least `PANORAMA_ROWS` high.
    The size is read from the file's header and checked before decoding, the content decides the format (the
    `format` field is only asked for the channel order), and EXIF orientation is ignored. Raises ImageError,
    also for blank images.
    """
    data = _bytes_of(msg.data)
    width, height = check_encoded(data)
    # image_transport writes "compressed rgb8" when it gave the encoder RGB in place of BGR.
    swapped = "compressed rgb" in str(msg.format).lower()
    try:
        if _is_png(data):
            rgb = _decoded_png(data, swapped)
        else:
            divisor = _divisor(width, height) if panorama else 1
            width, height = width // divisor, height // divisor
            rgb = _decoded_jpeg(data, swapped, np.empty((height, width, 3), np.uint8), divisor)
    except (cv2.error, ValueError) as error:
        raise ImageError(ImageReason.DECODE, f"compressed image cannot be decoded: {error}") from error
    if rgb is None or rgb.shape != (height, width, 3):
        got = "nothing" if rgb is None else f"{rgb.shape[1]} x {rgb.shape[0]} pixels"
        raise ImageError(ImageReason.DECODE, f"image decodes to {got}; its header asks for {width} x {height}")
    return _not_blank(rgb)


def _divisor(width: int, height: int) -> int:
    """By how much a panorama's sides are divided, which takes JPEG's decoder less time than the whole picture."""
    return max((by for by in _DIVISORS if width % by == 0 == height % by and height // by >= PANORAMA_ROWS), default=1)


def _decoded_png(data: Array, swapped: bool) -> Array | None:
    """Pixels of a PNG; `swapped` where the encoder took RGB for BGR."""
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return bgr if bgr is None or swapped else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def _decoded_jpeg(data: Array, swapped: bool, into: Array, divisor: int) -> Array:
    """Pixels of a JPEG; `swapped` as above. What libjpeg mends, such as stray bytes of a camera, it may mend.

    `into` [height, width, 3] says how large the picture is, so that nothing larger is written.
    """
    height, width, _ = into.shape
    order = "BGR" if swapped else "RGB"
    decoded: Array = simplejpeg.decode_jpeg(
        data, order, min_height=height, min_width=width, min_factor=divisor, buffer=into, strict=False
    )
    return decoded


def _is_png(data: Array) -> bool:
    return data[: len(_PNG)].tobytes() == _PNG


def thumbnail(rgb: Array) -> Array:
    """Every n-th pixel of every n-th row, at least 64 of them where the image has as many."""
    stride = max(1, min(rgb.shape[:2]) // 64)
    return rgb[::stride, ::stride]


def entropy_bits(rgb: Array) -> float:
    """Shannon entropy of the brightness in 256 levels, over the thumbnail: 0 for one colour, 8 at most."""
    counts = np.bincount(_brightness(rgb) // 3)
    share = counts[counts > 0] / counts.sum()
    return abs(float(share @ np.log2(share)))


def is_blank(rgb: Array) -> bool:
    """Whether an image is constant (lens cap, saturation): 98 % of it lies within a few grey levels."""
    brightness = _brightness(rgb)
    low, high = np.searchsorted(np.bincount(brightness).cumsum(), np.array([0.01, 0.99]) * brightness.size)
    return bool(high - low <= 3 * BLANK_SPREAD)


def _brightness(rgb: Array) -> Array:
    """Sums of the channels over the thumbnail, one after the other."""
    red, green, blue = np.moveaxis(thumbnail(rgb), 2, 0)
    return np.asarray((red.astype(np.uint16) + green + blue).ravel())


def check_encoded(data: Array) -> tuple[int, int]:
    """Width and height of a whole JPEG or PNG [N] uint8, without decoding it; raises ImageError."""
    width, height = encoded_size(data)
    _check_size(width, height)
    _check_end(data)
    return width, height


def encoded_size(data: Array) -> tuple[int, int]:
    """Width and height from a JPEG's or PNG's header, without decoding; raises ImageError."""
    head = data[:MAX_HEADER_BYTES].tobytes()
    if _is_png(data):
        if len(head) < 33 or head[12:16] != b"IHDR":
            raise ImageError(ImageReason.TRUNCATED, f"PNG of {data.size} bytes has no complete header")
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    if head.startswith(b"\xff\xd8"):
        return _jpeg_size(head)
    raise ImageError(
        ImageReason.DECODE,
        f"compressed image of {data.size} bytes is neither JPEG nor PNG (starts with {head[:8]!r})",
    )


def _jpeg_size(head: bytes) -> tuple[int, int]:
    """Walk the marker segments up to the frame header (SOF0..SOF15 without DHT, JPG and DAC)."""
    at = 2
    while at + 9 <= len(head):
        if head[at] != 0xFF:
            break
        marker = head[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + int(struct.unpack(">H", head[at + 2 : at + 4])[0])
    raise ImageError(ImageReason.TRUNCATED, f"JPEG has no frame header in its first {len(head)} bytes")


def _check_end(data: Array) -> None:
    """A whole JPEG ends with EOI (zero padding behind it is tolerated), a whole PNG with IEND."""
    png = _is_png(data)
    end = b"IEND\xaeB`\x82" if png else b"\xff\xd9"
    tail = data[-4096:].tobytes()
    if not (tail if png else tail.rstrip(b"\0")).endswith(end):
        raise ImageError(
            ImageReason.TRUNCATED,
            f"{'PNG' if png else 'JPEG'} of {data.size} bytes lacks its end marker; it was cut off",
        )


def _check_size(width: int, height: int) -> None:
    sides_ok = min(width, height) >= MIN_IMAGE_SIDE and max(width, height) <= MAX_IMAGE_SIDE
    if not sides_ok or width * height > MAX_IMAGE_PIXELS:
        raise ImageError(
            ImageReason.SIZE,
            f"image is {width} x {height} pixels; sides must lie in {MIN_IMAGE_SIDE}..{MAX_IMAGE_SIDE}, "
            f"the area within {MAX_IMAGE_PIXELS // 1_000_000} Mpx. Resize it upstream.",
        )


def _bytes_of(data: Any) -> Array:
    """Any byte buffer as a flat uint8 view."""
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    return np.frombuffer(memoryview(data).cast("B"), dtype=np.uint8)


def _not_blank(rgb: Array) -> Array:
    if is_blank(rgb):
        raise BlankImageError(rgb)
    return rgb
