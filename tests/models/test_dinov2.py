# SPDX-License-Identifier: Apache-2.0
"""DINOv2 as a frozen backbone: its tokens, the two rules for its positions, and weights that are absent or altered."""

from __future__ import annotations

import builtins
import copy
import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models.backbones.dinov2 import FrozenDinov2, find_weights, require_transformers, weights_sha256
from geodistill_core.models.importing.published import backbone_arguments

SIDE = 5  # the table of positions holds 5 x 5 patches


def _save(folder, **changes):
    transformers = pytest.importorskip("transformers", reason="the extra [dino] is not installed")
    torch.manual_seed(0)
    shape = {"hidden_size": 12, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 14 * SIDE}
    model = transformers.Dinov2Model(transformers.Dinov2Config(patch_size=14, **shape | changes)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.5)
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vit")
    return str(folder), _save(folder)


def _vit(weights, positions="library", blocks=(0, 1, 2, 3), **arguments):
    return FrozenDinov2(weights, 12, blocks, positions, **arguments)


def test_tokens_are_the_blocks_outputs_without_a_final_norm(saved):
    folder, model = saved
    image = torch.randn(2, 3, 28, 56)
    tokens = _vit(folder, blocks=(0, 2, 3)).tokens(image)
    with torch.no_grad():
        x, outputs = model.embeddings(image), []
        for layer in model.encoder.layer:
            x = layer(x)
            outputs.append(x[0] if isinstance(x, tuple) else x)
    for patches, token, wanted in zip(tokens.patches, tokens.classes, [outputs[k] for k in (0, 2, 3)], strict=True):
        assert patches.shape == (2, 2, 4, 12)
        torch.testing.assert_close(token, wanted[:, 0])
        torch.testing.assert_close(patches.reshape(2, 8, 12), wanted[:, 1:])


def test_images_are_padded_with_zeros_to_whole_patches(saved):
    vit = _vit(saved[0])
    image = torch.randn(1, 3, 20, 50)
    tokens = vit.tokens(image)
    assert tokens.patches[3].shape == (1, 2, 4, 12)
    torch.testing.assert_close(tokens.patches[3], vit.tokens(F.pad(image, (3, 3, 4, 4))).patches[3])


def test_position_rules_agree_at_the_tables_own_size(saved):
    image = torch.randn(1, 3, 14 * SIDE, 14 * SIDE)
    hub, library = _vit(saved[0], "hub").tokens(image), _vit(saved[0]).tokens(image)
    for one, other in zip(hub.patches, library.patches, strict=True):
        assert torch.equal(one, other)


def test_position_rules_differ_slightly_at_other_sizes(saved):
    image = torch.randn(1, 3, 14 * 3, 14 * 7)
    hub, library = _vit(saved[0], "hub").tokens(image).patches[0], _vit(saved[0]).tokens(image).patches[0]
    assert 1e-5 < float((hub - library).abs().max()) < float(library.abs().max())


def test_hub_rule_reads_the_table_as_if_the_grid_were_a_tenth_of_a_patch_larger(saved):
    vit, rows, columns = _vit(saved[0], "hub"), 3, 8
    vit.tokens(torch.zeros(1, 3, 14, 14))
    table = saved[1].embeddings.position_embeddings.detach()
    y = (torch.arange(rows) + 0.5) / (rows + 0.1) * 2 - 1
    x = (torch.arange(columns) + 0.5) / (columns + 0.1) * 2 - 1
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).unsqueeze(0)
    grid = table[:, 1:].reshape(1, SIDE, SIDE, 12).permute(0, 3, 1, 2)
    wanted = F.grid_sample(grid, places, mode="bicubic", padding_mode="border", align_corners=False)
    read = vit._model.embeddings.interpolate_pos_encoding(torch.zeros(1), 14 * rows, 14 * columns)
    torch.testing.assert_close(read[:, 1:], wanted.flatten(2).transpose(1, 2), rtol=0, atol=1e-5)
    assert torch.equal(read[:, :1], table[:, :1])


def test_tokens_carry_no_gradient(saved):
    image = torch.randn(1, 3, 14, 14, requires_grad=True)
    assert not _vit(saved[0]).tokens(image).patches[0].requires_grad


def test_copies_of_a_network_share_the_vision_transformer(saved):
    vit = _vit(saved[0])
    network = torch.nn.Module()
    network.vit = vit
    assert copy.deepcopy(network).vit is vit
    assert not network.state_dict()


def test_loading_is_silent(saved, capfd):
    _vit(saved[0]).tokens(torch.zeros(1, 3, 14, 14))
    out, err = capfd.readouterr()
    assert out == "" and err == ""


def test_absent_weights_say_what_was_looked_for_and_where_and_how_to_fetch_them(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants", reason="the extra [dino] is not installed")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        _vit("facebook/dinov2-base").tokens(torch.zeros(1, 3, 14, 14))
    message = str(caught.value)
    for part in ("'facebook/dinov2-base'", str(tmp_path / "facebook"), str(tmp_path / "cache"), "hf download"):
        assert part in message


def test_a_name_is_found_in_the_cache(tmp_path, monkeypatch, saved):
    constants = pytest.importorskip("huggingface_hub.constants", reason="the extra [dino] is not installed")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--facebook--dinov2-base"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    _save(repository / "snapshots" / "abc")
    assert find_weights("facebook/dinov2-base") == repository / "snapshots" / "abc"


def test_weights_with_another_hash_are_refused(saved):
    right = weights_sha256(find_weights(saved[0]))
    _vit(saved[0], sha256=right).tokens(torch.zeros(1, 3, 14, 14))
    with pytest.raises(CheckpointError, match="SHA-256"):
        _vit(saved[0], sha256="0" * 64).tokens(torch.zeros(1, 3, 14, 14))


def test_a_transformer_of_another_width_or_depth_is_refused(saved):
    with pytest.raises(CheckpointError, match="12 channels and 4 blocks"):
        FrozenDinov2(saved[0], 768, (0, 1), "hub").tokens(torch.zeros(1, 3, 14, 14))
    with pytest.raises(CheckpointError, match="up to block 11"):
        _vit(saved[0], blocks=(2, 11)).tokens(torch.zeros(1, 3, 14, 14))


def test_missing_tensors_are_refused(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    _save(tmp_path)
    state = safetensors.load_file(tmp_path / "model.safetensors")
    safetensors.save_file({k: v for k, v in state.items() if "norm1" not in k}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="lacks"):
        _vit(str(tmp_path)).tokens(torch.zeros(1, 3, 14, 14))


def test_a_damaged_file_is_refused(tmp_path):
    _save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(CheckpointError, match="cannot be read"):
        _vit(str(tmp_path)).tokens(torch.zeros(1, 3, 14, 14))


def test_missing_library_names_the_extra(monkeypatch):
    original = builtins.__import__

    def without_transformers(name, *args, **kwargs):
        if name == "transformers":
            raise ImportError("No module named 'transformers'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_transformers)
    with pytest.raises(ConfigError, match=r"geodistill\[dino\]"):
        require_transformers()


def test_an_import_records_the_hash_of_a_backbone_that_is_at_hand(saved, tmp_path):
    folder, absent = saved[0], str(tmp_path / "absent")
    recorded = backbone_arguments(SimpleNamespace(backbone=_vit(folder)))
    sha256 = hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()
    assert recorded == {"backbone": folder, "backbone_sha256": sha256}
    assert backbone_arguments(SimpleNamespace(backbone=_vit(absent))) == {"backbone": absent}
    assert backbone_arguments(SimpleNamespace()) == {}
