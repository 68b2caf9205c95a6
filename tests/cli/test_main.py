# SPDX-License-Identifier: Apache-2.0
"""The frame of the command line: verbs, versions, exit codes, errors without tracebacks."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time

import pytest
import typer
from rich.text import Text

from geodistill_core import __version__
from geodistill_core.cli import main as frame
from geodistill_core.errors import BagError, CheckpointError, ConfigError, MapError

PROGRAM = [sys.executable, "-m", "geodistill_core.cli.main"]


def run(*arguments, **environment):
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "160", **environment},
        check=False,
        timeout=120,
    )


def test_help_lists_every_verb_of_the_core(geodistill):
    ran = geodistill("--help")
    assert ran.code == 0
    for verb in frame.VERBS:
        assert f" {verb} " in ran.out


@pytest.mark.parametrize("verb", sorted(frame.VERBS))
def test_every_verb_has_help(geodistill, verb):
    ran = geodistill(verb, "--help")
    assert ran.code == 0 and f"geodistill {verb}" in ran.out
    assert "install-completion" not in ran.out


def commands_of(verb):
    """The verb's command and those below it."""
    module, _, attribute = frame.VERBS[verb][0].partition(":")
    waiting = [typer.main.get_command(getattr(importlib.import_module(module), attribute))]
    while waiting:
        command = waiting.pop()
        yield command
        waiting += getattr(command, "commands", {}).values()


@pytest.mark.parametrize("verb", sorted(frame.VERBS))
def test_help_shows_all_that_it_was_given(verb):
    for command in commands_of(verb):
        texts = [command.help or "", *(getattr(parameter, "help", None) or "" for parameter in command.params)]
        for text in texts:
            assert Text.from_markup(text).plain == text


def test_help_imports_nothing_heavy():
    program = (
        "import sys\nfrom geodistill_core.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'cv2', 'rasterio', 'numba', 'rosbags', 'matplotlib', 'rclpy'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout


def test_version_is_the_packages(geodistill):
    assert geodistill("--version").out.strip() == f"geodistill {__version__}"


def test_without_a_verb_help_is_shown_and_the_code_is_2(geodistill):
    assert geodistill().code == 2


def test_an_unknown_verb_is_a_usage_error(geodistill):
    ran = geodistill("localise")
    assert ran.code == 2 and "localise" in ran.err


@pytest.mark.parametrize(("error", "code"), [(ConfigError, 2), (MapError, 4), (CheckpointError, 4), (BagError, 4)])
def test_errors_of_the_package_are_one_line_with_their_code(error, code):
    assert frame.describe(error("tile 3\nis   missing")) == ("tile 3 is missing", code)


def test_a_file_that_cannot_be_read_ends_with_4():
    message, code = frame.describe(PermissionError(13, "Permission denied", "/x/y"))
    assert (message, code) == ("Permission denied: /x/y", 4)


def test_a_fault_of_ours_names_itself_and_the_way_to_its_traceback():
    message, code = frame.describe(ZeroDivisionError("division by zero"))
    assert code == 1 and "ZeroDivisionError" in message and "GEODISTILL_DEBUG=1" in message


def test_tracebacks_appear_on_request_only():
    quiet, loud = run("replay", "nowhere.mcap"), run("replay", "nowhere.mcap", GEODISTILL_DEBUG="1")
    assert quiet.returncode == 4 and "Traceback" not in quiet.stderr
    assert quiet.stderr.startswith("geodistill: ")
    assert "Traceback" in loud.stderr


def test_an_interrupt_ends_with_130(monkeypatch, geodistill):
    import geodistill_core.cli.checks as checks

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(checks, "all_checks", interrupted)
    ran = geodistill("doctor")
    assert ran.code == 130 and "Traceback" not in ran.err


def test_ctrl_c_during_real_work_ends_with_130_and_no_traceback(tmp_path):
    process = subprocess.Popen(
        [*PROGRAM, "bag", "synth", str(tmp_path / "drive"), "--frames", "400"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.partial")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    # Python ends by the signal itself when the interrupt fell into an exec(); shells say 130 to both
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.mcap"))


def test_a_broken_pipe_is_no_error_of_ours():
    done = subprocess.run(
        f"{sys.executable} -m geodistill_core.cli.main doctor | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
