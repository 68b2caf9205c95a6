# SPDX-License-Identifier: Apache-2.0
"""The time a compiled network takes beside torch's, with a clock that only the networks move."""

import pytest

from geodistill_core.runtime import pace
from tests.runtime.small import profile, small


@pytest.mark.parametrize(("plain_s", "compiled_s", "ratio"), [(0.2, 0.1, 0.5), (0.1, 0.3, 3.0)])
def test_the_ratio_is_that_of_an_image_from_pixels_to_logits(monkeypatch, plain_s, compiled_s, ratio):
    now_s = [0.0]
    monkeypatch.setattr(pace.time, "perf_counter", lambda: now_s[0])

    def network(encode_s, match_s):
        made = small("tiny")

        def slowed(function, seconds):
            def run(*args):
                now_s[0] += seconds
                return function(*args)

            return run

        made.encode_ground = slowed(made.encode_ground, encode_s)
        made.match = slowed(made.match, match_s)
        made.encode_map = slowed(made.encode_map, 100.0)  # once a tile, not once an image
        return made

    plain, compiled = network(plain_s / 4, plain_s * 3 / 4), network(compiled_s / 2, compiled_s / 2)
    assert pace.times_as_long(plain, compiled, profile(plain)) == pytest.approx(ratio)
