# SPDX-License-Identifier: Apache-2.0
"""Dense targets: where the peak lies, how a heading is shared between channels, what a rotated KITTI tile moves."""

import math

import pytest
import torch

from geodistill_core.datasets.heatmap_targets import (
    gaussian,
    heading_volume,
    kitti_offset_px,
    orientation_map,
    pooled_targets,
)


def moments(heatmap):
    weight = heatmap.double() / heatmap.double().sum()
    axis = torch.arange(heatmap.shape[-1]) + 0.5 - heatmap.shape[-1] / 2
    return float((weight.sum(1) * axis).sum()), float((weight.sum(0) * axis).sum())


@pytest.mark.parametrize("south_east", [(0.0, 0.0), (12.3, -40.6), (-100.0, 77.25)])
def test_corrected_gaussian_is_centred_on_the_camera(south_east):
    assert moments(gaussian(*south_east)) == pytest.approx(south_east, abs=1e-4)


def test_published_grid_stretches_512_pixels_over_511_steps():
    peaks = [divmod(int(gaussian(r, e, geometry="compat").argmax()), 512) for r, e in ((10, 0), (160, 0), (0, 100))]
    assert [p[0] for p in peaks[:2]] == [265, 415]
    assert peaks[2][1] == round(511 / 512 * 356)


def test_heading_between_two_channels_is_shared_in_proportion():
    volume = heading_volume(torch.ones(2, 2), 18 * 3 + 4.5, 20)
    expected = torch.zeros(20)
    expected[17], expected[16] = 0.75, 0.25
    torch.testing.assert_close(volume[:, 0, 0], expected)


@pytest.mark.parametrize("angle", [0.0, -90.0, 359.9, 725.0, -0.1])
def test_every_angle_gives_one_whole_heading_near_its_channel(angle):
    volume = heading_volume(torch.ones(1, 1), angle, 16)[:, 0, 0]
    vector = sum(
        complex(w) * complex(math.cos(a), math.sin(a))
        for w, a in zip(volume, -torch.arange(16) * math.pi / 8, strict=True)
    )
    error = (math.degrees(math.atan2(vector.imag, vector.real)) - angle + 180) % 360 - 180
    assert float(volume.sum()) == pytest.approx(1.0)
    assert abs(error) < 1.0


def test_turning_the_tile_left_moves_a_camera_on_the_right_to_the_top():
    south, east = kitti_offset_px(40.0, 10.0, math.pi / 2)
    assert (south, east) == pytest.approx((-40.0, -10.0))


def test_published_kitti_offsets_are_cut_towards_zero():
    assert kitti_offset_px(10.9, 10.9, 0.0, geometry="compat") == (-10.0, 10.0)


def test_pooled_targets_have_the_six_levels_and_keep_the_peak():
    volume = heading_volume(gaussian(20, 30), 30.0, 20).unsqueeze(0)
    pooled = pooled_targets(volume)
    assert [p.shape[-1] for p in pooled] == [8, 16, 32, 64, 128, 256]
    assert all(float(p.max()) == float(volume.max()) for p in pooled)


def test_orientation_map_holds_the_unit_vector_everywhere():
    field = orientation_map(120.0, 4)
    torch.testing.assert_close(field[:, 3, 1], torch.tensor([-0.5, math.sqrt(3) / 2]))
    assert field.shape == (2, 4, 4)
