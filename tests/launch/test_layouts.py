# SPDX-License-Identifier: Apache-2.0
"""Foxglove layouts and RViz configurations against what the node publishes and what recordings really hold."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
import yaml
from rosbags.highlevel import AnyReader

from geodistill_core.bags.synth import write_synth_drive
from geodistill_core.datasets.synthcity import SMALL_PANORAMA_RIG
from geodistill_core.evaluation.replay import ReplayPlan, replay_drive
from geodistill_core.models import build
from geodistill_core.models.checkpoint import save_checkpoint

ROOT = Path(__file__).parents[2]
BRINGUP = ROOT / "launch" / "geodistill_bringup"
PUBLISHERS = ROOT / "ros2_ws/src/geodistill_ros/geodistill_ros/publishers.py"
LAYOUTS = sorted((BRINGUP / "foxglove").glob("*.json"))
CONFIGS = sorted((BRINGUP / "rviz").glob("*.rviz"))

IMAGES = {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"}
POSES = {"geometry_msgs/msg/PoseStamped", "geometry_msgs/msg/PoseWithCovarianceStamped"}
GRID = "nav_msgs/msg/OccupancyGrid"
ODOMETRY, TEXT = "nav_msgs/msg/Odometry", "std_msgs/msg/String"
# panels and their settings as Foxglove's published layout types (SDK 0.30) and Studio 1.48 name them
SCENE = {"scene", "transforms", "layers", "topics", "fixedFrame", "followTf", "followMode", "cameraState", "publish"}
PANELS = {
    "map": {"layer", "zoomLevel", "followTopic", "disabledTopics", "topicColors", "customTileUrl", "maxNativeZoom"},
    "Image": {"imageMode"},
    "3D": SCENE,
    "Plot": {"title", "paths", "showLegend", "legendDisplay", "isSynced", "xAxisVal"},
    "StateTransitions": {"paths", "isSynced"},
    "DiagnosticSummary": {"minLevel", "pinnedIds", "hardwareIdFilter", "topicToRender", "sortByLevel"},
}
TOPIC_SETTINGS = {"visible", "type", "arrowScale", "color", "showCovariance", "covarianceColor", "colorMode", "alpha"}
# displays of rviz_default_plugins: the messages they take, and their properties
TOPIC_PROPERTIES = {"Value", "Depth", "History Policy", "Reliability Policy", "Durability Policy", "Filter size"}
ARROW = {"Alpha", "Color", "Shape", "Shaft Length", "Shaft Radius", "Head Length", "Head Radius"}
DISPLAYS = {
    "Grid": (set(), {"Cell Size", "Plane Cell Count", "Reference Frame", "Color", "Alpha"}),
    "Map": ({GRID}, {"Alpha", "Color Scheme", "Draw Behind", "Update Topic"}),
    "Pose": ({"geometry_msgs/msg/PoseStamped"}, ARROW),
    "Odometry": ({ODOMETRY}, {*ARROW, "Covariance", "Keep", "Position Tolerance", "Angle Tolerance"}),
    "PoseWithCovariance": ({"geometry_msgs/msg/PoseWithCovarianceStamped"}, {*ARROW, "Covariance"}),
    "Image": (IMAGES, {"Normalize Range", "Min Value", "Max Value", "Median window"}),
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Topics of a drive and of its replay, with type and first message each."""
    folder = tmp_path_factory.mktemp("recorded")
    drive = write_synth_drive(
        folder, "midtown", 20_000, "easy", 2, frame_rate_hz=2.0, rig=SMALL_PANORAMA_RIG, size_m=320.0
    )
    torch.manual_seed(0)
    description = {
        "name": "untrained", "architecture": "tiny", "arguments": {"widths": (8, 8, 8, 8)}, "inputs": {},
        "metres_per_pixel": 0.25, "preprocessing": "none", "training": {}, "calibration": None, "licence": "MIT",
    }  # fmt: skip
    save_checkpoint(folder / "untrained", build("tiny", widths=(8, 8, 8, 8)), description)
    replay_drive(drive.bag, folder / "run", ReplayPlan(model=str(folder / "untrained")))
    found = {}
    for bag in (drive.bag, folder / "run" / "results.mcap"):
        with AnyReader([bag]) as reader:
            for connection, _, raw in reader.messages():
                if connection.topic not in found:
                    message = reader.deserialize(raw, connection.msgtype)
                    found[connection.topic] = (connection.msgtype, message)
    return found


@pytest.fixture
def types(request, recorded):
    """Types by topic: what the live node's files may show, or what those for recordings may."""
    shown = {topic: msgtype for topic, (msgtype, _) in recorded.items()}
    if "localization" not in request.node.callspec.id:
        return shown
    code = PUBLISHERS.read_text()
    package = {name: module for module, names in re.findall(r"from (\w+)\.msg import ([\w, ]+)", code)
               for name in names.split(", ")}  # fmt: skip
    live = {f"/geodistill/{topic}": f"{package[name]}/msg/{name}"
            for name, topic in re.findall(r'self\._make\((\w+), "~/(\w+)"', code)}  # fmt: skip
    inputs = {topic: msgtype for topic, msgtype in shown.items() if not topic.startswith("/geodistill/")}
    assert len(live) >= 5
    return inputs | live | {"/diagnostics": "diagnostic_msgs/msg/DiagnosticArray"}


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def panels(layout):
    return [(name.partition("!")[0], settings) for name, settings in layout["configById"].items()]


def named_fields(settings):
    """Topic, dot and field of each path of a panel."""
    return [line["value"].partition(".") for line in settings["paths"]]


def leaves(tree):
    """Panels of a layout's tree, from left to right."""
    if isinstance(tree, str):
        return [tree]
    assert set(tree) == {"direction", "first", "second", "splitPercentage"}
    assert tree["direction"] in ("row", "column") and 0 < tree["splitPercentage"] < 100
    return [*leaves(tree["first"]), *leaves(tree["second"])]


def test_there_is_one_for_the_live_node_and_one_for_recordings():
    assert [path.stem for path in LAYOUTS] == [path.stem for path in CONFIGS] == ["localization", "results"]


@each(LAYOUTS)
def test_a_layout_is_one_that_foxglove_imports(path):
    layout = json.loads(path.read_text())
    assert set(layout) == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}
    assert sorted(leaves(layout["layout"])) == sorted(layout["configById"])
    for kind, settings in panels(layout):
        assert set(settings) <= PANELS[kind], kind
        for topic in settings.get("topics", {}).values():
            assert set(topic) <= TOPIC_SETTINGS


@each(LAYOUTS)
def test_every_panel_shows_topics_of_a_type_that_it_can_show(path, types):
    for kind, settings in panels(json.loads(path.read_text())):
        if kind == "map":
            named = [settings["followTopic"], *settings["disabledTopics"], *settings["topicColors"]]
            assert {types[topic] for topic in named} == {"sensor_msgs/msg/NavSatFix"}
        elif kind == "Image":
            assert types[settings["imageMode"]["imageTopic"]] in IMAGES
        elif kind == "3D":
            assert {types[topic] for topic in settings["topics"]} <= {*POSES, GRID, ODOMETRY}
        elif kind == "DiagnosticSummary":
            assert types[settings["topicToRender"]] == "diagnostic_msgs/msg/DiagnosticArray"
        elif kind == "StateTransitions":
            assert {(types[topic], field) for topic, _, field in named_fields(settings)} == {(TEXT, "data")}
        else:
            assert {types[topic] for topic, _, _ in named_fields(settings)} <= POSES


@each(LAYOUTS)
def test_every_plotted_path_leads_to_a_number(path, recorded):
    paths = [line["value"] for kind, settings in panels(json.loads(path.read_text())) if kind == "Plot"
             for line in settings["paths"]]  # fmt: skip
    assert len(paths) >= 2
    for plotted in paths:
        topic, fields, function = re.fullmatch(r"(/[\w/]+)((?:\.\w+(?:\[\d+\])?)+)(?:\.@(\w+))?", plotted).groups()
        value = recorded[topic][1]
        for name, index in re.findall(r"\.(\w+)(?:\[(\d+)\])?", fields):
            value = getattr(value, name)
            value = value[int(index)] if index else value
        assert math.isfinite(getattr(math, function)(value) if function else value), plotted


def frames_of(recorded):
    """Frames of the recordings that a viewer knows."""
    moved = [moved for topic in ("/tf", "/tf_static") for moved in recorded[topic][1].transforms]
    return {name for one in moved for name in (one.header.frame_id, one.child_frame_id)}


@each(LAYOUTS)
def test_the_frames_of_the_3d_panel_exist(path, recorded):
    (world,) = (settings for kind, settings in panels(json.loads(path.read_text())) if kind == "3D")
    assert world["fixedFrame"] == recorded["/geodistill/pose"][1].header.frame_id
    assert world["followTf"] in frames_of(recorded)
    assert {layer["frameId"] for layer in world["layers"].values()} == {world["fixedFrame"]}


@each(CONFIGS)
def test_rviz_displays_have_known_properties_and_topics_of_their_type(path, types):
    manager = yaml.safe_load(path.read_text())["Visualization Manager"]
    shown = 0
    for display in manager["Displays"]:
        messages, properties = DISPLAYS[display["Class"].removeprefix("rviz_default_plugins/")]
        assert set(display) <= {"Class", "Name", "Enabled", "Value", *properties, *(["Topic"] if messages else [])}
        if messages:
            shown += 1
            assert set(display["Topic"]) <= TOPIC_PROPERTIES
            assert types[display["Topic"]["Value"]] in messages, display["Name"]
    assert shown >= 3


@each(CONFIGS)
def test_rviz_looks_from_above_at_a_frame_that_exists(path, recorded):
    manager = yaml.safe_load(path.read_text())["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == recorded["/geodistill/pose"][1].header.frame_id
    view = manager["Views"]["Current"]
    assert view["Class"] == "rviz_default_plugins/TopDownOrtho"
    assert view.get("Target Frame", "map") in frames_of(recorded)
