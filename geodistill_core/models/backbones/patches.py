# SPDX-License-Identifier: Apache-2.0
"""Images as whole patches for a vision transformer, and its tokens as feature maps (GeoDistill's use of DINOv2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def patch_padding(height: int, width: int, patch: int = 14) -> tuple[int, int, int, int]:
    """Pixels to add (left, right, top, bottom) so that both axes hold whole patches.

    Published code: where either axis has a remainder both are padded, an axis without one by a whole patch.
    """
    if height % patch == 0 and width % patch == 0:
        return 0, 0, 0, 0
    rows, columns = patch - height % patch, patch - width % patch
    return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2


def pad_to_patches(image: Tensor, patch: int = 14) -> Tensor:
    """Zeros around image [B, C, H, W] by `patch_padding`."""
    return F.pad(image, patch_padding(image.shape[-2], image.shape[-1], patch))


def tokens_to_map(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """Tokens [B, 1 + rows * columns, D], the class token first, as a map [B, 2 D, rows, columns].

    The class token's D channels stand at every position, after those of the patch.
    """
    dense = tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, rows, columns)
    return torch.cat([dense, tokens[:, 0, :, None, None].expand_as(dense)], dim=1)
