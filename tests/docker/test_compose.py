# SPDX-License-Identifier: Apache-2.0
"""The compose file: its commands exist, nothing runs as more than it needs, nothing is open to the network."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from geodistill_core.cli.map import app as map_app

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker" / "compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]
LAUNCH = ROOT / "launch/geodistill_bringup/launch"
VEHICLE = (ROOT / "docker/Dockerfile.vehicle").read_text()


def each_service():
    return pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))


def words(service):
    return [*service.get("entrypoint", []), *service.get("command", [])]


def launched(service):
    """The launch file that a service starts: the image's own, or its entry point's."""
    return next(
        (word for word in service.get("entrypoint", ["localization.launch.xml"]) if word.endswith(".xml")), None
    )


def test_services_are_node_replay_map_and_foxglove():
    assert set(SERVICES) == {"localizer", "replay", "map", "foxglove"}
    for profile in ("drive", "replay"):
        together = {name for name, service in SERVICES.items() if profile in service["profiles"]}
        assert together == {"localizer" if profile == "drive" else "replay", "map", "foxglove"}


@each_service()
def test_nothing_runs_as_more_than_it_needs(service):
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "user"} & set(service)


@each_service()
def test_only_the_cache_can_be_written(service):
    for volume in service.get("volumes", []):
        assert volume.endswith(":ro") or volume == "cache:/cache"
    assert set(COMPOSE["volumes"]) == {"cache"} and "/cache" in VEHICLE


@each_service()
def test_nothing_listens_beyond_this_machine(service):
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    if "foxglove_bridge" in words(service):
        assert "address:=127.0.0.1" in words(service)
    if "0.0.0.0" in words(service):  # inside a network of its own
        assert "network_mode" not in service


@each_service()
def test_launch_arguments_are_declared(service):
    file = launched(service)
    if file is None:
        return
    declared = {arg.get("name") for arg in ET.parse(LAUNCH / file).getroot().findall("arg")}
    given = {word.partition(":=")[0] for word in service["command"]}
    assert given <= declared and "map" in given


def test_map_service_takes_its_options():
    serve = get_command(map_app).commands["serve"]
    known = {option for parameter in serve.params for option in parameter.opts}
    assert {word for word in words(SERVICES["map"]) if word.startswith("--")} <= known


def test_what_speaks_dds_shares_network_and_memory_and_the_rest_does_not():
    graph = {name for name, service in SERVICES.items() if service.get("network_mode") == "host"}
    assert graph == {"localizer", "replay", "foxglove"}
    assert all(SERVICES[name]["ipc"] == "host" for name in graph)


def test_packages_that_services_start_are_in_the_image():
    assert "foxglove-bridge" in VEHICLE and "rosbag2-storage-mcap" in VEHICLE


def test_every_variable_is_named_in_the_usage():
    usage = "\n".join(line for line in FILE.read_text().splitlines() if line.startswith("#"))
    variables = set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    optional = {"IMAGE", "DATUM"}
    assert {name for name in variables if f"{name}=" not in usage} == optional
