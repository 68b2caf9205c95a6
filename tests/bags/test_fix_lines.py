# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from geodistill_core.bags import fix_lines as module
from geodistill_core.bags.fix_lines import fix_lines
from geodistill_core.errors import BagError
from geodistill_core.localization.gnss import FixReading, FixReject

STEP = 1e-4  # about 11 m northwards


class _Source:
    """A recording of fixes: (topic, reading) in order."""

    path = "drive"

    def __init__(self, fixes):
        class Info:
            msgtype, messages = module.NAV_SAT_FIX, 1

        self._fixes = fixes
        self.topics = {topic: Info for topic, _ in fixes}

    def messages(self, topics):
        class Raw:
            def __init__(self, topic, fix):
                self.topic, self.fix = topic, fix

        return (Raw(topic, fix) for topic, fix in self._fixes if topic in topics)

    def decode(self, raw):
        return raw.fix


def _lines(monkeypatch, fixes):
    monkeypatch.setattr(module, "open_bag", lambda path: _Source(fixes))
    monkeypatch.setattr(module, "fix_from", lambda fix: fix)
    return fix_lines("drive")


def _at(latitude, longitude=8.0):
    return FixReading(1, latitude, longitude, 3.0)


def test_fixes_are_a_line_without_those_that_a_waiting_vehicle_repeats(monkeypatch):
    fixes = [("/fix", _at(47.0 + STEP * i)) for i in range(5)]
    fixes += [("/fix", _at(47.0 + 4 * STEP + 1e-7 * i)) for i in range(100)]
    (line,) = _lines(monkeypatch, fixes)
    np.testing.assert_allclose(line[:, 0], 47.0 + STEP * np.arange(5), atol=1e-9)


def test_a_wild_fix_is_left_out_and_a_gap_is_not_bridged(monkeypatch):
    places = [47.0, 47.0 + STEP, 12.0, 47.0 + 2 * STEP, 47.0 + 3 * STEP, 47.1, 47.1 + STEP]
    lines = _lines(monkeypatch, [("/fix", _at(place)) for place in places])
    assert [len(line) for line in lines] == [2, 2, 2]
    assert min(line[:, 0].min() for line in lines) == 47.0


def test_unusable_fixes_do_not_count(monkeypatch):
    fixes = [("/fix", FixReject.NULL_ISLAND), ("/fix", _at(47.0)), ("/fix", FixReject.NO_FIX), ("/fix", _at(47.0))]
    (line,) = _lines(monkeypatch, fixes)
    assert line.tolist() == [[47.0, 8.0], [47.0, 8.0]]
    with pytest.raises(BagError, match=r"no usable fix.*/fix.*--route"):
        _lines(monkeypatch, [("/fix", FixReject.NO_FIX)])


def test_receivers_do_not_mix(monkeypatch):
    fixes = [
        (topic, _at(47.0 + STEP * i, longitude)) for i in range(3) for topic, longitude in (("/a", 8.0), ("/b", 9.0))
    ]
    assert sorted(line[0, 1] for line in _lines(monkeypatch, fixes)) == [8.0, 9.0]
