# SPDX-License-Identifier: Apache-2.0
"""Which architecture a state dict fits is told from names, shapes and types, before any value is read."""

import pytest
import torch

from geodistill_core.errors import CheckpointError
from geodistill_core.models.importing.fit import best_fits, fit
from geodistill_core.models.importing.published import import_published
from geodistill_core.models.registry import ARCHITECTURES, Architecture, build
from tests.models.importing.conftest import Toy, published


def on_meta(state):
    return {key: tensor.to("meta") for key, tensor in state.items()}


@pytest.mark.parametrize("width", [8, 16])
def test_the_variant_that_fits_is_found_first(width):
    best = best_fits(on_meta(published(Toy(width=width))))[0]
    assert (best.architecture, best.exact, best.share) == ("toy", True, 1.0)
    assert best.arguments == ({"width": 16} if width == 16 else {})


def test_missing_surplus_and_misshapen_tensors_are_told_apart(weights):
    del weights["scale"]
    weights["surplus"] = torch.ones(1)
    weights["SatNet.stem.bias"] = torch.ones(3)
    found = fit(on_meta(weights), "toy")
    assert not found.exact
    assert found.missing == ("log_scale",)
    assert found.unexpected == ("surplus",)
    assert found.misshapen == ("SatNet.stem.bias (3,) instead of (8,)",)
    assert found.dropped == ("Refine.steps", "Refine.weight")
    for word in ("log_scale", "surplus", "SatNet.stem.bias", "toy"):
        assert word in found.describe()


def test_a_file_given_as_the_wrong_architecture_is_told_the_right_one(tmp_path, weights, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "other", Architecture(Toy, (ARCHITECTURES["toy"].published[1],)))
    torch.save(weights, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="it fits toy: give"):
        import_published(tmp_path / "model.pth", "other", tmp_path / "net", geometry="compat", licence="MIT")


def test_the_nearest_architecture_is_told_where_none_fits(tmp_path, weights):
    del weights["scale"]
    torch.save(weights, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="the nearest is toy"):
        import_published(tmp_path / "model.pth", "toy", tmp_path / "net", geometry="compat", licence="MIT")


def test_tensors_of_no_architecture_resemble_none(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="resembles no registered architecture"):
        import_published(tmp_path / "model.pth", "toy", tmp_path / "net", geometry="compat", licence="MIT")


IMPORTABLE = [
    pytest.param(name, kind, id=f"{name}-{index}")
    for name, entry in sorted(ARCHITECTURES.items())
    for index, kind in enumerate(entry.published)
]


@pytest.mark.parametrize("name, kind", IMPORTABLE)
def test_every_registered_network_is_built_without_allocating_its_weights(name, kind):
    with torch.device("meta"):
        state = build(name, **kind.arguments).state_dict()
    assert {tensor.device.type for tensor in state.values()} == {"meta"}
