# SPDX-License-Identifier: Apache-2.0
"""The reference pages say what the code does: every reason, every key, every parameter, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from geodistill_ros.conditions import CONDITIONS, ERROR, WARN, Health, judge
from geodistill_ros.parameters import FIELDS
from geodistill_ros.reference import PAGES
from geodistill_ros.vocabulary import DROPPED, KEYS, key_pattern

from geodistill_core.bags.images import ImageReason
from geodistill_core.localization.readings import GapReason

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ros2_ws/src/geodistill_ros/geodistill_ros"


def source(*names):
    return "\n".join((PACKAGE / name).read_text() for name in names)


def reasons_in_code():
    """Everything that may stand behind `dropped.`: literals of the node, and the core's enumerations."""
    found = set(re.findall(r'"dropped\.(\w+)"', source("session.py", "pipeline.py")))
    found |= set(
        re.findall(r'FrameError\("(\w+)"', source("pipeline.py", "camera.py", "conversions.py", "tracking.py"))
    )
    found |= set(re.findall(r'\("(\w+)", (?:_NONE_YET|str\(error\))\)', source("camera.py")))
    found |= set(re.findall(r'Error, "(\w+)"\)', source("pipeline.py")))
    found |= set(re.findall(r'return "(\w+)"', source("stamps.py", "pipeline.py")))
    return found | {str(reason) for reason in (*ImageReason, *GapReason)}


def test_every_reason_of_a_dropped_image_is_explained_and_no_other():
    assert set(DROPPED) == reasons_in_code()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_of_the_docs_is_the_generated_one(name):
    page = ROOT / "docs" / f"{name}.md"
    assert page.read_text() == PAGES[name](), (
        f"regenerate it: python -m geodistill_ros.reference {name} > docs/{name}.md"
    )


def test_parameters_page_has_a_row_for_every_parameter():
    rows = re.findall(r"^\| `(\w+)` \|", PAGES["parameters"](), re.MULTILINE)
    assert rows == list(FIELDS)


def test_diagnostics_page_has_every_condition_reason_and_key():
    page = PAGES["diagnostics"]()
    assert all(condition.when in page and condition.remedy in page for condition in CONDITIONS)
    assert all(f"| `{name}` |" in page for name in (*DROPPED, *KEYS))


def test_tables_are_tables():
    for page in PAGES.values():
        for block in page().split("\n\n"):
            if block.startswith("|"):
                assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1


TROUBLES = [
    {"refusal": "configure refused"},
    {"state": "inactive"},
    {"inference_running_s": 6.0},
    {"failures_in_a_row": 5},
    {"track_trouble": "track is lost: no image", "track_lost": True},
    {"other_authority": "another node places 'odom'"},
    {"unsupported_image": "image encoding 'bayer_xyz' is not one of rgb8"},
    {"camera_trouble": "focal length 0"},
    {"image_age_s": 3.1},
    {"image_age_s": 1.1},
    {"frozen_s": 1.1},
    {"fix_age_s": 2.1},
    {"answer_age_s": 3.1},
    {"suspect": "GNSS and image disagree"},
    {"track_trouble": "track is degraded: no GNSS fix for 2.1 s"},
    {"mount_trouble": "camera height 2.40 m does not fit what the images show"},
    {"debug_trouble": "saving frames is switched off"},
    {"map_trouble": "map service offline"},
    {"runtime_trouble": "the network runs on plain torch"},
    {"sigma_stated": False},
    {"calibrated": False},
]


def test_each_condition_speaks_alone_with_its_own_level():
    fine = {"state": "active", "image_age_s": 0.0, "fix_age_s": 0.0, "answer_age_s": 0.0}
    assert judge(Health(**fine)) == (0, "localizing")
    assert len(TROUBLES) == len(CONDITIONS)
    for condition, trouble in zip(CONDITIONS, TROUBLES, strict=True):
        assert condition.level in (WARN, ERROR)
        health = Health(**(fine | trouble))
        assert condition.sentence(health)
        assert judge(health) == (condition.level, condition.sentence(health))


class TestOnTheNode:
    """Keys as a running node publishes them."""

    @pytest.fixture(autouse=True)
    def _ros(self):
        pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

    def test_every_published_key_is_explained(self, world):
        from ros_world import compressed_image

        world.start()
        world.good_frame_gets_a_pose()
        world.send(compressed_image(1))
        world.wait_count("dropped.stale")
        published = set(world.status()[1]["values"])
        assert len(published) >= 15
        assert {key for key in published if key_pattern(key) is None} == set()

    def test_every_key_of_a_track_is_explained(self, drive):
        published = set(drive.status()[1]["values"])
        assert {"track.state", "track.cause", "track.since_s", "track.suspect", "track.gnss_share"} <= published
        assert {key for key in published if key_pattern(key) is None} == set()

    def test_keys_of_the_real_engine_and_of_map_services_are_explained(self):
        files = ("engine", "health", "map_ahead", "session", "sensors", "lifecycle_node", "tracking", "transforms")
        code = source(*(f"{name}.py" for name in (*files, "debug_frames", "mount", "mounting")))
        kinds = "map|mount|gnss|images|age_s|latency_ms|path|clock|track|tf|debug"
        named = set(re.findall(rf'"((?:{kinds})\.\w+)"', code))
        facts = set(re.findall(r'^        "(\w+)": ', source("engine.py"), re.MULTILINE))
        assert named and facts
        assert {key for key in named | facts if key_pattern(key) is None} == set()
