# SPDX-License-Identifier: Apache-2.0
"""The house rules that a program can check: one-way imports, sizes, licence headers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "geodistill_core"
TREES = ("geodistill_core", "training", "ros2_ws/src", "launch", "tests")
ROS = (
    "rclpy",
    "sensor_msgs",
    "geometry_msgs",
    "nav_msgs",
    "diagnostic_msgs",
    "std_srvs",
    "lifecycle_msgs",
    "tf2_ros",
)

# what a package of the core must not import: whatever stands above it in the house
ABOVE = {
    "geometry": {"tracking", "maps", "models", "datasets", "bags", "localization", "evaluation", "cli"},
    "maps": {"tracking", "models", "datasets", "bags", "localization", "evaluation", "cli"},
    "models": {"tracking", "maps", "datasets", "bags", "localization", "evaluation", "cli"},
    "localization": {"tracking", "datasets", "evaluation", "cli"},
    "tracking": {"datasets", "bags", "evaluation", "cli"},
    "datasets": {"models", "evaluation", "cli"},
    "bags": {"models", "evaluation", "cli"},
    "evaluation": {"cli"},
}


def sources(*trees):
    found = [path for tree in trees for path in sorted((ROOT / tree).rglob("*.py"))]
    return [path for path in found if "__pycache__" not in path.parts and "build" not in path.parts]


def imported(path):
    """Absolute names of the modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def test_every_core_module_imports_without_ros_and_without_the_trainer():
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources("geodistill_core")]
    program = f"""
import importlib, sys
for name in {(*ROS, "geodistill_ros", "geodistill_training")!r}:
    sys.modules[name] = None
for name in {[name.removesuffix(".__init__") for name in modules]!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sources("geodistill_core"), ids=lambda p: str(p.relative_to(ROOT)))
def test_core_names_neither_ros_nor_the_trainer_in_an_import(path):
    roots = {name.partition(".")[0] for name in imported(path)}
    assert not roots & {*ROS, "geodistill_ros", "geodistill_training"}


@pytest.mark.parametrize("package", sorted(ABOVE))
def test_imports_point_downwards(package):
    for path in sources(f"geodistill_core/{package}"):
        used = {name.split(".")[1] for name in imported(path) if name.startswith("geodistill_core.")}
        assert not used & ABOVE[package], path


@pytest.mark.parametrize(
    ("module", "allowed"),
    [("camera.py", {"geodistill_core.errors"}), ("types.py", {"geodistill_core.camera", "geodistill_core.errors"})],
)
def test_the_nouns_import_nothing_but_nouns_and_errors(module, allowed):
    assert {name for name in imported(CORE / module) if name.startswith("geodistill")} == allowed


def test_no_source_file_is_longer_than_300_lines_and_no_test_than_400():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources(*TREES)}
    assert {name: n for name, n in lengths.items() if n > (400 if name.startswith("tests") else 300)} == {}


def test_every_source_file_starts_with_its_licence():
    bare = [
        str(path.relative_to(ROOT))
        for path in sources(*TREES)
        if not path.read_text()
        .removeprefix("#!/usr/bin/env python3\n")
        .startswith("# SPDX-License-Identifier: Apache-2.0\n")
    ]
    assert bare == []


def test_nothing_in_the_package_unpickles():
    forbidden = {"pickle", "dill", "joblib", "shelve"}
    for path in sources("geodistill_core", "training", "ros2_ws/src"):
        assert not {name.partition(".")[0] for name in imported(path)} & forbidden, path
