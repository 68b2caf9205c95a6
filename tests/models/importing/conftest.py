# SPDX-License-Identifier: Apache-2.0
"""A small architecture with published checkpoints: `tiny`, in one of two widths, under foreign names."""

import pytest
import torch

from geodistill_core.models.registry import ARCHITECTURES, Architecture, Published
from geodistill_core.models.tiny import Tiny

RULES = ((r"^SatNet\.", "map_encoder."), (r"^GrdNet\.", "ground_encoder."), (r"^scale$", "log_scale"))
UNUSED = (r"^Refine\.",)


class Toy(Tiny):
    """Has the integer buffer that batch normalisation leaves in published checkpoints."""

    def __init__(self, geometry="corrected", width=8):
        super().__init__(widths=(width, 8, 8, 8))
        self.geometry = geometry
        self.register_buffer("steps", torch.tensor(7))


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    kinds = (Published(RULES, UNUSED), Published(RULES, UNUSED, {"width": 16}))
    monkeypatch.setitem(ARCHITECTURES, "toy", Architecture(Toy, kinds))


def published(network):
    """The network's state dict under its published names, with a part that does not run."""
    state = {}
    for key, tensor in network.state_dict().items():
        name = key.replace("map_encoder.", "SatNet.").replace("ground_encoder.", "GrdNet.")
        state["scale" if name == "log_scale" else name] = tensor
    return {**state, "Refine.weight": torch.ones(2, 2), "Refine.steps": torch.tensor(3)}


@pytest.fixture
def network():
    torch.manual_seed(3)
    return Toy().eval()


@pytest.fixture
def weights(network):
    return published(network)
