# SPDX-License-Identifier: Apache-2.0
"""The README tells the truth: its commands exist, its example runs, the files it names are there."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command, get_group

from geodistill_core.cli import main as frame
from geodistill_core.maps import RasterSource, write_mbtiles
from geodistill_core.models.checkpoint import shipped_checkpoints
from geodistill_core.types import GeoPoint

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"`(geodistill [^`]+)`", README)))
TARGETS = sorted(set(re.findall(r"make ([a-z]+)", README)))


def command_of(words):
    """The command that a documented line reaches, and the words left over."""
    import importlib

    module, _, attribute = frame.VERBS[words[0]][0].partition(":")
    app = getattr(importlib.import_module(module), attribute)
    if not app.registered_callback:
        return get_command(app), words[1:]
    group = get_group(app)
    return (group.commands[words[1]], words[2:]) if len(words) > 1 else (group, [])


@pytest.mark.parametrize("line", COMMANDS)
def test_every_documented_command_exists_with_its_options(line):
    words = shlex.split(line)[1:]
    if words[0] == "train":
        pytest.importorskip("geodistill_training", reason="the trainer is not installed")
        return
    command, rest = command_of(words)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize("target", TARGETS)
def test_every_documented_make_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_file_that_is_named_is_there():
    named = re.findall(r"`((?:launch|training|docs|ros2_ws)/[^`]*)`", README) + re.findall(r"\]\(([^)#:]+)\)", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.skipif("tiny" not in shipped_checkpoints(), reason="no checkpoint `tiny` in the package")
def test_the_python_example_runs_as_printed(tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(40, 220, (60, 60, 3), np.uint8), np.ones((10, 10, 1), np.uint8))
    source = RasterSource(blocks, GeoPoint(47.57665, -122.2985), 0.25, "nobody")
    write_mbtiles(tmp_path / "tiles.mbtiles", source, source.bounds(), 19, attribution="nobody")
    monkeypatch.chdir(tmp_path)
    names = {"rgb": rng.integers(0, 255, (256, 512, 3), np.uint8)}
    exec(compile(example, "README.md", "exec"), names)
    estimate = names["estimate"]
    assert abs(estimate.latitude - 47.57665) < 5e-4 and abs(estimate.longitude + 122.2985) < 1e-3
    assert estimate.covariance.shape == (3, 3) and math.isfinite(estimate.yaw_enu_rad)
