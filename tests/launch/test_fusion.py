# SPDX-License-Identifier: Apache-2.0
"""fusion.launch.xml and its parameters: what reaches which filter, in which frame, and that nothing counts twice."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from geodistill_ros.parameters import NodeParameters

BRINGUP = Path(__file__).parents[2] / "launch" / "geodistill_bringup"
FILE = BRINGUP / "config" / "fusion.yaml"
LAUNCH = ET.parse(BRINGUP / "launch" / "fusion.launch.xml").getroot()
WITH_GNSS = BRINGUP / "config" / "fusion_gnss.yaml", ET.parse(BRINGUP / "launch" / "fusion_gnss.launch.xml").getroot()
STATE = ["x", "y", "z", "roll", "pitch", "yaw", "vx", "vy", "vz", "vroll", "vpitch", "vyaw", "ax", "ay", "az"]


def filters(launch=LAUNCH):
    return {node.get("name"): node for node in launch.iter("node")}


def parameters(name, path=FILE, launch=LAUNCH):
    """What a filter gets: from the file, then from the launch file."""
    file = yaml.safe_load(path.read_text())
    values = file["/**"]["ros__parameters"] | file[f"/**/{name}"]["ros__parameters"]
    params = filters(launch)[name].findall("param")
    return values | {param.get("name"): param.get("value") for param in params if param.get("name")}


def included(launch):
    """What the localizer's launch file is given."""
    return {arg.get("name"): arg.get("value") for include in launch.iter("include") for arg in include.findall("arg")}


def fused(values, source):
    return {name for name, taken in zip(STATE, values[f"{source}_config"], strict=True) if taken}


def test_one_filter_for_odom_and_one_for_map():
    assert set(filters()) == {"ekf_odom", "ekf_map"}
    for name, node in filters().items():
        assert (node.get("pkg"), node.get("exec")) == ("robot_localization", "ekf_node")
        assert parameters(name)["world_frame"] == name.removeprefix("ekf_")


@pytest.mark.parametrize("name", ["ekf_odom", "ekf_map"])
def test_frames_are_those_of_the_localizer(name):
    values, node = parameters(name), NodeParameters()
    assert (values["map_frame"], values["base_link_frame"]) == (node.map_frame, node.base_frame)
    assert values["odom_frame"] == "odom" and values["publish_tf"] is True


@pytest.mark.parametrize("name", ["ekf_odom", "ekf_map"])
def test_wheels_and_gyroscope_give_rates_only(name):
    values = parameters(name)
    assert fused(values, "odom0") == {"vx", "vy", "vyaw"} and fused(values, "imu0") == {"vyaw"}
    assert (values["odom0"], values["imu0"]) == ("$(var odometry)", "$(var imu)")


def test_only_the_map_filter_hears_the_localizer_and_takes_what_it_measures():
    assert "pose0" not in parameters("ekf_odom")
    values = parameters("ekf_map")
    assert values["pose0"] == "geodistill/pose"
    assert fused(values, "pose0") == {"x", "y", "yaw"}


def test_position_and_heading_reach_the_map_filter_once():
    values = parameters("ekf_map")
    sources = [key.removesuffix("_config") for key in values if key.endswith("_config")]
    taken = [state for source in sources for state in fused(values, source)]
    assert sorted(state for state in taken if state in ("x", "y", "yaw")) == ["x", "y", "yaw"]


def test_first_answer_is_inside_the_rejection_gate_wherever_the_datum_is():
    values = parameters("ekf_map")
    variances = dict(zip(STATE, values["initial_estimate_covariance"], strict=True))
    gate = values["pose0_rejection_threshold"]
    assert gate * variances["x"] ** 0.5 >= 5_000 and gate * variances["y"] ** 0.5 >= 5_000  # metres from the datum
    assert gate * variances["yaw"] ** 0.5 > 3.15


def test_filters_do_not_share_an_output():
    outputs = [remap.get("to") for node in filters().values() for remap in node.findall("remap")]
    assert sorted(outputs) == ["odometry/global", "odometry/local"]


def test_localizer_answers_what_each_filter_is_made_for_and_broadcasts_nothing_beside_it():
    assert (included(LAUNCH)["output"], included(LAUNCH)["tf"]) == ("tracked", "none")
    assert (included(WITH_GNSS[1])["output"], included(WITH_GNSS[1])["tf"]) == ("likelihood", "none")


def test_history_reaches_back_to_the_oldest_answer():
    for path, launch in ((FILE, LAUNCH), WITH_GNSS):
        values, node = parameters("ekf_map", path, launch), NodeParameters()
        assert values["smooth_lagged_data"] is True
        assert values["history_length"] >= node.max_image_age_s + 0.5


def test_filter_with_the_gnss_takes_the_images_likelihood_and_each_other_source_once():
    values = parameters("ekf_map", *WITH_GNSS)
    assert (values["pose0"], values["odom1"]) == ("geodistill/likelihood", "odometry/gps")
    assert fused(values, "pose0") == {"x", "y", "yaw"} and fused(values, "odom1") == {"x", "y"}
    assert fused(values, "imu0") == {"yaw", "vyaw"} and fused(values, "odom0") == {"vx", "vy", "vyaw"}
    assert fused(parameters("ekf_odom", *WITH_GNSS), "imu0") == {"vyaw"}


def test_gnss_comes_to_the_filter_on_the_plane_of_the_map_frame():
    values = parameters("navsat_transform", *WITH_GNSS)
    assert values["use_local_cartesian"] is True and values["wait_for_datum"] is True
    assert values["datum"] == "[$(var datum), 0.0]" and included(WITH_GNSS[1])["datum"] == "$(var datum)"
    assert values["broadcast_cartesian_transform"] is False
    remaps = {remap.get("from"): remap.get("to") for remap in filters(WITH_GNSS[1])["navsat_transform"].iter("remap")}
    assert remaps == {"gps/fix": "$(var fix)", "imu": "$(var imu)", "odometry/filtered": "odometry/global"}
    outputs = {name: node.find("remap").get("to") for name, node in filters(WITH_GNSS[1]).items() if "ekf" in name}
    assert outputs == {"ekf_odom": "odometry/local", "ekf_map": "odometry/global"}


def test_rcl_gives_each_node_its_section(tmp_path):
    """The real parser of parameter files, in a process because a node's arguments are the process's."""
    pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")
    program = (
        "import rclpy, sys\n"
        "rclpy.init(args=sys.argv)\n"
        "for name in ('ekf_odom', 'ekf_map'):\n"
        "    node = rclpy.create_node(name, namespace='/v1', automatically_declare_parameters_from_overrides=True)\n"
        "    print(name, node.get_parameter('world_frame').value, node.has_parameter('pose0_config'))\n"
    )
    arguments = ["--ros-args", "--params-file", str(FILE)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"ROS_LOG_DIR": str(tmp_path)},
    )
    assert done.stdout.splitlines() == ["ekf_odom odom False", "ekf_map map True"]
