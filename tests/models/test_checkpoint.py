# SPDX-License-Identifier: Apache-2.0
"""A checkpoint folder is accepted whole and unaltered, or refused with a reason."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models import build
from geodistill_core.models.checkpoint import (
    load_checkpoint,
    resolve,
    save_checkpoint,
    save_recalibrated,
    shipped_checkpoints,
)
from geodistill_core.models.manifest import MANIFEST_NAME, WEIGHTS_NAME, Calibration

DESCRIPTION = {
    "name": "test",
    "architecture": "tiny",
    "arguments": {"widths": (8, 8, 8, 8)},
    "inputs": {},
    "metres_per_pixel": 0.25,
    "preprocessing": "none",
    "training": {},
    "calibration": None,
    "licence": "Apache-2.0",
}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "net", build("tiny", widths=(8, 8, 8, 8)), DESCRIPTION)
    return tmp_path / "net"


def edit(folder, **changes):
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rehash(folder):
    import hashlib

    edit(folder, sha256=hashlib.sha256((folder / WEIGHTS_NAME).read_bytes()).hexdigest())


def test_what_was_saved_loads_with_the_same_weights_rounded_to_sixteen_bits(folder):
    network, manifest = load_checkpoint(folder)
    torch.manual_seed(0)
    original = build("tiny", widths=(8, 8, 8, 8))
    for key, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, original.state_dict()[key].half().float())
    assert manifest.name == "test"
    assert not network.training


def test_one_flipped_byte_is_refused(folder):
    path = folder / WEIGHTS_NAME
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_checkpoint(folder)


def test_a_truncated_file_is_refused(folder):
    path = folder / WEIGHTS_NAME
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(folder)
    rehash(folder)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(folder)


def test_a_pickle_with_a_matching_hash_is_refused_unopened(folder):
    torch.save({"w": torch.zeros(3)}, folder / WEIGHTS_NAME)
    rehash(folder)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(folder)


def test_surplus_missing_and_misshapen_tensors_are_named(folder):
    tensors = load_file(folder / WEIGHTS_NAME)
    tensors["surplus"] = torch.zeros(2, dtype=torch.float16)
    del tensors["log_scale"]
    tensors["map_encoder.stem.bias"] = torch.zeros(3, dtype=torch.float16)
    save_file(tensors, folder / WEIGHTS_NAME)
    rehash(folder)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    for word in ("surplus", "log_scale", "map_encoder.stem.bias"):
        assert word in str(caught.value)


def test_weights_that_are_not_finite_are_refused(folder):
    tensors = load_file(folder / WEIGHTS_NAME)
    tensors["map_encoder.stem.bias"][0] = float("nan")
    save_file(tensors, folder / WEIGHTS_NAME)
    rehash(folder)
    with pytest.raises(CheckpointError, match=r"map_encoder\.stem\.bias"):
        load_checkpoint(folder)


def test_other_weights_under_an_honest_hash_fail_the_probe(folder):
    tensors = load_file(folder / WEIGHTS_NAME)
    tensors["map_encoder.stem.weight"] = -tensors["map_encoder.stem.weight"]
    save_file(tensors, folder / WEIGHTS_NAME)
    rehash(folder)
    with pytest.raises(CheckpointError, match="probe"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "changes",
    [{"schema_version": 2}, {"architecture": "unheard-of"}, {"arguments": {"depth": 3}}, {"surprise": 1}],
)
def test_a_manifest_of_another_kind_is_refused(folder, changes):
    edit(folder, **changes)
    with pytest.raises((CheckpointError, ConfigError)):
        load_checkpoint(folder)


def test_an_unknown_name_is_answered_with_the_names_that_exist(tmp_path):
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        resolve(tmp_path / "nothing")


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_every_shipped_checkpoint_passes_its_own_verification(name):
    network, manifest = load_checkpoint(name)
    assert manifest.calibration is not None
    assert manifest.calibration.samples >= 100
    assert (resolve(name) / WEIGHTS_NAME).stat().st_size <= 8_000_000
    assert sum(p.numel() for p in network.parameters()) <= 3_000_000


TRACKING = {
    **dict.fromkeys(("scale_along", "scale_across", "scale_yaw"), 0.8),
    **dict.fromkeys(("innovation_along", "innovation_across", "innovation_yaw"), 0.1),
    **dict.fromkeys(("protection_lateral", "protection_longitudinal"), 3.0),
    **{"drives": 2, "samples": 100, "distance_m": 1.0, "fitted_on": "two drives", "date": "2026-11-22"},
}
CALIBRATION = {"temperature": 0.5, "samples": 300, "fitted_on": "here", "nll_before": 3.0, "nll_after": 2.5}


def test_a_manifest_of_before_scales_and_protection_still_loads(folder):
    edit(folder, calibration=CALIBRATION)
    _, manifest = load_checkpoint(folder)
    found = manifest.calibration
    assert (found.scale_across, found.scale_along, found.scale_yaw, found.risk) == (1.0, 1.0, 1.0, 0.01)
    assert found.protection_lateral is found.protection_longitudinal is found.date is None


def test_a_track_that_was_calibrated_without_tails_is_gaussian(folder):
    edit(folder, tracking=TRACKING)
    assert load_checkpoint(folder)[1].tracking.degrees_of_freedom is None
    edit(folder, tracking=TRACKING | {"degrees_of_freedom": 2.0})  # has no covariance
    with pytest.raises(CheckpointError, match="degrees_of_freedom"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "wrong",
    [{"scale_along": 0.0}, {"scale_yaw": -1.0}, {"risk": 1.0}, {"protection_lateral": 0.0}, {"date": "yesterday"}],
)
def test_a_calibration_that_makes_no_sense_is_refused(folder, wrong):
    edit(folder, calibration=CALIBRATION | wrong)
    with pytest.raises(CheckpointError, match=next(iter(wrong))):
        load_checkpoint(folder)


def test_another_calibration_goes_into_a_new_folder_with_the_same_weights(folder, tmp_path):
    edit(folder, tracking=TRACKING)
    before = (folder / MANIFEST_NAME).read_bytes()
    calibration = Calibration(**CALIBRATION, scale_along=1.5, date="2026-11-22")
    save_recalibrated(folder, tmp_path / "new", calibration)
    _, manifest = load_checkpoint(tmp_path / "new")
    assert manifest.calibration == calibration
    assert manifest.tracking is None  # what a track may claim was fitted with the other one
    assert (tmp_path / "new" / WEIGHTS_NAME).read_bytes() == (folder / WEIGHTS_NAME).read_bytes()
    assert (folder / MANIFEST_NAME).read_bytes() == before
    with pytest.raises(CheckpointError, match="is not empty"):
        save_recalibrated(folder, tmp_path / "new", calibration)
