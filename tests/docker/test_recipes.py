# SPDX-License-Identifier: Apache-2.0
"""The container recipes as text: what they copy exists, they do not run as root, signals reach the node."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
KNOWN = {"ARG", "FROM", "RUN", "ENV", "COPY", "USER", "WORKDIR", "ENTRYPOINT", "CMD", "STOPSIGNAL"}


def instructions(path):
    """(instruction, rest) with continuation lines joined and comments dropped."""
    lines = [line for line in path.read_text().splitlines() if line and not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines()]


def recipes():
    return sorted(path for path in DOCKER.glob("Dockerfile.*") if path.suffix != ".dockerignore")


@pytest.mark.parametrize("path", recipes(), ids=lambda path: path.name)
class TestRecipe:
    def test_instructions_are_known_and_the_base_is_pinned(self, path):
        parsed = instructions(path)
        assert {name for name, _ in parsed} <= KNOWN
        base = next(rest for name, rest in parsed if name == "FROM")
        assert ":" in base and "latest" not in base

    def test_everything_copied_exists(self, path):
        for name, rest in instructions(path):
            if name == "COPY":
                *sources, _ = [word for word in rest.split() if not word.startswith("--")]
                for source in sources:
                    assert (ROOT / source).exists(), source

    def test_container_does_not_run_as_root(self, path):
        names = [name for name, _ in instructions(path)]
        users = [rest for name, rest in instructions(path) if name == "USER"]
        assert users == ["geodistill"]
        assert names.index("USER") < names.index("ENTRYPOINT")

    def test_entry_point_is_a_list_so_that_signals_arrive(self, path):
        entry = next(rest for name, rest in instructions(path) if name == "ENTRYPOINT")
        assert isinstance(json.loads(entry), list)

    def test_caches_and_environments_stay_out_of_the_image(self, path):
        ignored = path.with_name(path.name + ".dockerignore").read_text().split()
        assert {".git", ".venv", "runs"} <= set(ignored)
        for name, rest in instructions(path):
            if name == "RUN" and "pip install" in rest:
                assert rest.count("--no-cache-dir") == rest.count("pip install")
            if name == "RUN" and "apt-get install" in rest:
                assert "--no-install-recommends" in rest and "rm -rf /var/lib/apt/lists/*" in rest


def test_there_is_one_for_the_vehicle_and_one_for_the_workstation():
    assert [path.name for path in recipes()] == ["Dockerfile.vehicle", "Dockerfile.workstation"]


def test_vehicle_is_stopped_with_the_signal_that_launch_forwards():
    assert ("STOPSIGNAL", "SIGINT") in instructions(DOCKER / "Dockerfile.vehicle")


def test_entry_script_is_valid_and_becomes_the_command():
    script = DOCKER / "entrypoint.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.read_text().rstrip().endswith('exec "$@"')
