#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for programs that a test machine lacks: refuses a command whose files, arguments or names do not exist.

Called with the name of what it stands in for (`ros2`, `sudo`, `pip`) and its arguments.
"""

import os
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "geodistill_bringup": ROOT / "launch/geodistill_bringup",
    "geodistill_ros": ROOT / "ros2_ws/src/geodistill_ros/geodistill_ros",
}
LAUNCH = PACKAGES["geodistill_bringup"] / "launch"
POLICY = ET.parse(PACKAGES["geodistill_bringup"] / "security/policy.xml").getroot()
TRANSITIONS = {"configure", "activate", "deactivate", "cleanup", "shutdown"}


class RefusedError(Exception):
    """The command would not work."""


def need(condition, text):
    if not condition:
        raise RefusedError(text)


def names(kind):
    return {entry.text for entry in POLICY.iter(kind)}


def launch_arguments(name):
    """Arguments of a launch file and of those that it includes, with their choices."""
    root = ET.parse(LAUNCH / name).getroot()
    known = {arg.get("name"): {choice.get("value") for choice in arg.findall("choice")} for arg in root.findall("arg")}
    for include in root.iter("include"):
        known = launch_arguments(Path(include.get("file")).name) | known
    return known


def launch(package, name, *arguments):
    need(package in PACKAGES and (LAUNCH / name).is_file(), f"no launch file {name} in {package}")
    known = launch_arguments(name)
    for argument in arguments:
        if argument == "--show-args":
            continue
        key, separator, value = argument.partition(":=")
        need(separator and key in known, f"{name} has no argument {argument!r}")
        need(not known[key] or value in known[key], f"{key} is one of {known[key]}")
        need(key not in ("map", "bag", "params_file") or Path(value).exists(), f"{value} does not exist")
    need("map" in "".join(arguments) or "--show-args" in arguments, f"{name} needs map:=")


def topic(verb, *rest):
    need(verb in ("echo", "hz"), f"ros2 topic {verb}")
    need(rest[-1] in names("topic"), f"nobody publishes {rest[-1]}")


def service(verb, name, kind):
    need((verb, kind) == ("call", "std_srvs/srv/Trigger") and name in names("service"), f"no service {name}")


def param(verb, node, name, *value):
    import yaml
    from geodistill_ros.parameters import FIELDS, checked_value

    need(verb in ("get", "set") and node == "/geodistill" and name in FIELDS, f"no parameter {name} of {node}")
    if verb == "set":
        checked_value(name, yaml.safe_load(value[0]))


def lifecycle(verb, node, transition):
    need((verb, node) == ("set", "/geodistill") and transition in TRANSITIONS, f"no transition {transition}")


def bag(verb, *rest):
    topics = [word for word in rest if word.startswith("/")]
    need(verb == "record" and topics and set(topics) <= names("topic"), f"the node reads none of {topics}")


def security(verb, *rest):
    need(verb in ("create_keystore", "generate_artifacts"), f"ros2 security {verb}")
    if verb == "generate_artifacts":
        options = dict(zip(rest[::2], rest[1::2], strict=True))
        need(set(options) == {"-k", "-p"} and Path(options["-p"]).is_file(), f"no policy {options}")


def pkg(verb, *rest):
    need(verb == "prefix" and rest[0] == "--share" and rest[1] in PACKAGES, f"ros2 pkg {verb} {rest}")
    print(PACKAGES[rest[1]])


def ros2(verb, *rest):
    verbs = {
        "launch": launch, "topic": topic, "service": service, "param": param, "lifecycle": lifecycle,
        "bag": bag, "security": security, "pkg": pkg,
    }  # fmt: skip
    need(verb in verbs, f"ros2 {verb}")
    verbs[verb](*rest)


def sudo(program, *rest):
    need(program == "apt-get" and rest[0] in ("update", "install"), f"sudo {program}")
    folders = (ROOT / "launch/geodistill_bringup", ROOT / "ros2_ws/src/geodistill_ros")
    manifests = "".join((folder / "package.xml").read_text() for folder in folders)
    for package in rest[2:]:
        ours = re.fullmatch(rf"ros-{os.environ['ROS_DISTRO']}-([\w-]+)", package)
        needed = ours and f">{ours[1].replace('-', '_')}<" in manifests
        need(needed or package in ("python3-venv", "python3-colcon-common-extensions"), f"nothing needs {package}")


def pip(verb, *what):
    need(verb == "install", f"pip {verb}")
    for extra in re.findall(r"\[(\w+)\]", " ".join(what)):
        need(re.search(rf"^{extra} = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE), f"no extra {extra}")


if __name__ == "__main__":
    try:
        globals()[Path(sys.argv[1]).name](*sys.argv[2:])
    except Exception as error:
        sys.exit(f"{' '.join(sys.argv[1:])}: {type(error).__name__}: {error}")
