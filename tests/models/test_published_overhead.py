# SPDX-License-Identifier: Apache-2.0
"""Published projections of overhead cells against geometry worked out by hand."""

import math

import pytest
import torch

from geodistill_core.models.published_overhead import center_crop, inplane_uv, panorama_uv, pinhole_uv

CAMERA = torch.tensor([[200.0, 0.0, 500.0], [0.0, 300.0, 120.0], [0.0, 0.0, 1.0]])
ON_CELL_4 = (0.25, 0.25)  # quarters of an 8-cell grid: from the centre (3.5, 3.5) to cell (4, 4)


def test_panorama_columns_follow_the_compass_and_rows_the_depression():
    uv = panorama_uv(8, 1.0, (40, 100), shift=ON_CELL_4)
    east, north, west, south = uv[4, 6], uv[2, 4], uv[4, 2], uv[6, 4]
    assert east.tolist() == pytest.approx([75.0, 30.0], abs=1e-4)  # 2 m away from 2 m up: 45 degrees below horizon
    assert north.tolist() == pytest.approx([50.0, 30.0], abs=1e-4)
    assert west.tolist() == pytest.approx([25.0, 30.0], abs=1e-4)
    assert south[0] % 100 == pytest.approx(0.0, abs=1e-4)
    assert uv[4, 4, 1] == pytest.approx(40.0)


def test_panorama_row_depends_on_the_ratio_of_distance_to_height_alone():
    near, far = panorama_uv(8, 1.0, (40, 100), height_m=2.0), panorama_uv(8, 3.0, (40, 100), height_m=6.0)
    torch.testing.assert_close(near, far)


def test_panorama_that_faces_west_shows_the_west_in_its_middle():
    uv = panorama_uv(8, 1.0, (40, 100), rotation_rad=math.pi / 2, shift=ON_CELL_4)
    assert uv[4, 2, 0] == pytest.approx(50.0, abs=1e-4)
    assert uv[2, 4, 0] == pytest.approx(75.0, abs=1e-4)


def test_panorama_columns_stay_within_the_image_for_any_turn():
    column = panorama_uv(16, 1.0, (40, 100), rotation_rad=torch.linspace(-20, 20, 41))[..., 0]
    assert column.min() >= 0 and column.max() <= 100


def test_leading_axes_broadcast_samples_against_yaws():
    metres, turns = torch.tensor([[0.5], [0.7]]), torch.tensor([[0.1, 0.2, -0.4]])
    uv = panorama_uv(8, metres, (40, 100), rotation_rad=turns)
    assert uv.shape == (2, 3, 8, 8, 2)
    torch.testing.assert_close(uv[1, 2], panorama_uv(8, 0.7, (40, 100), rotation_rad=-0.4), atol=2e-5, rtol=0)
    pinhole, seen = pinhole_uv(8, metres, (64, 256), CAMERA.expand(2, 1, 3, 3), heading_rad=turns)
    assert pinhole.shape == (2, 3, 8, 8, 2) and seen.shape == (2, 3, 8, 8)
    single, _ = pinhole_uv(8, 0.7, (64, 256), CAMERA, heading_rad=-0.4)
    torch.testing.assert_close(pinhole[1, 2], single, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("cells", "crop"), [(64, 29), (128, 51), (16, 10)])
def test_cropped_grids_are_crops_of_the_full_grid(cells, crop):
    for shift in ((0.0, 0.0), (0.3, torch.tensor(-0.2))):
        full = panorama_uv(cells, 1.0, (40, 100), shift=shift)
        cropped = panorama_uv(cells, 1.0, (40, 100), shift=shift, crop=crop)
        torch.testing.assert_close(cropped, center_crop(full.movedim(-1, 0), crop).movedim(0, -1), rtol=0, atol=2e-5)
    full, seen = pinhole_uv(cells, 1.0, (64, 256), CAMERA, heading_rad=0.4)
    cropped, seen_cropped = pinhole_uv(cells, 1.0, (64, 256), CAMERA, heading_rad=0.4, crop=crop)
    torch.testing.assert_close(cropped, center_crop(full.movedim(-1, 0), crop).movedim(0, -1), rtol=0, atol=0)
    assert torch.equal(seen_cropped, center_crop(seen, crop))
    full, cropped = inplane_uv(cells, rotation_rad=0.3), inplane_uv(cells, rotation_rad=0.3, crop=crop)
    torch.testing.assert_close(cropped, center_crop(full.movedim(-1, 0), crop).movedim(0, -1), rtol=0, atol=0)


def test_centre_crop_rounds_half_cells_to_even():
    index = torch.arange(152)
    for size, cells, first in ((64, 29, 18), (128, 51, 38), (152, 75, 38), (8, 7, 0)):
        x = index[:size].expand(size, size)
        assert center_crop(x, cells)[0, 0] == first
        assert center_crop(x, cells).shape == (cells, cells)
        assert center_crop(x.T, cells)[0, 0] == first


def test_grids_first_made_in_inference_mode_serve_training():
    with torch.inference_mode():
        panorama_uv(14, 1.0, (40, 100))
    metres = torch.tensor(1.0, requires_grad=True)
    panorama_uv(14, metres, (40, 100)).sum().backward()
    assert metres.grad.abs() > 0


def test_pinhole_projects_points_ahead_by_similar_triangles():
    uv, seen = pinhole_uv(64, 1.0, (256, 1024), CAMERA)
    assert uv[32 + 2, 32 + 10].tolist() == pytest.approx([200 * 2 / 10 + 500, 300 * 1.65 / 10 + 120])
    assert seen[34, 42]
    assert not seen[:, :33].any() and not uv[:, :33].any()  # the origin's column and all behind it


def test_pinhole_turns_and_moves_with_the_camera():
    north, _ = pinhole_uv(64, 1.0, (256, 1024), CAMERA, heading_rad=math.pi / 2)
    assert north[32 - 10, 32 + 2].tolist() == pytest.approx([540.0, 169.5], rel=1e-5)
    moved, _ = pinhole_uv(64, 1.0, (256, 1024), CAMERA, shift_m=(4.0, 3.0))
    assert moved[32 + 2 - 3, 32 + 10 + 4].tolist() == pytest.approx([540.0, 169.5], rel=1e-5)
    high, _ = pinhole_uv(64, 1.0, (256, 1024), CAMERA, height_m=3.3)
    assert high[34, 42, 1] == pytest.approx(120 + 99)


def test_pinhole_intrinsics_scale_with_the_feature_map():
    uv, _ = pinhole_uv(64, 1.0, (64, 256), CAMERA)
    assert uv[34, 42].tolist() == pytest.approx([540 / 4, 169.5 / 4])


def test_cells_beside_the_image_are_unseen_unless_all_in_front_count():
    assert not pinhole_uv(64, 1.0, (256, 1024), CAMERA)[1][32 + 20, 32 + 5]  # u = 200 * 4 + 500
    uv, seen = pinhole_uv(64, 1.0, (256, 1024), CAMERA, within_image=False)
    assert seen[52, 37] and uv[52, 37, 0] == pytest.approx(1300.0)
    assert torch.equal(seen, (torch.arange(64) > 32).expand(64, 64))


def test_inplane_grid_is_shifted_then_turned_about_half_the_size():
    torch.testing.assert_close(inplane_uv(8)[3, 5], torch.tensor([5.0, 3.0]))
    moved = inplane_uv(8, rotation_rad=math.pi / 2, shift=(0.5, 0.0))
    # cell (row 3, column 5) is (1, -1) from the pivot, (0, -1) after the shift of one cell, (1, 0) after the turn
    torch.testing.assert_close(moved[3, 5], torch.tensor([5.0, 4.0]))
