# SPDX-License-Identifier: Apache-2.0
"""The node's bench on the fake engine: the newest image wins a flood, and memory stays."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from geodistill_ros.bench import BenchOptions, bench, rss_slope

from geodistill_core.maps import RasterSource, write_mbtiles
from geodistill_core.types import GeoPoint

HERE = Path(__file__).parent
PATHS = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "ros2_ws/src/geodistill_ros")]


def test_flood_keeps_the_newest_image_and_memory_flat(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(PATHS))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rgb = np.random.default_rng(1).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    source = RasterSource(rgb, GeoPoint(48.137, 11.575), 0.5, "nobody")
    write_mbtiles(tmp_path / "map.mbtiles", source, source.bounds(), 18, attribution="nobody")
    slow_fake = (sys.executable, str(HERE / "fake_node.py"))
    monkeypatch.setenv("FAKE_INFERENCE", "slow")
    result = bench(
        BenchOptions(tmp_path / "map.mbtiles", frames=5, flood_s=6.0, command=slow_fake, instant_command=slow_fake)
    )
    flood = result["flood"]
    assert result["exit_code"] == 0
    assert result["latency_ms"]["p50"] > 0
    assert result["overhead_ms"]["p90"] >= result["overhead_ms"]["median"] >= 100.0  # the fake takes that long
    assert flood["newest_answered"]
    assert flood["sent"] > flood["answered"] > 5
    counts = {name: int(value) for name, value in result["counters"].items() if value.isdigit()}
    assert counts["dropped.superseded"] > 0
    assert counts["images.pending"] == 0
    # An image waits for one inference (0.1 s) and is worked on for another; the rest is the machine's slowness.
    assert flood["age_ms"]["p50"] < 1000.0
    # The two shared-memory segments of 32 MB fill once; 180 decoded images that stayed would be 270 MB.
    assert flood["rss_mb"]["last"] - flood["rss_mb"]["first"] < 130.0
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("leak_mb_per_min", [0.0, 12.0])
def test_memory_slope_sees_a_leak_below_the_spikes_of_single_inferences(leak_mb_per_min):
    seconds = np.arange(0.0, 60.0, 0.5)
    spikes = np.random.default_rng(2).choice([0.0, 30.0, 90.0], len(seconds), p=[0.5, 0.3, 0.2])
    slope = rss_slope(
        [(s, 500.0 + leak_mb_per_min * s / 60.0 + spike) for s, spike in zip(seconds, spikes, strict=True)]
    )
    assert slope == pytest.approx(leak_mb_per_min, abs=2.0)
