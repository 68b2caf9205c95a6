# SPDX-License-Identifier: Apache-2.0
"""The command line in this process, a small drive, and an untrained network."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from geodistill_core.bags.synth import write_synth_drive
from geodistill_core.cli.main import main
from geodistill_core.datasets.synthcity import SMALL_PANORAMA_RIG
from geodistill_core.models import build
from geodistill_core.models.checkpoint import save_checkpoint

DESCRIPTION = {
    "name": "untrained",
    "architecture": "tiny",
    "arguments": {"widths": (8, 8, 8, 8)},
    "inputs": {},
    "metres_per_pixel": 0.25,
    "preprocessing": "none",
    "training": {},
    "calibration": None,
    "licence": "Apache-2.0",
}


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def geodistill(capsys, monkeypatch):
    """Runs `geodistill ARGUMENTS`; gives the exit code and what was printed."""

    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: object) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Ran(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Folder of a network with random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoint") / "untrained"
    save_checkpoint(folder, build("tiny", widths=(8, 8, 8, 8)), DESCRIPTION)
    return folder


@pytest.fixture(scope="session")
def drive(tmp_path_factory):
    """A simulated drive of eight frames with its map and sidecar."""
    folder = tmp_path_factory.mktemp("drive")
    return write_synth_drive(
        folder, "midtown", 20_000, "easy", 8, frame_rate_hz=2.0, rig=SMALL_PANORAMA_RIG, size_m=320.0
    )
