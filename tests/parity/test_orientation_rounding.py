# SPDX-License-Identifier: Apache-2.0
"""Why the orientation pack is allowed more deviation: what was stored is itself that far from exact arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from geodistill_core.models.importing.key_map import rename
from geodistill_core.models.orientation import PUBLISHED_KEYS, UNUSED_KEYS, OrientationNetwork
from tests.parity.pack import Pack, index, published_weights
from tests.parity.producers.orientation import ROUNDING


@pytest.mark.skipif(not index(), reason="../shared/reference/index.json is absent")
@torch.inference_mode()
def test_stored_features_are_farther_from_float64_than_those_of_folded_convolutions():
    pack = Pack("geodistill_orientation")
    satellite = pack.picture("sat") / 255
    network = OrientationNetwork(geometry="compat").eval()
    network.load_state_dict(rename(published_weights("geodistill_orientation"), PUBLISHED_KEYS, UNUSED_KEYS))
    channels, rows, columns = pack.entries["sat_block14"]["stride"]
    strided = (slice(None), slice(None, None, channels), slice(None, None, rows), slice(None, None, columns))
    folded = network.map_trunk(satellite * 255, [14])[0][strided].double().numpy()
    exact = network.double().map_features(satellite.double())[strided].numpy()
    stored = pack.golden["sat_block14"]
    scale = np.abs(exact).max()
    assert 1e-4 < np.abs(stored - exact).max() / scale < ROUNDING
    assert np.abs(folded - exact).max() < np.abs(stored - exact).max()
