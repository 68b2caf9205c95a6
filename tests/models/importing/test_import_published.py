# SPDX-License-Identifier: Apache-2.0
"""A published file becomes a checkpoint folder that computes what the published network computed."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models.checkpoint import load_checkpoint
from geodistill_core.models.importing.published import import_published
from geodistill_core.models.manifest import MANIFEST_NAME, WEIGHTS_NAME, read_manifest
from geodistill_core.models.probe import probe_output
from tests.models.importing.conftest import Toy, published


@pytest.fixture
def take(tmp_path):
    """Saves an object as a .pth and imports it as the toy."""

    def run(saved, architecture="toy", geometry="compat", licence="CC-BY-4.0"):
        torch.save(saved, tmp_path / "model.pth")
        folder = tmp_path / "imported"
        return folder, *import_published(
            tmp_path / "model.pth", architecture, folder, geometry=geometry, licence=licence
        )

    return run


OUTER = {
    "bare": lambda state: state,
    "wrapped": lambda state: {"model_state_dict": state, "optimizer_state_dict": {"lr": 0.1}, "loss": 2.5, "epoch": 1},
    "parallel": lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
}


@pytest.mark.parametrize("outer", sorted(OUTER))
def test_an_imported_network_computes_exactly_what_the_published_one_did(take, network, weights, outer):
    folder, *_ = take(OUTER[outer](weights))
    loaded, manifest = load_checkpoint(folder)
    assert probe_output(loaded, 5) == probe_output(network, 5)
    assert loaded.geometry == manifest.arguments["geometry"] == "compat"


def test_safetensors_are_imported_like_pickles(tmp_path, network, weights):
    save_file(weights, tmp_path / "model.safetensors")
    import_published(tmp_path / "model.safetensors", "toy", tmp_path / "net", geometry="corrected", licence="MIT")
    assert probe_output(load_checkpoint(tmp_path / "net")[0], 5) == probe_output(network, 5)


def test_imported_weights_are_stored_in_full_and_integers_as_integers(take, network, weights):
    folder, *_ = take(weights)
    stored = load_file(folder / WEIGHTS_NAME)
    assert stored["steps"].dtype == torch.int64
    for key, tensor in network.state_dict().items():
        assert torch.equal(stored[key], tensor)


def test_the_manifest_says_where_the_weights_come_from(take, weights, tmp_path):
    folder, *_ = take({"model_state_dict": weights, "epoch": 3})
    manifest = read_manifest(folder)
    assert manifest.licence == "CC-BY-4.0"
    assert manifest.source.file == "model.pth"
    assert manifest.source.sha256 == hashlib.sha256((tmp_path / "model.pth").read_bytes()).hexdigest()
    assert manifest.source.format == "torch zip, model_state_dict beside epoch"
    assert manifest.source.dropped == ("Refine.steps", "Refine.weight")
    assert manifest.source.rounded == ()


def test_importing_twice_gives_the_same_bytes(take, weights):
    folder, *_ = take(weights)
    first = (folder / MANIFEST_NAME).read_bytes(), (folder / WEIGHTS_NAME).read_bytes()
    take(weights)
    assert first == ((folder / MANIFEST_NAME).read_bytes(), (folder / WEIGHTS_NAME).read_bytes())


def test_the_arguments_are_found_from_the_shapes(take):
    folder, manifest, _ = take(published(Toy(width=16)))
    assert manifest.arguments == {"width": 16, "geometry": "compat"}
    load_checkpoint(folder)


def test_an_argument_that_follows_from_the_shapes_cannot_be_given(tmp_path):
    torch.save(published(Toy(width=16)), tmp_path / "model.pth")
    with pytest.raises(ConfigError, match="follows from the file"):
        import_published(
            tmp_path / "model.pth", "toy", tmp_path / "n", geometry="compat", licence="MIT", arguments={"width": 8}
        )


def test_doubles_are_rounded_and_named(take, network, weights):
    weights["scale"] = weights["scale"].double() + 1e-12
    folder, manifest, _ = take(weights)
    assert manifest.source.rounded == ("scale",)
    assert torch.equal(load_file(folder / WEIGHTS_NAME)["log_scale"], network.log_scale)


def bad(**changes):
    return lambda weights: {**weights, **{key: change(weights.get(key)) for key, change in changes.items()}}


REFUSED = {
    "integers where floats belong": (bad(scale=lambda w: torch.tensor(3)), r"scale torch\.int64"),
    "floats where integers belong": (bad(steps=lambda w: w.float()), r"steps torch\.float32"),
    "complex numbers": (bad(scale=lambda w: w.to(torch.complex64)), "ComplexFloatStorage"),
    "truth values": (bad(scale=lambda w: w > 0), r"scale torch\.bool"),
    "another shape": (bad(scale=lambda w: torch.ones(2)), r"scale \(2,\) instead of \(\)"),
    "NaN": (bad(scale=lambda w: w * torch.nan), "scale holds NaN"),
    "infinity": (bad(scale=lambda w: w * torch.inf), "scale holds NaN or infinity"),
    "doubles beyond floats": (bad(scale=lambda w: w.double() + 1e300), "scale holds NaN or infinity"),
    "a surplus tensor": (bad(surplus=lambda w: torch.ones(1)), r"1 unexpected \(surplus\)"),
    "a missing tensor": (lambda w: {k: v for k, v in w.items() if k != "scale"}, r"1 missing \(log_scale\)"),
}


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_a_state_dict_is_refused_and_nothing_written_that_has(take, weights, tmp_path, what):
    spoil, reason = REFUSED[what]
    with pytest.raises(CheckpointError, match=reason):
        take(spoil(weights))
    assert not (tmp_path / "imported").exists()


def test_infinite_values_in_parts_that_do_not_run_do_not_matter(take, weights):
    weights["Refine.weight"] = torch.full((2, 2), torch.inf)
    load_checkpoint(take(weights)[0])


def test_weights_that_answer_the_probe_with_nan_are_refused(take, weights, tmp_path):
    weights["scale"] = torch.tensor(1e4)
    with pytest.raises(CheckpointError, match="probe"):
        take(weights)
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    "wrong", [{"architecture": "unheard-of"}, {"architecture": "tiny"}, {"geometry": "exact"}, {"licence": " "}]
)
def test_a_wrong_argument_is_a_usage_error(take, weights, wrong):
    with pytest.raises(ConfigError):
        take(weights, **wrong)


def test_an_altered_import_fails_its_verification(take, weights):
    folder, *_ = take(weights)
    tensors = load_file(folder / WEIGHTS_NAME)
    tensors["map_encoder.stem.weight"] *= 1.5
    save_file(tensors, folder / WEIGHTS_NAME)
    path = folder / MANIFEST_NAME
    digest = hashlib.sha256((folder / WEIGHTS_NAME).read_bytes()).hexdigest()
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": digest}))
    with pytest.raises(CheckpointError, match="probe"):
        load_checkpoint(folder)
