# SPDX-License-Identifier: Apache-2.0
"""Published keys become ours by rules that cannot quietly disagree."""

import pytest
import torch

from geodistill_core.errors import CheckpointError
from geodistill_core.models.importing.key_map import rename

ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)


def test_rules_are_applied_in_order():
    rules = ((r"^Sat\.", "map_encoder."), (r"^map_encoder\._conv\.", "map_encoder.stem."))
    assert rename({"Sat._conv.weight": ONE, "other": TWO}, rules, ()) == {"map_encoder.stem.weight": ONE, "other": TWO}


def test_keys_of_unused_parts_are_dropped_whatever_the_rules_would_make_of_them():
    assert rename({"net.a": ONE, "net.head.b": TWO}, ((r"^net\.", ""),), (r"^net\.head\.",)) == {"a": ONE}


def test_two_keys_that_get_one_name_are_refused():
    with pytest.raises(CheckpointError, match=r"'a\.w' and 'b\.w' are both renamed to 'c\.w'"):
        rename({"a.w": ONE, "b.w": TWO}, ((r"^[ab]\.", "c."),), ())


def test_a_rule_that_an_earlier_rule_has_robbed_of_its_key_is_refused():
    with pytest.raises(CheckpointError, match="an earlier rule"):
        rename({"net.head.w": ONE}, ((r"^net\.head\.", "head."), (r"^net\.", "trunk.")), ())
