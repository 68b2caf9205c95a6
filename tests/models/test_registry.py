# SPDX-License-Identifier: Apache-2.0
"""Networks by name: what cannot be built is refused by name, value and limit."""

import pytest

from geodistill_core.errors import ConfigError
from geodistill_core.models import build


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("g2sweakly_vigor", {"metres_per_pixel": "abc"}, "metres_per_pixel 'abc'"),
        ("g2sweakly_vigor", {"metres_per_pixel": -4.0}, "outside 0.005"),
        ("g2sweakly_vigor", {"shared": "perhaps"}, "shared 'perhaps'"),
        ("tiny", {"widths": 3}, "widths 3"),
        ("tiny", {"depth": 3}, "depth"),
    ],
)
def test_an_argument_that_makes_no_sense_is_a_usage_error_that_names_it(name, arguments, told):
    with pytest.raises(ConfigError, match=told):
        build(name, **arguments)
