# SPDX-License-Identifier: Apache-2.0
"""Every command in the documentation runs: shell blocks as they stand, page by page; others against the command line.

What a test machine lacks (`ros2`, `sudo`, `pip`) is stood in for by stand_in.py, which checks what it is asked for.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from geodistill_ros.parameters import checked_value
from typer.main import get_command, get_group

from geodistill_core.cli import main as frame

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
STOOD_IN = ("ros2", "sudo", "pip")
# Replaced in the shell: ROS's own set-up, the making and entering of environments, and the build, tested elsewhere.
PRELUDE = """
set -euo pipefail
source() { case "$1" in /opt/ros/*/setup.bash|*/bin/activate|install/setup.bash) ;; *) command cat "$1";; esac; }
python3() { case "$1 $2" in "-m venv"|"-m colcon") ;; *) command python3 "$@";; esac; }
"""


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def each(paths):
    return pytest.mark.parametrize("page", paths, ids=lambda page: page.stem)


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Runs a script in a fresh folder that looks like the repository."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in STOOD_IN:
        program(tools / name, f'exec {sys.executable} {Path(__file__).with_name("stand_in.py")} {name} "$@"')
    program(tools / "geodistill", f'exec {sys.executable} -m geodistill_core.cli.main "$@"')
    work = tmp_path / "work"
    work.mkdir()
    for name in ("docs", "launch", "ros2_ws", "docker"):
        (work / name).symlink_to(ROOT / name)
    paths = [ROOT, ROOT / "training", ROOT / "ros2_ws/src/geodistill_ros"]
    environment = os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "ROS_DISTRO": "jazzy",
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }

    def run(script):
        return subprocess.run(
            ["bash", "-c", PRELUDE + script], cwd=work, env=environment, capture_output=True, text=True, check=False
        )

    run.work = work
    return run


def program(path, line):
    path.write_text(f"#!/bin/bash\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


SHORT = "--frames 60 --rate 2.5"


@pytest.mark.timeout(600)
@each([page for page in PAGES if blocks(page, "bash")])
def test_commands_of_a_page_run_one_after_the_other(page, shell):
    for name, text in parameter_files(page):
        (shell.work / name).write_text(text)
    drive = shell.work / "demo-drive"
    if page.stem != "vehicle":  # other pages take up what that one made
        drive.mkdir()
        (drive / "drive.mbtiles").touch()
    for block in blocks(page, "bash"):
        if "--live" in block:
            pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")
        if "geodistill export" in block:
            pytest.importorskip("onnxruntime", reason="ONNX is not installed (pip install 'geodistill[deploy]')")
        done = shell(block.replace(SHORT, "--frames 4 --rate 1"))
        code = 3 if "--live" in block and done.returncode == 3 else 0  # a busy machine drops images, and says so
        assert done.returncode == code, f"{block}\n{done.stdout}\n{done.stderr}"


def test_a_command_that_would_not_work_is_noticed(shell):
    for wrong in (
        "ros2 launch geodistill_bringup nothing.launch.xml map:=.",
        "ros2 launch geodistill_bringup localization.launch.xml map:=. imge:=/camera",
        "ros2 launch geodistill_bringup localization.launch.xml map:=. log_level:=loud",
        "ros2 launch geodistill_bringup localization.launch.xml map:=nowhere.mbtiles",
        "ros2 topic echo --once /geodistill/position",
        "ros2 service call /geodistill/nothing std_srvs/srv/Trigger",
        "ros2 param set /geodistill gnss_sigma_inflation 200.0",
        "ros2 bag record /camera/picture",
        "sudo apt-get install -y ros-jazzy-desktop",
        'pip install ".[everything]"',
        "geodistill drive",
    ):
        assert shell(wrong).returncode != 0, wrong


def parameter_files(page):
    """(name, text) of the parameter files that a page shows: YAML that begins with its name."""
    for block in blocks(page, "yaml"):
        named = re.match(r"# ([\w.-]+\.yaml)\n", block)
        if named:
            yield named[1], block


@each([page for page in PAGES if list(parameter_files(page))])
def test_parameter_files_that_a_page_shows_are_legal(page):
    for _, text in parameter_files(page):
        for name, value in yaml.safe_load(text)["/**"]["ros__parameters"].items():
            checked_value(name, value)


def documented():
    """(page, command line) of `geodistill` everywhere in the documentation."""
    for page in PAGES:
        text = page.read_text()
        inline = re.findall(r"`(geodistill [^`\n]+)`", text)
        fenced = [
            line.strip() for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
            for line in block.replace("\\\n", " ").splitlines() if line.startswith("geodistill ")
        ]  # fmt: skip
        yield from ((page.stem, line) for line in sorted({*inline, *fenced}))


def command_of(words):
    """The command that a documented line reaches, and the words left over."""
    module, _, attribute = frame.VERBS[words[0]][0].partition(":")
    app = getattr(importlib.import_module(module), attribute)
    if not app.registered_callback and len(app.registered_commands) == 1:
        return get_command(app), words[1:]
    group = get_group(app)
    if len(words) == 1:
        return group, []
    if words[0] == "bench" and words[1] not in group.commands:
        words.insert(1, "networks")  # what it does by default
    return group.commands[words[1]], words[2:]


@pytest.mark.parametrize(("page", "line"), list(documented()))
def test_documented_command_exists_with_its_options(page, line):
    words = shlex.split(line.partition(" > ")[0].replace("…", ""), comments=True)[1:]
    if words[0] == "train":
        pytest.importorskip("geodistill_training", reason="the trainer is not installed")
        return
    command, rest = command_of(words)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= known | {"-"}


@each(PAGES)
def test_files_that_a_page_names_are_in_the_repository(page):
    named = re.findall(r"`((?:launch|training|docs|docker|ros2_ws|tests)/[\w./-]+)`", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@each(PAGES)
def test_launch_arguments_that_a_page_names_exist(page):
    import stand_in

    known = set().union(*(stand_in.launch_arguments(path.name) for path in stand_in.LAUNCH.glob("*.xml")))
    assert {name for name in re.findall(r"`(\w+):=", page.read_text())} <= known
