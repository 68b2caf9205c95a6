# SPDX-License-Identifier: Apache-2.0
"""Honest files, in the outer formats that published checkpoints have, open to the same tensors."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from geodistill_core.models.importing.foreign import open_foreign
from tests.models.importing.hostile import state


def parallel():
    return {f"module.{key}": tensor for key, tensor in state().items()}


def trained(weights):
    return {
        "model_state_dict": weights,
        "optimizer_state_dict": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(7)}}},
        "epoch": 9,
        "loss": np.float64(3.25),
    }


OUTER = {
    "bare": state,
    "bare, parallel": parallel,
    "wrapped": lambda: trained(state()),
    "wrapped, parallel": lambda: trained(parallel()),
    "a module's": lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict(),
    "parameters": lambda: {key: torch.nn.Parameter(value, requires_grad=False) for key, value in state().items()},
}


@pytest.mark.parametrize("outer", sorted(OUTER))
def test_every_outer_format_opens_to_the_bare_state_dict(tmp_path, outer):
    saved = OUTER[outer]()
    torch.save(saved, tmp_path / "model.pth")
    found = open_foreign(tmp_path / "model.pth")
    wanted = saved.get("model_state_dict", saved)
    assert list(found.tensors) == [key.removeprefix("module.") for key in wanted]
    for key, value in found.values(found.tensors).items():
        torch.testing.assert_close(value, wanted.get(key, wanted.get(f"module.{key}")), rtol=0, atol=0)


def test_safetensors_open_to_the_same_tensors(tmp_path):
    save_file(parallel(), tmp_path / "model.safetensors")
    found = open_foreign(tmp_path / "model.safetensors")
    assert found.tensors.keys() == state().keys()
    for key, value in found.values(found.tensors).items():
        torch.testing.assert_close(value, state()[key], rtol=0, atol=0)


def test_what_stands_beside_the_weights_and_the_prefix_are_told(tmp_path):
    torch.save(trained(parallel()), tmp_path / "model.pth")
    told = open_foreign(tmp_path / "model.pth").outer
    assert told == "torch zip, model_state_dict beside epoch, loss, optimizer_state_dict, every key prefixed 'module.'"


def test_opening_reads_no_values(tmp_path):
    torch.save(state(), tmp_path / "model.pth")
    assert {tensor.device.type for tensor in open_foreign(tmp_path / "model.pth").tensors.values()} == {"meta"}


def test_views_of_one_storage_keep_their_strides(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    torch.save({"transposed": base.T, "column": base[:, 1]}, tmp_path / "model.pth")
    found = open_foreign(tmp_path / "model.pth").values(["transposed", "column"])
    torch.testing.assert_close(found["transposed"], base.T, rtol=0, atol=0)
    torch.testing.assert_close(found["column"], base[:, 1], rtol=0, atol=0)
