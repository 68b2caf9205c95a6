# SPDX-License-Identifier: Apache-2.0
"""A panorama's left border is the neighbour of its right one."""

from __future__ import annotations

import torch
from torch import Tensor


def across_seam(x: Tensor, columns: int) -> Tensor:
    """[..., W] continued around its seam by `columns` on either side: [..., W + 2 columns]."""
    return torch.cat([x[..., x.shape[-1] - columns :], x, x[..., :columns]], dim=-1)
