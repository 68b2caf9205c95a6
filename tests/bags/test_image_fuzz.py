# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes arrive, an image message decodes or is refused: nothing else."""

from types import SimpleNamespace

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geodistill_core.bags.images import ImageError, decode_compressed, decode_image

PICTURE = cv2.resize(np.random.default_rng(2).integers(0, 255, (4, 6, 3), dtype=np.uint8), (48, 32))
FILES = [cv2.imencode(kind, PICTURE)[1].tobytes() for kind in (".jpg", ".png")]


def decoded_or_refused(function, message):
    try:
        rgb = function(message)
    except ImageError:
        return
    assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3


@settings(max_examples=300, deadline=None)
@given(
    file=st.sampled_from(FILES),
    edits=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
    keep=st.integers(0, 4000),
    tail=st.binary(max_size=8),
)
def test_damaged_files(file, edits, keep, tail):
    data = bytearray(file[:keep] if keep < len(file) else file)
    for at, value in edits:
        if data:
            data[at % len(data)] = value
    decoded_or_refused(decode_compressed, SimpleNamespace(format="jpeg", data=bytes(data) + tail))


@settings(max_examples=200, deadline=None)
@given(
    encoding=st.sampled_from(["rgb8", "bgra8", "mono8", "bayer_rggb8", "16UC1", ""]),
    width=st.integers(0, 2**32 - 1) | st.integers(0, 64),
    height=st.integers(0, 2**32 - 1) | st.integers(0, 64),
    step=st.integers(0, 2**32 - 1) | st.integers(0, 300),
    size=st.integers(0, 20_000),
)
def test_arbitrary_headers(encoding, width, height, step, size):
    data = np.random.default_rng(size).integers(0, 255, size, dtype=np.uint8).tobytes()
    message = SimpleNamespace(encoding=encoding, width=width, height=height, step=step, data=data)
    decoded_or_refused(decode_image, message)
