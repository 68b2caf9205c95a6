# SPDX-License-Identifier: Apache-2.0
"""Our tile arithmetic against 25 479 lines of hand-corrected labels (VIGOR, Chicago), four tiles a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geodistill_core.datasets.vigor.labels import read_labels
from geodistill_core.geometry import mercator
from geodistill_core.types import GeoPoint

LABELS = Path(__file__).parents[2] / "../shared/data/vigor_labels/Chicago"
pytestmark = pytest.mark.skipif(not LABELS.is_dir(), reason="real data absent: vigor_labels/Chicago")


def _labels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Panorama [N, 1, 2], tiles [N, 4, 2] (latitude, longitude), camera offset [N, 4, 2] (east, south)."""
    samples = [sample for path in sorted(LABELS.glob("same_area_*.txt")) for sample in read_labels(path, LABELS)]
    panorama = np.array([_degrees(sample.panorama_point) for sample in samples])
    tiles = np.array([[_degrees(sample.tile_center(group)) for group in range(4)] for sample in samples])
    offsets = np.array([[(-offset.column, offset.row) for offset in sample.offsets] for sample in samples])
    return panorama[:, None], tiles, offsets


def _degrees(point: GeoPoint) -> tuple[float, float]:
    return point.latitude, point.longitude


@pytest.mark.parametrize("groups", [slice(0, 1), slice(0, 4)], ids=["positive", "all_four"])
def test_pixel_offsets_from_names_reproduce_every_label(groups):
    panorama, tiles, label = _labels()
    assert len(label) == 25_479
    camera_x, camera_y = mercator.to_pixel(panorama[..., 0], panorama[..., 1], 20)
    center_x, center_y = mercator.to_pixel(tiles[:, groups, 0], tiles[:, groups, 1], 20)
    computed = np.stack([camera_x - center_x, camera_y - center_y], axis=-1).reshape(-1, 2)
    label = label[:, groups].reshape(-1, 2)
    residual = computed - label
    east_slope = np.polyfit(computed[:, 0], label[:, 0], 1)[0]
    south_slope = np.polyfit(computed[:, 1], label[:, 1], 1)[0]
    print(f"mean {residual.mean(axis=0)} std {residual.std(axis=0)} slopes {east_slope:.5f} {south_slope:.5f}")
    assert np.abs(residual.mean(axis=0)).max() < 0.05
    assert residual.std(axis=0).max() < 1.7
    assert abs(east_slope - 1.0) < 0.0005
    assert abs(south_slope - 1.0) < 0.004
