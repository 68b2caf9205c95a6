# SPDX-License-Identifier: Apache-2.0
"""The drive of the map bench: what it reports is what its server saw."""

import pytest

from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.bench import map_drive
from geodistill_core.evaluation.bench.map_drive import MapDriveOptions, bench_map_drive


def test_short_drive_has_full_tiles_over_two_connections():
    seconds = []
    options = MapDriveOptions(seconds=2.0, stand_s=4.0, latency_s=0.05)
    result = bench_map_drive(options, lambda: seconds.append(1))
    assert result["frames"] == 20 and len(seconds) == 2
    assert result["full_tiles"] == 1.0 and 1 <= result["peak_connections"] <= 2
    assert result["requests"] > result["failed_requests"]


def test_drive_without_anybody_who_fetches_ahead_has_no_tile_and_is_not_within_limits(monkeypatch):
    monkeypatch.setattr(map_drive.Prefetcher, "step", lambda self: False)
    result = bench_map_drive(MapDriveOptions(seconds=1.0, stand_s=0.1))
    assert (result["full_tiles"], result["requests"], result["within_limits"]) == (0.0, 0, False)


def test_frame_that_waits_for_its_tile_is_counted(monkeypatch):
    monkeypatch.setattr(map_drive.LiveMap, "tile", lambda self, *question: self.source.tile(*question))
    result = bench_map_drive(MapDriveOptions(seconds=1.0, stand_s=0.1, failure_share=0.0))
    assert result["frames_waited"] >= 1 and not result["within_limits"]


def test_drive_of_no_length_is_refused():
    with pytest.raises(ConfigError, match=r"1\.\.3600"):
        MapDriveOptions(seconds=0.0)
