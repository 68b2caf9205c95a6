# SPDX-License-Identifier: Apache-2.0
"""The seeded weights, pictures and token maps that the golden arrays were computed from."""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from torch.nn import functional as F

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
METRES_PER_PIXEL_512 = {
    "NewYork": 0.113248 * 1.25,
    "Seattle": 0.100817 * 1.25,
    "SanFrancisco": 0.118141 * 1.25,
    "Chicago": 0.111262 * 1.25,
}


def rnd(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def weight(key, shape, dtype):
    """The tensor of a checkpoint key; integer tensors are zeros (their values never matter in evaluation)."""
    if "int" in dtype:
        return torch.zeros(shape, dtype=torch.int64)
    draw = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(shape))
    last = key.rsplit(".", 1)[-1]
    if len(shape) >= 2:
        draw = draw * math.sqrt(2.0 / math.prod(shape[1:]))
    elif last == "running_var":
        draw = 1 + 0.1 * np.abs(draw)
    elif last == "weight" and len(shape) == 1:
        draw = 1 + 0.1 * draw
    else:
        draw = 0.1 * draw
    return torch.from_numpy(np.asarray(draw)).float()


def smooth(seed, shape, div=16):
    B, C, H, W = shape
    low = torch.from_numpy(rnd(seed, B, C, math.ceil(H / div), math.ceil(W / div)).astype(np.float32))
    return F.interpolate(low, size=(H, W), mode="bicubic", align_corners=False)


def img01(seed, shape, div=16):
    return (0.5 + 0.25 * smooth(seed, shape, div)).clamp(0, 1)


def img255(seed, shape, div=16):
    return torch.floor(255 * img01(seed, shape, div) + 0.5)


def imgnorm(seed, shape, div=16):
    return (img01(seed, shape, div) - MEAN) / STD


def tokens(seed, B, D, h, w):
    maps = []
    for i in range(4):
        rng = np.random.default_rng(seed + i)
        dense, cls = rng.standard_normal((B, D, h, w)), rng.standard_normal((B, D, 1, 1))
        maps.append(torch.from_numpy(np.concatenate([dense, np.broadcast_to(cls, dense.shape)], axis=1)).float())
    return maps
