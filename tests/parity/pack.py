# SPDX-License-Identifier: Apache-2.0
"""Golden packs: what a producer must compute, and how a computed array is compared with the stored one."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.parity import recipes

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
NETWORK_TOLERANCE = 1e-4
LARGEST: dict[str, tuple[str, float]] = {}  # pack -> (worst array, its share of what is allowed)
_PICTURE = re.compile(r"(?P<what>[\w ]+?)\s*=\s*(?P<kind>img01|img255|imgnorm)\((?P<seed>\d+),\((?P<shape>[\d,]+)\)\)")
_TOKENS = re.compile(r"(?P<what>[\w ]+?)\s*=\s*tokens\((?P<numbers>[\d,]+)\)")


@functools.cache
def index() -> dict[str, Any]:
    path = REFERENCE / "index.json"
    return json.loads(path.read_text()) if path.is_file() else {}


@functools.cache
def keys() -> dict[str, Any]:
    path = REFERENCE / "keys.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def published_weights(listing: str) -> dict[str, Tensor]:
    """The recipe's weights under the published keys of one list in keys.json."""
    return {key: recipes.weight(key, *entry) for key, entry in keys()[listing]["keys"].items()}


class Pack:
    """One golden file; `draw` regenerates its inputs from the recipe strings that stand beside it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inputs: str = index()[name]["inputs"]
        self.entries: dict[str, Any] = index()[name]["arrays"]
        self.golden = np.load(REFERENCE / "golden" / index()[name]["file"])

    def picture(self, what: str) -> Tensor:
        """The seeded picture called `what` ("sat", "grd", ...); imgnorm pictures come as their 0..1 picture."""
        found = next(m for m in _PICTURE.finditer(self.inputs) if m["what"].strip() == what)
        draw = recipes.img255 if found["kind"] == "img255" else recipes.img01
        return draw(int(found["seed"]), tuple(int(n) for n in found["shape"].split(",")))

    def tokens(self, what: str) -> list[Tensor]:
        """The four seeded token maps called `what` ("sat tokens", ...)."""
        found = next(m for m in _TOKENS.finditer(self.inputs) if m["what"].strip() == what)
        return recipes.tokens(*(int(n) for n in found["numbers"].split(",")))


@dataclass(frozen=True)
class Columns:
    """Pixel grids [..., 2] whose first coordinate is a panorama column: 0 and `width` are the same place."""

    value: Tensor
    width: float


@dataclass(frozen=True)
class Picks:
    """Indices of the best cells of flat maps [B, N]: the maps' values there are compared, not the indices."""

    scores: Tensor
    best: Callable[..., Any] = torch.topk


@dataclass(frozen=True)
class Within:
    """A value compared with its own absolute limit."""

    value: Any
    limit: float


@dataclass(frozen=True)
class CutDown:
    """What is stored without its fractions: beside a whole number, rounding of the last bit decides which is left."""

    value: Tensor


def deviation(got: Any, pack: Pack, name: str) -> float:
    """Largest deviation as a share of what is allowed: at most 1 where the array is reproduced."""
    reference, entry = pack.golden[name], pack.entries[name]
    if isinstance(got, Picks):
        return _picks_deviation(got, reference)
    if isinstance(got, Columns):
        return _columns_deviation(got, reference, entry)
    if isinstance(got, CutDown):
        return _cut_down_deviation(got, reference, entry)
    limit = got.limit if isinstance(got, Within) else None
    value = got.value if isinstance(got, Within) else got
    full = _numpy(value)
    if list(full.shape) != list(entry["full_shape"]):
        raise AssertionError(f"{pack.name}/{name}: shape {full.shape}, the golden has {entry['full_shape']}")
    scale = limit or NETWORK_TOLERANCE * max(float(np.abs(reference.astype(np.float64)).max(initial=0)), 1e-12)
    difference = np.abs(_strided(full, entry).astype(np.float64) - reference.astype(np.float64))
    worst = float(difference.max(initial=0)) / scale if np.isfinite(difference).all() else float("inf")
    if f"{name}__stats" in pack.golden and full.size:
        worst = max(worst, _stats_deviation(full, pack.golden[f"{name}__stats"], limit))
    return worst


def _numpy(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _strided(full: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    stride = entry["stride"]
    if not stride:
        return full
    where = (..., *(slice(None, None, step) for step in stride))
    return full[where]


def _stats_deviation(full: np.ndarray, stats: np.ndarray, limit: float | None) -> float:
    x = full.astype(np.float64)
    got = np.array([x.mean(), x.std(), x.min(), x.max(), np.abs(x).sum()])
    scale = limit or NETWORK_TOLERANCE * max(abs(stats[2]), abs(stats[3]), 1e-12)
    allowed = np.array([scale, scale, scale, scale, max(scale * x.size, 1e-12)])
    return float((np.abs(got - stats) / allowed).max())


def _columns_deviation(got: Columns, reference: np.ndarray, entry: dict[str, Any]) -> float:
    difference = np.abs(_strided(_numpy(got.value), entry).astype(np.float64) - reference)
    columns = np.minimum(difference[..., 0], np.abs(got.width - difference[..., 0]))
    return float(max(columns.max(), difference[..., 1].max())) / (NETWORK_TOLERANCE * np.abs(reference).max())


def _cut_down_deviation(got: CutDown, reference: np.ndarray, entry: dict[str, Any]) -> float:
    """How far the values lie outside of [stored, stored + 1)."""
    values, stored = _strided(_numpy(got.value).astype(np.float64), entry), reference.astype(np.float64)
    outside = np.maximum(stored - values, values - (stored + 1.0)).max(initial=0.0)
    return float(outside) / (NETWORK_TOLERANCE * stored.max())


def _picks_deviation(got: Picks, reference: np.ndarray) -> float:
    scores = got.scores.detach().double().flatten(1)
    wanted = torch.from_numpy(reference).long().reshape(len(scores), -1)
    ours = got.best(scores, wanted.shape[1])[0]
    theirs = scores.gather(1, wanted)
    return float((ours - theirs).abs().max() / (NETWORK_TOLERANCE * scores.abs().max()))
