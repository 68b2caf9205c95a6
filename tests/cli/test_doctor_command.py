# SPDX-License-Identifier: Apache-2.0
"""`geodistill doctor`: everything is looked at, a broken core is an error, absent extras are not."""

from __future__ import annotations

import json

import pytest

from geodistill_core.cli import checks
from geodistill_core.errors import CheckpointError
from geodistill_core.evaluation import ros


def by_name(report):
    return {check["name"]: check for check in report["checks"]}


def test_a_working_core_ends_with_0_and_names_versions(geodistill):
    ran = geodistill("doctor", "--json", "-")
    report = json.loads(ran.out)
    assert ran.code == 0 and report["core_works"] is True
    assert "torch" in by_name(report)["libraries"]["detail"]
    assert by_name(report)["geodistill"]["state"] == "ok"


def test_absent_ros_is_named_with_a_remedy_and_is_no_failure(geodistill, monkeypatch):
    monkeypatch.setattr(ros, "find_spec", lambda name: None)
    ran = geodistill("doctor", "--json", "-")
    found = by_name(json.loads(ran.out))["ROS 2"]
    assert ran.code == 0
    assert found["state"] == "absent" and "rclpy" in found["detail"] and "geodistill[ros]" in found["remedy"]


def test_a_missing_library_breaks_the_core(geodistill, monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == "pyproj" else object())
    ran = geodistill("doctor", "--json", "-")
    report = json.loads(ran.out)
    assert ran.code == 3 and report["core_works"] is False
    assert by_name(report)["libraries"]["remedy"] == "pip install pyproj"


def test_a_damaged_checkpoint_breaks_the_core(geodistill, monkeypatch):
    from geodistill_core.models import checkpoint

    def damaged(name):
        raise CheckpointError(f"{name} is damaged")

    monkeypatch.setattr(checkpoint, "shipped_checkpoints", lambda: ["tiny"])
    monkeypatch.setattr(checkpoint, "load_checkpoint", damaged)
    ran = geodistill("doctor", "--json", "-")
    assert ran.code == 3 and by_name(json.loads(ran.out))["checkpoints"]["state"] == "broken"


@pytest.mark.parametrize("variable", checks.PROFILE_VARIABLES)
@pytest.mark.parametrize(("value", "state"), [(None, "absent"), ("/nowhere.xml", "broken"), (__file__, "ok")])
def test_the_transport_profile_is_looked_for(monkeypatch, variable, value, state):
    for name in checks.PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv(variable, value)
    assert checks.check_profile().state == state


def test_the_table_ends_with_the_verdict(geodistill):
    assert geodistill("doctor").out.strip().endswith("The core works.")
