# SPDX-License-Identifier: Apache-2.0
"""G2SWeakly and GeoDistill's VGG network: features in full; projections, correlations and positions as frames run."""

from __future__ import annotations

import re

import torch
from geodistill_training.published_losses import contrastive_loss, distillation_loss, gps_loss, triplet_loss

from geodistill_core.models.backbones.vgg_unet import unit_norm
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.correlation import correlate, correlation_map
from geodistill_core.models.g2sweakly import PUBLISHED_KEYS, UNUSED_KEYS, G2SWeaklyVigor
from geodistill_core.models.geodistill_vgg import PUBLISHED_KEYS as KITTI_KEYS
from geodistill_core.models.geodistill_vgg import UNUSED_KEYS as KITTI_UNUSED
from geodistill_core.models.geodistill_vgg import GeoDistillKittiVgg
from geodistill_core.models.importing.key_map import rename
from geodistill_core.models.published_overhead import pinhole_uv
from tests.parity.pack import Picks, Within, published_weights
from tests.parity.producers import produces
from tests.parity.recipes import METRES_PER_PIXEL_512

NORTH, EAST = torch.full((2, 1), torch.pi / 2), torch.zeros(2, 1)


def loaded(network, listing, keys, unused):
    network.load_state_dict(rename(published_weights(listing), keys, unused), strict=True)
    return network.eval().to(memory_format=torch.channels_last)


def all_levels(name, encoder, picture):
    """Features and confidences of every level, as published: features of unit norm."""
    found = encoder(picture, (0, 1, 2, 3), confidence=True)
    features = {f"{name}_feat{level}": unit_norm(maps.features) for level, maps in found.items()}
    return features | {f"{name}_conf{level}": maps.confidence for level, maps in found.items()}


class Frames:
    """Two frames, level 2 as frames run; `scale` restores the norm that its features have over all rows."""

    def __init__(self, network, tiles, ground, yaw):
        self.network, self.yaw = network, yaw
        self.maps = network.map_features(tiles, (0, 2))
        whole = network.ground_features(ground, (0, 2))
        self.ground = {0: whole, 2: network.encode_ground(ground)}
        rows = whole.features[2][:, :, self.ground[2].first_row[2] :]
        self.scale = {0: 1.0, 2: torch.linalg.vector_norm(rows, dim=(1, 2, 3), keepdim=True)}

    def template(self, level):
        template, confidence = self.network.template(self.ground[level], level, self.yaw, self.maps.metres_per_pixel)
        return template[:, 0] * self.scale[level], confidence

    def similarity(self, level):
        return self.network.similarity(self.ground[level], self.maps, self.yaw, level)[:, 0]

    def every_pair(self, level):
        """Distances [map, template, P, P], the denominator floored as in published batches."""
        template, confidence = self.template(level)
        found = correlate(self.maps.correlation[level], template.unsqueeze(0), confidence.transpose(0, 1))
        return 2 - 2 * found.similarity(1e-6)


def best_cells(network, logits):
    """Column and row of the best position, from the centre."""
    size = logits.shape[-1]
    index = logits.flatten(1).argmax(dim=1)
    cells = torch.stack([index % size, index // size], dim=1) - (size - 1) / 2
    return cells + torch.tensor(network.heatmap_shift_cells)


@produces("g2sweakly_vigor")
def g2sweakly_vigor(pack):
    network = loaded(G2SWeaklyVigor(geometry="compat"), "g2sweakly_vigor_2dof_share0", PUBLISHED_KEYS, UNUSED_KEYS)
    sat, grd = pack.picture("sat"), pack.picture("grd")
    resolution = torch.tensor([METRES_PER_PIXEL_512["NewYork"], METRES_PER_PIXEL_512["Seattle"]])
    tiles = MapInput(sat, torch.ones(2, 512, 512), resolution)
    ground = GroundInput(grd, torch.ones(2, 320, 640), torch.tensor([[0.0, 0.0, 2.0]] * 2))
    frames = Frames(network, tiles, ground, NORTH)
    got = all_levels("sat", network.map_encoder, sat) | all_levels("grd", network.ground_encoder, grd)
    for level in (0, 2):
        template, confidence = frames.template(level)
        got |= {f"g2s_feat{level}": template, f"g2s_conf{level}": confidence}
        got[f"corr_train_level{level}"] = frames.every_pair(level)
    matched = network.match(network.encode_ground(ground), network.encode_map(tiles), NORTH)[:, 0] * network.temperature
    got["corr_val_level2"] = matched
    got |= confidence_variants(frames, got["sat_conf2"])
    cells = best_cells(network, matched)
    got["argmax"] = got["top8_idx"] = Picks(matched.flatten(1))
    got["top8_val"] = matched.flatten(1).topk(8).values
    got["pred_u_px512"], got["pred_v_px512"] = (cells * 2).unbind(1)
    got["pred_m"] = cells * 2 * resolution.unsqueeze(1)
    return got | g2sweakly_losses(network, pack.inputs, got, resolution)


def listed(text, name):
    return [float(n) for n in re.search(rf"{name}=\[([^]]*)\]", text)[1].split(",")]


def g2sweakly_losses(network, inputs, got, resolution):
    truth = torch.tensor([listed(inputs, "gt_shift_u"), listed(inputs, "gt_shift_v")]).T
    within_m = float(re.search(r"GPS_error=([\d.]+)", inputs)[1])
    distances = [got[f"corr_train_level{level}"] for level in (0, 2)]
    strides = [network.level(level).map_stride for level in (0, 2)]
    offsets = [truth * (128 / stride) for stride in strides]
    radii = [torch.ceil(within_m / (resolution * stride)).long() for stride in strides]
    own = [distance.diagonal().movedim(-1, 0) for distance in distances]
    return {
        "loss_matching": contrastive_loss(distances).reshape(1),
        "loss_gps": Within(gps_loss(distances, offsets, radii).reshape(1), 1e-5),  # a difference of distances near 2.4
        "loss_gt_triplet": triplet_loss(own, offsets).reshape(1),
    }


def confidence_variants(frames, map_confidence):
    """Level 2 with the map's confidence as its weight, and with neither image's confidence."""
    template, confidence = frames.template(2)
    features = frames.maps.features[2]
    weighted = correlate(correlation_map(features, map_confidence[:, 0].square()), template, confidence[:, 0])
    plain = correlate(correlation_map(features), template)
    return {
        "corr_val_level2_confsat": weighted.similarity(1e-6),
        "corr_val_level2_noconf": plain.similarity(1e-6),
    }


@produces("geodistill_kitti_vgg")
def geodistill_kitti_vgg(pack):
    network = loaded(GeoDistillKittiVgg(geometry="compat"), "geodistill_kitti_vgg", KITTI_KEYS, KITTI_UNUSED)
    sat, grd = pack.picture("sat"), pack.picture("grd")
    tiles = MapInput(sat, torch.ones(2, 256, 256), torch.full((2,), network.metres_per_pixel))
    intrinsics = camera_matrix(pack.inputs)
    mount, camera = torch.tensor([[0.0, 0.0, 1.65]] * 2), intrinsics.expand(2, 3, 3)
    ground = GroundInput(grd, torch.ones(2, 256, 1024), mount, camera)
    masked_ground = GroundInput(grd, half_masked(pack.inputs), mount, camera)
    frames, masked = Frames(network, tiles, ground, EAST), Frames(network, tiles, masked_ground, EAST)
    got = {}
    for level in (0, 2):
        got[f"sat_feat{level}"] = frames.maps.features[level]
        template, confidence = frames.template(level)
        got |= {f"g2s_feat{level}": template, f"g2s_conf{level}": confidence}
        got[f"corr_train_level{level}"] = 2 - 2 * frames.similarity(level)
        got[f"corr_train_masked_level{level}"] = 2 - 2 * masked.similarity(level)
        got[f"corr_batch_level{level}"] = frames.every_pair(level)
        got[f"mask_proj{level}_ch0"] = (masked.template(level)[1] / confidence).nan_to_num()
    matched = network.match(network.encode_ground(ground), network.encode_map(tiles), EAST)[:, 0] * network.temperature
    got["corr_val_level2"] = matched
    got["corr_val_masked_level2"] = masked.similarity(2)
    seen, hidden = ([got[f"corr_train_{what}level{level}"] for level in (0, 2)] for what in ("", "masked_"))
    got["loss_ce"] = distillation_loss(hidden, seen).reshape(1)
    got["loss_contrastive"] = contrastive_loss([got["corr_batch_level0"], got["corr_batch_level2"]]).reshape(1)
    return got | kitti_geometry(network, intrinsics) | kitti_positions(network, matched)


def camera_matrix(inputs):
    fx, fy, cx, cy = (float(re.search(rf"{name} ([\d.]+)", inputs)[1]) for name in ("fx", "fy", "cx", "cy"))
    return torch.tensor([[[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]])


def half_masked(inputs):
    """Visibility [2, 256, 1024]: one band of columns (both ends included) is hidden in each image."""
    visible = torch.ones(2, 256, 1024)
    bands = re.findall(r"(\d+)\.\.(\d+)", re.search(r"mask .*? zero", inputs)[0])
    for image, (first, last) in zip(visible, bands, strict=True):
        image[:, int(first) : int(last) + 1] = 0
    return visible


def kitti_geometry(network, intrinsics):
    got = {"meter_per_pixel_default": [2 * network.metres_per_pixel, network.metres_per_pixel]}
    got["meters_per_pixel_levels"] = [network.level(n).drawn_stride * network.metres_per_pixel for n in range(4)]
    for number in range(4):
        level = network.level(number)
        uv, seen = pinhole_uv(
            level.drawn_cells,
            level.drawn_stride * network.metres_per_pixel,
            level.ground_size,
            intrinsics,
        )
        got |= {f"uv{number}": uv, f"vis{number}": seen.unsqueeze(-1)}
    return got


def kitti_positions(network, matched):
    """Right and up in metres: per map cell, and as the published helper has it, per drawn cell."""
    cells = best_cells(network, matched)
    right_up = cells * torch.tensor([1.0, -1.0])
    drawn = network.level(2).drawn_stride * network.metres_per_pixel
    best = Picks(matched.flatten(1))
    return {
        "val_argmax": best,
        "native_val_argmax": best,
        "val_pred_m": right_up * drawn,
        "native_val_pred_m": right_up * network.metres_per_cell,
    }
