# SPDX-License-Identifier: Apache-2.0
"""The portable form of every network gives the answers of everyday use."""

import pytest
import torch

from geodistill_core.models.portable import PortableForm, portable
from geodistill_core.models.registry import architecture
from geodistill_core.runtime.calls import leaves
from tests.runtime.small import NAMES, probe, profile, small

CASES = [
    (name, g) for name in NAMES for g in ("corrected", "compat") if g == "corrected" or architecture(name).has_geometry
]


@pytest.mark.parametrize(("name", "geometry"), CASES)
def test_portable_form_differs_by_rounding_alone(name, geometry):
    network = small(name, geometry)
    seen = probe(network)
    ground, tiles = network.prepare_ground(seen.image), network.prepare_map(seen.tile)
    yaw = torch.from_numpy(seen.yaw_enu_rad).float().unsqueeze(0)
    with torch.inference_mode():
        want = network.match(network.encode_ground(ground), network.encode_map(tiles), yaw)
        with portable(PortableForm(profile(network).horizon_px)):
            maps = network.encode_map(tiles)
            compared = network.compare(network.encode_ground(ground), maps, yaw)
        settled = network.settle_map(leaves("map", maps, {}), tiles)
        found = network.conclude(compared, settled, ground, tiles, yaw)
    assert torch.equal(found.isneginf(), want.isneginf())
    possible = ~want.isneginf()
    spread = float(want[possible].max() - want[possible].min())
    assert spread > 0
    assert float((found[possible] - want[possible]).abs().max()) < 1e-3 * max(spread, 1.0)
