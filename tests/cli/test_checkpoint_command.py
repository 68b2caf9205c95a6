# SPDX-License-Identifier: Apache-2.0
"""`geodistill checkpoint`: what is shipped, what is verified, and how published files come in."""

import json

import pytest
import torch

from geodistill_core.models.registry import ARCHITECTURES, Architecture, Published
from geodistill_core.models.tiny import Tiny


class Toy(Tiny):
    def __init__(self, geometry="corrected", cells=97):
        super().__init__(widths=(8, 8, 8, 8), cells=cells)
        self.geometry = geometry


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A published file of a toy architecture."""
    kinds = (Published(((r"^sat\.", "map_encoder."),), (r"^unused\.",)),)
    monkeypatch.setitem(ARCHITECTURES, "toy", Architecture(Toy, kinds))
    torch.manual_seed(1)
    state = {key.replace("map_encoder.", "sat."): value for key, value in Toy().state_dict().items()}
    torch.save({"model_state_dict": {**state, "unused.weight": torch.ones(2)}, "epoch": 4}, tmp_path / "model.pth")
    return tmp_path / "model.pth"


def test_shipped_checkpoints_are_listed(geodistill):
    listed = json.loads(geodistill("checkpoint", "list", "--json", "-").out)["checkpoints"]
    assert "tiny" in [row["name"] for row in listed]


def test_an_imported_folder_verifies_and_says_its_licence(geodistill, published, tmp_path):
    folder = tmp_path / "net"
    ran = geodistill(
        "checkpoint", "import", published, "--arch", "toy", "-o", folder, "--licence", "MIT", "--json", "-"
    )
    told = json.loads(ran.out)
    assert ran.code == 0
    assert told["arguments"] == {"geometry": "compat"}
    assert told["source"]["dropped"] == ["unused.weight"]
    assert told["tensors"] == len(Toy().state_dict())
    verified = json.loads(geodistill("checkpoint", "verify", folder, "--json", "-").out)
    assert verified["verified"] and verified["sha256"] == told["sha256"] and verified["licence"] == "MIT"


def test_the_table_names_what_was_mapped_and_dropped_and_the_hash(geodistill, published, tmp_path):
    out = geodistill("checkpoint", "import", published, "--arch", "toy", "-o", tmp_path / "net").out
    manifest = json.loads((tmp_path / "net" / "manifest.json").read_text())
    for words in (
        "unused 1",
        manifest["sha256"],
        manifest["source"]["sha256"],
        "geometry compat",
        "model_state_dict beside epoch",
        "unknown: ask the authors",
    ):
        assert words in out


def test_imported_folders_are_listed_beside_the_shipped_ones(geodistill, published, tmp_path):
    geodistill("checkpoint", "import", published, "--arch", "toy", "-o", tmp_path / "zoo" / "net")
    for folder in (tmp_path / "zoo", tmp_path / "zoo" / "net"):
        listed = json.loads(geodistill("checkpoint", "list", folder, "--json", "-").out)["checkpoints"]
        assert [row["name"] for row in listed if row["architecture"] == "toy"] == ["net"]
    assert geodistill("checkpoint", "list", tmp_path / "nothing").code == 4


def test_arguments_reach_the_network_and_the_manifest(geodistill, published, tmp_path):
    command = ("checkpoint", "import", published, "--arch", "toy", "-o", tmp_path / "net", "-a")
    assert geodistill(*command, "cells=65").code == 0
    assert json.loads((tmp_path / "net" / "manifest.json").read_text())["arguments"]["cells"] == 65
    for wrong in ("cells", "depth=3", "geometry=compat", "=3"):
        assert geodistill(*command, wrong, "--force").code == 2


def test_an_existing_folder_is_replaced_only_by_force(geodistill, published, tmp_path):
    command = ("checkpoint", "import", published, "--arch", "toy", "-o", tmp_path / "net")
    assert geodistill(*command).code == 0
    refused = geodistill(*command, "--geometry", "corrected")
    assert refused.code == 2 and "--force" in refused.err
    assert geodistill(*command, "--geometry", "corrected", "--force").code == 0
    assert json.loads((tmp_path / "net" / "manifest.json").read_text())["arguments"] == {"geometry": "corrected"}


@pytest.mark.parametrize("wrong", [("--arch", "unheard-of"), ("--arch", "toy", "--geometry", "exact"), ()])
def test_wrong_usage_exits_with_two(geodistill, published, tmp_path, wrong):
    assert geodistill("checkpoint", "import", published, *wrong, "-o", tmp_path / "net").code == 2
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x02}q\x00.", b"PK\x03\x04" + bytes(200)])
def test_an_unreadable_file_exits_with_four_and_one_line(geodistill, published, tmp_path, content):
    published.write_bytes(content)
    ran = geodistill("checkpoint", "import", published, "--arch", "toy", "-o", tmp_path / "net")
    assert ran.code == 4
    assert ran.err.startswith("geodistill: ") and ran.err.count("\n") == 1
    assert not (tmp_path / "net").exists()
