# SPDX-License-Identifier: Apache-2.0
"""Every list of published keys loads strictly, and what is imported is what was saved.

The check sums of two lists are not the recipe's: `ccvpe_cvm_oxford` and `g2sweakly_vigor_2dof_share1` were listed
from networks as their constructors leave them (uniform within 1 / sqrt(fan in), batch norms at one), since no golden
array needs them; their keys and shapes are as good as the others'.
"""

from __future__ import annotations

import functools
import math

import pytest
import torch

from geodistill_core.models.checkpoint import load_checkpoint
from geodistill_core.models.importing.fit import best_fits, fit
from geodistill_core.models.importing.published import backbone_arguments, import_published
from geodistill_core.models.registry import ARCHITECTURES, build
from tests.parity.pack import keys, published_weights

pytestmark = pytest.mark.skipif(not keys(), reason="../shared/reference/keys.json is absent")

ARCHITECTURE = {
    "adapting_vigor": "adapting_vigor",
    "adapting_vigor_prior0": "adapting_vigor",
    "ccvpe_cvm_kitti": "ccvpe_kitti",
    "ccvpe_cvm_oxford": "ccvpe_oxford",
    "ccvpe_cvm_vigor": "ccvpe_vigor",
    "g2sweakly_vigor_2dof_share0": "g2sweakly_vigor",
    "g2sweakly_vigor_2dof_share1": "g2sweakly_vigor",
    "geodistill_kitti_dino": "geodistill_kitti_dino",
    "geodistill_kitti_vgg": "geodistill_kitti_vgg",
    "geodistill_orientation": "geodistill_orientation",
    "geodistill_vigor_dino": "geodistill_vigor_dino",
    "ggcvt_kitti_2dof": "ggcvt_kitti",
    "ggcvt_kitti_3dof": "ggcvt_kitti_3dof",
    "ggcvt_vigor": "ggcvt_vigor",
}
AS_CONSTRUCTED = {"ccvpe_cvm_oxford", "g2sweakly_vigor_2dof_share1"}
LISTS = sorted(keys()) or ["keys.json"]


@functools.cache
def on_meta(listing):
    entries = keys()[listing]["keys"].items()
    return {
        key: torch.empty(shape, dtype=getattr(torch, dtype.removeprefix("torch.")), device="meta")
        for key, (shape, dtype) in entries
    }


def test_every_list_belongs_to_an_architecture():
    assert set(keys()) == set(ARCHITECTURE)


@pytest.mark.parametrize("listing", LISTS)
def test_a_published_list_fits_its_architecture_exactly(listing):
    found = fit(on_meta(listing), ARCHITECTURE[listing])
    assert found.exact, found.describe()
    assert len(found.keys) + len(found.dropped) == len(on_meta(listing))


@pytest.mark.parametrize("listing", LISTS)
def test_a_published_list_is_recognised(listing):
    exact = {found.architecture for found in best_fits(on_meta(listing)) if found.exact}
    assert ARCHITECTURE[listing] in exact
    # the tensors that run have the same names and shapes: these cannot be told apart
    alike = [
        {"ccvpe_vigor", "adapting_vigor"},
        {"g2sweakly_vigor", "g2sweakly_kitti"},
        {"ggcvt_vigor", "ggcvt_kitti", "ggcvt_kitti_3dof"},
    ]
    assert any(exact <= names for names in [*alike, {ARCHITECTURE[listing]}])


def sums(state):
    floats = [tensor.double() for tensor in state.values() if tensor.is_floating_point()]
    return {"sum": sum(float(x.sum()) for x in floats), "abssum": sum(float(x.abs().sum()) for x in floats)}


@pytest.mark.parametrize("listing", LISTS)
def test_the_recipe_gives_the_listed_check_sums(listing):
    wanted, weights = keys()[listing]["weights"], published_weights(listing)
    if listing in AS_CONSTRUCTED:
        assert sums(weights)["abssum"] > 2 * wanted["abssum"]
        assert wanted["abssum"] == pytest.approx(constructed_abssum(listing), rel=0.05)
    else:
        assert sums(weights) == pytest.approx({name: wanted[name] for name in ("sum", "abssum")}, rel=1e-9)
        assert weights[wanted["first_key"]].flatten()[:4].tolist() == wanted["first_values"]


def constructed_abssum(listing):
    """The expected sum of absolute values of layers as PyTorch constructs them."""
    shapes = {key: shape for key, (shape, dtype) in keys()[listing]["keys"].items() if "int" not in dtype}
    total = 0.0
    for key, shape in shapes.items():
        owner, _, last = key.rpartition(".")
        weight = shape if len(shape) >= 2 else shapes.get(f"{owner}.weight", [])
        if len(weight) >= 2:
            total += math.prod(shape) / math.sqrt(math.prod(weight[1:])) / 2
        elif last in ("weight", "running_var"):
            total += math.prod(shape)
    return total


def saved_as_published(listing, path):
    """The recipe's weights in the outer format that the list's checkpoints have."""
    state, outer = published_weights(listing), keys()[listing]["outer"]
    if listing == "ggcvt_vigor":
        state = {f"module.{key}": tensor for key, tensor in state.items()}
    if outer:
        moments = {"state": {0: {"step": torch.tensor(4.0), "exp_avg": torch.ones(5)}}, "param_groups": []}
        state = {"model_state_dict": state, "optimizer_state_dict": moments, "epoch": 1, "loss": 0.5}
        state |= {"lr_schedule": {"T_max": 10}} if "lr_schedule" in outer else {}
    torch.save(state, path)
    return path


@pytest.mark.parametrize("listing", LISTS)
def test_an_imported_file_loads_with_the_weights_it_holds(listing, tmp_path):
    name = ARCHITECTURE[listing]
    found = fit(on_meta(listing), name)
    weights = published_weights(listing)
    network = build(name, geometry="compat", **found.arguments).eval()
    network.load_state_dict({ours: weights[key] for ours, key in found.keys.items()}, strict=True)
    path = saved_as_published(listing, tmp_path / "model.pth")
    manifest, _ = import_published(path, name, tmp_path / "net", geometry="compat", licence="MIT")
    loaded, verified = load_checkpoint(tmp_path / "net")
    assert verified.arguments == {**found.arguments, "geometry": "compat", **backbone_arguments(network)}
    for key, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
    assert set(manifest.source.dropped) == set(found.dropped)


def test_every_architecture_with_published_weights_is_registered():
    assert set(ARCHITECTURE.values()) <= set(ARCHITECTURES)
