# SPDX-License-Identifier: Apache-2.0
"""The bring-up package as text: arguments, names, files; and the real `ros2 launch` where it is installed."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from geodistill_ros.parameters import FIELDS, change_of, checked_value, choices_of
from geodistill_ros.transport import FAST_DDS_2, FAST_DDS_3, PROFILE

ROOT = Path(__file__).parents[2]
BRINGUP = ROOT / "launch" / "geodistill_bringup"
NODE_PACKAGE = ROOT / "ros2_ws" / "src" / "geodistill_ros"
LAUNCH_FILES = sorted((BRINGUP / "launch").glob("*.launch.xml"))
INPUTS = {"image", "image/compressed", "camera_info", "fix", "imu", "odometry", "path", "initialpose"}


@pytest.fixture(params=LAUNCH_FILES, ids=lambda path: path.name)
def launch_file(request):
    return request.param


def arguments(path):
    return {arg.get("name"): arg for arg in ET.parse(path).getroot().findall("arg")}


def test_there_are_launch_files():
    assert {path.name for path in LAUNCH_FILES} == {
        "fusion.launch.xml",
        "fusion_gnss.launch.xml",
        "localization.launch.xml",
        "replay.launch.xml",
    }


def test_every_argument_is_described_and_used(launch_file):
    text = launch_file.read_text()
    for name, arg in arguments(launch_file).items():
        assert len(arg.get("description", "")) > 15, name
        assert f"$(var {name})" in text, f"{name} is declared and never used"
    assert set(re.findall(r"\$\(var (\w+)\)", text)) <= {
        *arguments(launch_file),
        *(let.get("name") for let in ET.parse(launch_file).getroot().iter("let")),
    }


def test_localization_offers_what_users_expect():
    expected = {
        *("map", "model", "image", "camera_info", "fix", "imu", "odometry"),
        *("namespace", "use_sim_time", "autostart", "log_level", "params_file", "datum", "runtime"),
    }
    assert expected <= set(arguments(BRINGUP / "launch/localization.launch.xml"))


def test_launched_parameters_are_known_and_choices_agree():
    path = BRINGUP / "launch/localization.launch.xml"
    node = next(n for n in ET.parse(path).getroot().iter("node") if n.get("pkg") == "geodistill_ros")
    assert (node.get("exec"), node.get("name")) == ("localizer", "geodistill")
    names = {param.get("name") for param in node.findall("param")} - {None, "use_sim_time"}
    assert names <= set(FIELDS)
    for name in names - {"datum_latitude", "datum_longitude"}:
        arg = arguments(path)[name]
        choices = tuple(choice.get("value") for choice in arg.findall("choice"))
        assert sorted(choices) == sorted(choices_of(name)), name
        if arg.get("default") is not None:
            assert checked_value(name, yaml.safe_load(arg.get("default"))) is not None


def test_remapped_names_are_the_nodes_inputs():
    path = BRINGUP / "launch/localization.launch.xml"
    node = next(n for n in ET.parse(path).getroot().iter("node") if n.get("pkg") == "geodistill_ros")
    assert {remap.get("from") for remap in node.findall("remap")} == INPUTS
    code = (NODE_PACKAGE / "geodistill_ros/lifecycle_node.py").read_text()
    assert all(f'"{name}"' in code for name in INPUTS)


def test_included_launch_file_knows_the_arguments_it_is_given(launch_file):
    for include in ET.parse(launch_file).getroot().iter("include"):
        target = BRINGUP / include.get("file").replace("$(find-pkg-share geodistill_bringup)/", "")
        assert {arg.get("name") for arg in include.findall("arg")} <= set(arguments(target))


def test_files_that_are_named_exist_and_are_installed(launch_file):
    for package, name in re.findall(r"\$\(find-pkg-share (\w+)\)/([\w./-]+)", launch_file.read_text()):
        folder = {"geodistill_bringup": BRINGUP, "geodistill_ros": PROFILE.parents[1]}[package]
        assert (folder / name).is_file(), name
        setup = ({"geodistill_bringup": BRINGUP, "geodistill_ros": NODE_PACKAGE}[package] / "setup.py").read_text()
        assert f'"{Path(name).parent}"' in setup or name in setup


def test_users_dds_profile_wins_and_each_fast_dds_gets_its_variable():
    root = ET.parse(BRINGUP / "launch/localization.launch.xml").getroot()
    profile = next(let for let in root.iter("let") if let.get("name") == "dds_profile").get("value")
    assert profile.startswith(f"$(env {FAST_DDS_3} $(env {FAST_DDS_2} ")
    set_env = {e.get("name"): e for e in root.iter("set_env")}
    assert "jazzy" in set_env[FAST_DDS_2].get("if") and "jazzy" in set_env[FAST_DDS_3].get("unless")


@pytest.mark.parametrize("name", ["localizer.yaml", "replay.yaml"])
def test_parameter_files_hold_legal_values(name):
    values = yaml.safe_load((BRINGUP / "config" / name).read_text())["/**"]["ros__parameters"]
    for name, value in values.items():
        checked_value(name, value)
        assert change_of(name)


def test_layouts_show_topics_that_the_node_publishes():
    outputs = ("pose", "fix", "odometry", "state", "datum", "overlay", "heatmap")
    published = {f"/geodistill/{name}" for name in outputs} | {"/diagnostics"}
    layout = json.loads((BRINGUP / "foxglove/localization.json").read_text())
    text = json.dumps(layout)
    assert set(re.findall(r"/geodistill/\w+", text)) <= published
    panels = set(re.findall(r'"(\w+!\w+)"', json.dumps(layout["layout"])))
    assert panels == set(layout["configById"])
    rviz = yaml.safe_load((BRINGUP / "rviz/localization.rviz").read_text())
    topics = {d["Topic"]["Value"] for d in rviz["Visualization Manager"]["Displays"] if "Topic" in d}
    assert topics and topics <= published


@pytest.mark.parametrize("package", [BRINGUP, NODE_PACKAGE], ids=lambda path: path.name)
def test_package_manifest_names_its_build_and_what_it_launches(package):
    root = ET.parse(package / "package.xml").getroot()
    assert root.get("format") == "3"
    assert root.findtext("name") == package.name
    assert root.find("export").findtext("build_type") == "ament_python"
    assert (package / "resource" / package.name).is_file()
    depends = {d.text for d in root.findall("exec_depend")}
    for file in (package / "launch").glob("*.xml"):
        launched = {n.get("pkg") for n in ET.parse(file).getroot().iter("node")}
        assert launched <= depends
    if package is NODE_PACKAGE:
        used = set(re.findall(r"^(?:from|import) (\w+_msgs|\w+_interfaces|rclpy|std_srvs)", sources(), re.M))
        assert "rclpy" in used and used <= depends


def sources():
    return "\n".join(path.read_text() for path in (NODE_PACKAGE / "geodistill_ros").rglob("*.py"))


def test_fast_dds_profile_has_room_for_images():
    names = {"dds": "http://www.eprosima.com"}
    root = ET.parse(PROFILE).getroot()
    sizes = [int(e.text) for e in root.iterfind(".//dds:segment_size", names)]
    buffers = [int(e.text) for e in root.iterfind(".//dds:receiveBufferSize", names)]
    assert min(sizes) >= 32 * 2**20 and min(buffers) >= 4 * 2**20
    described = {e.text for e in root.iterfind(".//dds:transport_descriptor/dds:transport_id", names)}
    used = {e.text for e in root.iterfind(".//dds:userTransports/dds:transport_id", names)}
    assert described == used


@pytest.mark.skipif(shutil.which("ros2") is None, reason="`ros2 launch` is not installed (no wheel has it)")
def test_ros2_launch_reads_the_file(launch_file):
    shown = subprocess.run(
        ["ros2", "launch", str(launch_file), "--show-args"], capture_output=True, text=True, timeout=60
    )
    assert shown.returncode == 0, shown.stderr
    assert all(f"'{name}'" in shown.stdout for name in arguments(launch_file))
