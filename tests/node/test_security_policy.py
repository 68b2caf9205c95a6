# SPDX-License-Identifier: Apache-2.0
"""The security policy allows what the running node does on the graph, and nothing else."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

BRINGUP = Path(__file__).parents[2] / "launch" / "geodistill_bringup"
POLICY = ET.parse(BRINGUP / "security" / "policy.xml").getroot()
LAUNCH = ET.parse(BRINGUP / "launch" / "localization.launch.xml").getroot()
TRANSFORMS = {"/tf", "/tf_static"}
NEVER_ON_A_VEHICLE = {"/clock"}  # simulated time


def allowed(kind, verb):
    return {name.text for group in POLICY.iter(kind) if group.get(verb) == "ALLOW" for name in group.findall(kind[:-1])}


def launched_topics():
    """The node's inputs by their names on the graph, as the launch file's defaults have them."""
    defaults = {arg.get("name"): arg.get("default") for arg in LAUNCH.findall("arg")}
    names = {}
    for remap in LAUNCH.iter("remap"):
        name, _, rest = remap.get("to").removeprefix("$(var ").partition(")")
        names[remap.get("from")] = defaults[name] + rest
    return names


def test_policy_is_of_the_form_that_sros2_reads():
    assert POLICY.tag == "policy" and POLICY.get("version") == "0.2.0"
    (context,) = POLICY.find("contexts")
    (profile,) = context.find("profiles")
    assert (profile.get("ns"), profile.get("node")) == ("/", "geodistill")
    for group in profile:
        assert group.tag in ("topics", "services") and len(group.attrib) == 1
        assert {entry.tag for entry in group} == {group.tag[:-1]}


def test_enclave_is_the_one_that_the_launch_file_names():
    enclave = {arg.get("name"): arg.get("default") for arg in LAUNCH.findall("arg")}["enclave"]
    assert POLICY.find("contexts/context").get("path") == enclave


def test_nothing_is_allowed_by_a_wildcard_and_every_name_is_absolute():
    for entry in (*POLICY.iter("topic"), *POLICY.iter("service")):
        assert entry.text.startswith("/") and not set(entry.text) & set("*?[]")


def test_inputs_are_those_of_the_launch_file():
    assert allowed("topics", "subscribe") == set(launched_topics().values()) | TRANSFORMS


class TestOnTheNode:
    """Against the graph as rclpy sees it."""

    @pytest.fixture
    def graph(self, worlds, tf2_messages):
        """Names of active nodes by what they do with them, as if each ran without a namespace."""
        ways = [{"output": "tracked", "tf": "map_odom"}, {"output": "per_frame"}, {"output": "likelihood"}]
        transports = ("raw", "compressed", "compressed")
        worlds_of = [
            worlds(camera_kind="pinhole", heading_source="imu", image_transport=transport, **way)
            for way, transport in zip(ways, transports, strict=True)
        ]
        for world in worlds_of:
            world.start()

        def names(kind):
            found = set()
            for world in worlds_of:
                listed = getattr(world.node, f"get_{kind}_names_and_types_by_node")("geodistill", world.namespace)
                found |= {name.removeprefix(world.namespace) for name, _ in listed}
            return found

        return names

    def test_node_publishes_what_is_allowed(self, graph):
        assert graph("publisher") | {"/rosout"} == allowed("topics", "publish")  # tests run without rosout

    def test_node_subscribes_what_is_allowed(self, graph):
        inputs = {f"/{name}": topic for name, topic in launched_topics().items()}
        subscribed = {inputs.get(name, name) for name in graph("subscriber")} - NEVER_ON_A_VEHICLE
        assert subscribed == allowed("topics", "subscribe")

    def test_node_serves_what_is_allowed(self, graph):
        assert graph("service") == allowed("services", "reply")

    def test_node_calls_nobody(self, graph):
        assert graph("client") == allowed("services", "request") == set()
