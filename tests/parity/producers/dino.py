# SPDX-License-Identifier: Apache-2.0
"""GeoDistill's DINOv2 networks from tokens on: features in full; templates, maps and positions as frames run."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

import torch
from geodistill_training.published_losses import contrastive_loss, distillation_loss

from geodistill_core.models.backbones.dpt import Tokens
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.correlation import correlate
from geodistill_core.models.geodistill_dino import (
    PUBLISHED_KEYS,
    UNUSED_KEYS,
    GeoDistillKittiDino,
    GeoDistillVigorDino,
)
from geodistill_core.models.importing.key_map import rename
from geodistill_core.models.published_overhead import pinhole_uv
from geodistill_core.models.sampling import sample_published
from geodistill_core.models.templates import published_pixels
from tests.parity.pack import Pack, Picks, published_weights
from tests.parity.producers import produces
from tests.parity.recipes import METRES_PER_PIXEL_512

NORTH, EAST = torch.full((2, 1), torch.pi / 2), torch.zeros(2, 1)
_TEMPERATURES = re.compile(r"temps ([\d.]+)/([\d.]+)")


class FixedTokens:
    """In place of the vision transformer: the pack's token maps, told apart by the image's shape."""

    def __init__(self, tokens):
        self.by_shape = {
            shape: Tokens(
                [m[:, : m.shape[1] // 2].permute(0, 2, 3, 1).contiguous() for m in maps],
                [m[:, m.shape[1] // 2 :, 0, 0].contiguous() for m in maps],
            )
            for shape, maps in tokens.items()
        }

    def tokens(self, images):
        return self.by_shape[tuple(images.shape[-2:])]


def loaded(network, listing, tokens):
    network.load_state_dict(rename(published_weights(listing), PUBLISHED_KEYS, UNUSED_KEYS), strict=True)
    network.backbone = FixedTokens(tokens)
    return network.eval().to(memory_format=torch.channels_last)


class Frames:
    """Two frames, level 2 as frames run; `scale` restores the norm that its features have over all rows."""

    def __init__(self, network, tiles, ground, yaw):
        self.network, self.yaw = network, yaw
        self.maps = network.map_features(tiles, (0, 1, 2))
        self.whole = network.ground_features(ground, (0, 1, 2))
        self.run = network.encode_ground(ground)
        rows = self.whole.features[2][:, :, self.run.first_row[2] :]
        self.scale = {0: 1.0, 2: torch.linalg.vector_norm(rows, dim=(1, 2, 3), keepdim=True)}

    def seeing(self, visible):
        """The same frames where only `visible` pixels count."""
        masked = copy.copy(self)
        source = replace(self.run.source, visible=visible)
        masked.whole, masked.run = replace(self.whole, source=source), replace(self.run, source=source)
        return masked

    def encoded(self, level):
        return self.run if level == 2 else self.whole

    def template(self, level):
        template, mask = self.network.template(self.encoded(level), level, self.yaw, self.maps.metres_per_pixel)
        return template[:, 0] * self.scale[level], mask

    def distance(self, level):
        return 2 - 2 * self.network.similarity(self.encoded(level), self.maps, self.yaw, level)[:, 0]

    def every_pair(self, level):
        """Distances [map, template, P, P], the denominator floored as in published batches."""
        found = correlate(self.maps.correlation[level], self.template(level)[0].unsqueeze(0))
        return 2 - 2 * found.similarity(1e-6)


def best_cells(network, logits):
    """Column and row of the best position, from the centre."""
    size = logits.shape[-1]
    index = logits.flatten(1).argmax(dim=1)
    cells = torch.stack([index % size, index // size], dim=1) - (size - 1) / 2
    return cells + torch.tensor(network.heatmap_shift_cells)


def of_frames(frames, tiles, visible, temperatures):
    """Arrays that both packs have, by their names; masked ones are those of frames that see only `visible`."""
    masked, got = frames.seeing(visible), {}
    for level in (0, 2):
        got[f"g2s_feat{level}"] = frames.template(level)[0]
        got[f"corr_batch_level{level}"] = frames.every_pair(level)
        got[f"corr_train_level{level}"] = frames.distance(level)
        got[f"corr_train_masked_level{level}"] = masked.distance(level)
        got[f"mask_proj{level}_ch0"] = masked.template(level)[1]
    got |= {f"sat_feat{level}": x for level, x in frames.maps.features.items()}
    network = frames.network
    maps = network.encode_map(tiles)
    for name, ground in (("corr_val_level2", frames.run), ("corr_val_masked_level2", masked.run)):
        got[name] = network.match(ground, maps, frames.yaw)[:, 0] * network.temperature
    got["val_argmax"] = Picks(got["corr_val_level2"].flatten(1))
    got["loss_contrastive"] = contrastive_loss([got["corr_batch_level0"], got["corr_batch_level2"]]).reshape(1)
    student = [got["corr_train_masked_level0"], got["corr_train_masked_level2"]]
    teacher = [got["corr_train_level0"], got["corr_train_level2"]]
    got["loss_ce"] = distillation_loss(student, teacher, *temperatures).reshape(1)
    return got, best_cells(network, got["corr_val_level2"])


def camera_matrix(inputs):
    fx, fy, cx, cy = (float(re.search(rf"{name} ([\d.]+)", inputs)[1]) for name in ("fx", "fy", "cx", "cy"))
    return torch.tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def temperatures(inputs):
    student, teacher = _TEMPERATURES.search(inputs).groups()
    return float(student), float(teacher)


@produces("geodistill_vigor_dino")
def geodistill_vigor_dino(pack):
    tokens = {(512, 512): pack.tokens("sat tokens"), (320, 640): pack.tokens("pano tokens")}
    network = loaded(GeoDistillVigorDino(geometry="compat"), "geodistill_vigor_dino", tokens)
    resolution = torch.tensor([METRES_PER_PIXEL_512["NewYork"], METRES_PER_PIXEL_512["Seattle"]])
    tiles = MapInput(torch.zeros(2, 3, 512, 512), torch.ones(2, 512, 512), resolution)
    mount = torch.tensor([[0.0, 0.0, 2.0]] * 2)
    ground = GroundInput(torch.zeros(2, 3, 320, 640), torch.ones(2, 320, 640), mount)
    visible = torch.ones(2, 320, 640)
    for sample, first, last in re.findall(r"sample(\d) cols (\d+)\.\.(\d+) zero", pack.inputs):
        visible[int(sample), :, int(first) : int(last) + 1] = 0
    frames = Frames(network, tiles, ground, NORTH)
    got, cells = of_frames(frames, tiles, visible, temperatures(pack.inputs))
    got |= {f"pano_feat{level}": x for level, x in frames.whole.features.items()}
    for number in (0, 2):  # ones, projected; no correlation uses them
        level = network.level(number)
        uv, _ = published_pixels(ground, level, NORTH, resolution)
        got[f"g2s_conf{number}_ch0"] = sample_published(torch.ones(2, 1, *level.ground_size), uv[:, 0])
    metres = resolution.unsqueeze(1)
    got["val_pred_m"] = cells * network.level(2).map_stride * metres
    got["val_pred_m_eval3dof_rule"] = cells * 2 * metres
    return got


@produces("geodistill_kitti_dino")
def geodistill_kitti_dino(pack):
    tokens = {(256, 256): pack.tokens("sat tokens"), (256, 1024): pack.tokens("ground tokens")}
    network = loaded(GeoDistillKittiDino(geometry="compat"), "geodistill_kitti_dino", tokens)
    tiles = MapInput(torch.zeros(2, 3, 256, 256), torch.ones(2, 256, 256), torch.full((2,), network.metres_per_pixel))
    shared_inputs = Pack("geodistill_kitti_vgg").inputs
    mount, camera = torch.tensor([[0.0, 0.0, 1.65]] * 2), camera_matrix(shared_inputs)
    ground = GroundInput(torch.zeros(2, 3, 256, 1024), torch.ones(2, 256, 1024), mount, camera.expand(2, 3, 3))
    visible = torch.ones(2, 256, 1024)
    bands = re.search(r"cols (\d+)\.\.(\d+) / (\d+)\.\.(\d+) zero", shared_inputs).groups()
    for sample in (0, 1):
        visible[sample, :, int(bands[2 * sample]) : int(bands[2 * sample + 1]) + 1] = 0
    got, cells = of_frames(Frames(network, tiles, ground, EAST), tiles, visible, (0.06, 0.06))
    for number in (0, 2):
        level = network.level(number)
        metres_per_cell = level.drawn_stride * network.metres_per_pixel
        uv, seen = pinhole_uv(level.drawn_cells, metres_per_cell, level.ground_size, camera.unsqueeze(0))
        got |= {f"uv{number}": uv, f"vis{number}": seen.unsqueeze(-1)}
    got["val_pred_m"] = cells * torch.tensor([1.0, -1.0]) * network.metres_per_cell
    return got
