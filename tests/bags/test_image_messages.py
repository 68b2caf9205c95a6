# SPDX-License-Identifier: Apache-2.0
"""Image messages: what decodes, and what is refused with which reason before anything is allocated."""

import array
import io
import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from geodistill_core.bags.images import (
    ImageError,
    ImageReason,
    decode_compressed,
    decode_image,
    encoded_size,
    is_blank,
)

RNG = np.random.default_rng(5)
RGB = cv2.resize(RNG.integers(0, 255, (6, 8, 3), dtype=np.uint8), (80, 60), interpolation=cv2.INTER_CUBIC)


def raw(kind, pixels, step=None, **fields):
    height, width = pixels.shape[:2]
    row = pixels.reshape(height, -1)
    step = row.shape[1] if step is None else step
    padded = np.full((height, max(step, row.shape[1])), 77, np.uint8)
    padded[:, : row.shape[1]] = row
    values = {"encoding": kind, "width": width, "height": height, "step": step, "is_bigendian": 0}
    return SimpleNamespace(**{**values, "data": padded.tobytes(), **fields})


def compressed(data, text="jpeg"):
    return SimpleNamespace(format=text, data=data)


def jpeg(rgb, quality=98):
    return cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def png_header(width, height):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82"


def reason_of(function, message):
    with pytest.raises(ImageError) as caught:
        function(message)
    return caught.value.reason


ALPHA = np.full((60, 80, 1), 9, np.uint8)
COLOUR_CASES = {
    "rgb8": RGB,
    "bgr8": RGB[..., ::-1],
    "rgba8": np.concatenate([RGB, ALPHA], axis=2),
    "bgra8": np.concatenate([RGB[..., ::-1], ALPHA], axis=2),
}


@pytest.mark.parametrize("encoding", COLOUR_CASES)
@pytest.mark.parametrize("padding", [0, 13])
def test_every_colour_order_gives_the_same_rgb_whatever_the_row_padding(encoding, padding):
    pixels = np.ascontiguousarray(COLOUR_CASES[encoding])
    message = raw(encoding, pixels, step=pixels.shape[1] * pixels.shape[2] + padding)
    np.testing.assert_array_equal(decode_image(message), RGB)


def test_mono_is_repeated_in_three_channels():
    grey = RGB[..., 0]
    np.testing.assert_array_equal(decode_image(raw("mono8", grey, step=96)), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("encoding", "order"), [("rggb", "RGGB"), ("bggr", "BGGR"), ("gbrg", "GBRG"), ("grbg", "GRBG")]
)
def test_bayer_mosaic_of_a_flat_colour_returns_that_colour(encoding, order):
    colour = {"R": 200, "G": 120, "B": 30}
    mosaic = np.empty((60, 80), np.uint8)
    for index, letter in enumerate(order):
        mosaic[index // 2 :: 2, index % 2 :: 2] = colour[letter]
    mosaic[:, 40:] //= 2  # two halves, so that the picture is not blank
    decoded = decode_image(raw(f"bayer_{encoding}8", mosaic))
    assert decoded[30, 20].tolist() == [200, 120, 30]
    assert decoded[30, 60].tolist() == [100, 60, 15]


@pytest.mark.parametrize(
    "wrap",
    [
        bytes,
        bytearray,
        lambda data: memoryview(data),
        lambda data: array.array("B", data),
        lambda data: np.frombuffer(data, np.uint8),
    ],
)
def test_any_byte_container_decodes_and_the_result_owns_its_pixels(wrap):
    message = raw("rgb8", RGB)
    message.data = wrap(message.data)
    decoded = decode_image(message)
    np.testing.assert_array_equal(decoded, RGB)
    assert decoded.flags.owndata and decoded.flags.writeable
    file = wrap(jpeg(RGB))
    assert decode_compressed(compressed(file)).shape == RGB.shape


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoding": "bayer_xyz"}, "encoding"),
        ({"encoding": "16UC1"}, "encoding"),
        ({"step": 239}, "step"),
        ({"data": raw("rgb8", RGB).data[:-1]}, "truncated"),
        ({"data": b""}, "truncated"),
        ({"data": raw("rgb8", RGB).data + b"\0"}, "step"),
        ({"width": 2**31, "height": 2**31}, "size"),
        ({"height": 0}, "size"),
        ({"width": 8192, "height": 8192}, "size"),
        ({"data": bytes(80 * 60 * 3)}, "blank"),
        ({"data": b"\xff" * (80 * 60 * 3)}, "blank"),
    ],
)
def test_malformed_raw_images_are_refused_by_name(change, reason):
    assert reason_of(decode_image, raw("rgb8", RGB, **change)) == reason


def test_jpeg_and_png_decode_to_rgb():
    png = cv2.imencode(".png", RGB[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(compressed(png, "png")), RGB)
    error = np.abs(decode_compressed(compressed(jpeg(RGB))).astype(int) - RGB)
    assert error.mean() < 4


def test_image_transport_rgb_files_have_their_swap_undone():
    encoded_as_rgb = cv2.imencode(".png", RGB)[1].tobytes()
    message = compressed(encoded_as_rgb, "rgb8; png compressed rgb8")
    np.testing.assert_array_equal(decode_compressed(message), RGB)


def test_exif_rotation_is_ignored_so_that_camera_model_and_pixels_agree():
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    app1 = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(tiff)) + b"Exif\0\0" + tiff
    plain = jpeg(RGB)
    rotated = plain[:2] + app1 + plain[2:]
    assert cv2.imdecode(np.frombuffer(rotated, np.uint8), cv2.IMREAD_COLOR).shape == (80, 60, 3)
    assert decode_compressed(compressed(rotated)).shape == RGB.shape


@pytest.mark.parametrize(("mode", "options"), [("L", {}), ("CMYK", {}), ("RGB", {"progressive": True})])
def test_every_kind_of_jpeg_decodes_to_rgb(mode, options):
    picture = Image.fromarray(smooth(96, 64)).convert(mode)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=98, **options)
    error = np.abs(decode_compressed(compressed(file.getvalue())).astype(int) - np.asarray(picture.convert("RGB")))
    assert error.mean() < 4


def test_stray_bytes_among_a_camera_s_data_are_tolerated():
    data = jpeg(RGB)
    assert decode_compressed(compressed(data[:-2] + b"\x12\x34" + data[-2:])).shape == RGB.shape


def test_a_jpeg_that_names_its_size_twice_is_refused():
    data = jpeg(RGB)
    frame = data.index(b"\xff\xc0")
    segment = bytearray(data[frame : frame + 19])
    segment[5:9] = struct.pack(">HH", 32, 32)
    assert reason_of(decode_compressed, compressed(data[:frame] + bytes(segment) + data[frame:])) == "decode"


def test_zero_padding_behind_a_jpeg_is_tolerated():
    assert decode_compressed(compressed(jpeg(RGB) + bytes(100))).shape == RGB.shape


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_jpeg_cut_short_is_truncated(share):
    data = jpeg(RGB)
    assert reason_of(decode_compressed, compressed(data[: int(len(data) * share)])) == "truncated"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "decode"),
        (b"<html>502 Bad Gateway</html>", "decode"),
        (b"\xff\xd8\xff\xd9", "truncated"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (png_header(30_000, 30_000), "size"),
        (png_header(8_000, 8_000), "size"),
        (png_header(64, 64), "decode"),
    ],
)
def test_what_is_not_a_whole_image_is_refused_by_name(data, reason):
    assert reason_of(decode_compressed, compressed(data)) == reason


def test_a_jpeg_header_claiming_a_huge_picture_is_refused_before_decoding(monkeypatch):
    data = bytearray(jpeg(RGB))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65_500, 65_500)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("decoded before the size was checked"))
    assert encoded_size(np.frombuffer(bytes(data), np.uint8)) == (65_500, 65_500)
    assert reason_of(decode_compressed, compressed(bytes(data))) == "size"


@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_pictures_are_blank_even_through_jpeg(level):
    flat = np.full((240, 320, 3), level, np.uint8)
    assert is_blank(flat)
    assert reason_of(decode_compressed, compressed(jpeg(flat))) == "blank"


def test_dark_and_hazy_pictures_with_content_are_not_blank():
    ramp = np.tile(np.linspace(0, 24, 320).astype(np.uint8), (240, 1))
    night = np.repeat(ramp[..., None], 3, axis=2)
    assert not is_blank(night)
    assert not is_blank(200 + night)


def smooth(width, height):
    coarse = np.random.default_rng(6).integers(0, 255, (max(2, height // 32), max(2, width // 32), 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(("width", "by"), [(2048, 2), (4096, 4), (2046, 1), (1024, 1)])
@pytest.mark.parametrize("text", ["jpeg", "rgb8; jpeg compressed rgb8"])
def test_a_large_panorama_is_decoded_at_the_least_size_that_has_512_rows(width, by, text):
    data = jpeg(smooth(width, width // 2))
    whole = decode_compressed(compressed(data, text))
    reduced = decode_compressed(compressed(data, text), panorama=True)
    assert whole.shape == (width // 2, width, 3)
    assert reduced.shape == (width // 2 // by, width // by, 3)
    mean = whole.reshape(width // 2 // by, by, width // by, by, 3).mean(axis=(1, 3))
    assert np.abs(reduced - mean).mean() < 1.5


def test_a_panorama_in_png_keeps_its_size():
    data = np.frombuffer(cv2.imencode(".png", smooth(2048, 1024))[1], np.uint8)
    assert decode_compressed(compressed(data), panorama=True).shape == (1024, 2048, 3)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_large_panorama_cut_short_is_truncated(share):
    data = jpeg(smooth(2048, 1024))
    cut = compressed(data[: int(len(data) * share)])
    assert reason_of(lambda message: decode_compressed(message, panorama=True), cut) is ImageReason.TRUNCATED
