# SPDX-License-Identifier: Apache-2.0
"""Self-attention within square windows of a token map, with a learned bias per relative position.

Swin Transformer (Liu et al., ICCV 2021), section 3.2, without shifted windows. GGCVT runs one such block on overhead
tokens and one inside its pose refiner.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MASKED = -100.0
"""Added to the scores of keys that may not be attended to (published code); a window of such keys attends to all."""


def _relative_index(window: int) -> Tensor:
    """Row of the bias table [(2 window - 1)^2, heads] for every pair (query, key) of a window's cells, [N, N]."""
    cells = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    offset = cells[:, None] - cells[None, :] + window - 1
    return torch.as_tensor(offset[..., 0] * (2 * window - 1) + offset[..., 1])


class WindowAttention(nn.Module):
    """Tokens [N, window^2, D] of N windows to the same shape.

    `qkv_bias` tells the two published forms apart: one fused projection with biases everywhere, or three projections
    and an output projection without any.
    """

    relative_index: Tensor

    def __init__(self, width: int, heads: int, window: int, *, qkv_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.fused = qkv_bias
        if qkv_bias:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.proj = nn.Linear(width, width, bias=qkv_bias)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_index", _relative_index(window), persistent=False)

    def _project(self, x: Tensor) -> Tensor:
        if self.fused:
            return torch.as_tensor(self.qkv(x))
        return F.linear(x, torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight]))

    def forward(self, x: Tensor, key_bias: Tensor | None = None) -> Tensor:
        """`key_bias` [N, window^2] is added to the scores of each key, for all queries and heads."""
        N, T, D = x.shape
        q, k, v = self._project(x).view(N, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_index].permute(2, 0, 1).unsqueeze(0)
        if key_bias is not None:
            bias = bias + key_bias[:, None, None, :]
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return torch.as_tensor(self.proj(found.transpose(1, 2).reshape(N, T, D)))


def split_windows(x: Tensor, window: int) -> Tensor:
    """[B, h, w, *D] to [B (h / window) (w / window), window^2, *D]; h and w are multiples of `window`."""
    B, h, w, *D = x.shape
    tiled = x.reshape(B, h // window, window, w // window, window, *D).transpose(2, 3)
    return tiled.reshape(-1, window * window, *D)


def join_windows(x: Tensor, window: int, height: int, width: int) -> Tensor:
    """The inverse of `split_windows` for maps of `height` x `width` tokens."""
    D = x.shape[2:]
    tiled = x.reshape(-1, height // window, width // window, window, window, *D).transpose(2, 3)
    return tiled.reshape(-1, height, width, *D)


class WindowBlock(nn.Module):
    """Window attention and a two-layer perceptron, each added to its normalised input: [B, h, w, D] to the same."""

    def __init__(self, width: int, heads: int, *, window: int = 8, qkv_bias: bool) -> None:
        super().__init__()
        self.window = window
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window, qkv_bias=qkv_bias)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """`seen` [B, h, w] (bool) marks the tokens that may be attended to."""
        _, h, w, _ = x.shape
        key_bias = None if seen is None else split_windows((~seen).to(x.dtype) * MASKED, self.window)
        attended = self.attn(split_windows(self.norm1(x), self.window), key_bias)
        x = x + join_windows(attended, self.window, h, w)
        return torch.as_tensor(x + self.fc2(F.gelu(self.fc1(self.norm2(x)))))


class WindowTokens(nn.Module):
    """A feature map as tokens of `patch` x `patch` cells after one window block: [B, C, H, W] to [B, h, w, D]."""

    def __init__(self, channels: int, width: int, heads: int, *, patch: int, qkv_bias: bool) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.embed_norm = nn.LayerNorm(width)
        self.block = WindowBlock(width, heads, qkv_bias=qkv_bias)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """H / patch and W / patch are multiples of the window; `seen` as for the block."""
        return torch.as_tensor(self.block(self.embed_norm(self.embed(x).permute(0, 2, 3, 1)), seen))


WINDOW_TOKENS_KEYS: tuple[tuple[str, str], ...] = (
    (r"\.patch_embed\.proj\.", ".tokens.embed."),
    (r"\.patch_embed\.norm\.", ".tokens.embed_norm."),
    (r"\.layers\.0\.blocks\.0\.normx\.", ".tokens.block.norm1."),
    (r"\.layers\.0\.blocks\.0\.mlp\.", ".tokens.block."),
    (r"\.layers\.0\.blocks\.0\.(?=attn|norm[12])", ".tokens.block."),
)
"""Published names below a module that holds its `WindowTokens` as `tokens`."""

WINDOW_TOKENS_UNUSED: tuple[str, ...] = (r"\.relative_position_index$",)
"""A constant that follows from the window's size."""
