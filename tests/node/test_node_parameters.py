# SPDX-License-Identifier: Apache-2.0
"""The parameter table: legal defaults, a refusal for every illegal value, nearest names for unknown ones."""

import math
from pathlib import Path

import pytest
import yaml
from geodistill_ros.example_yaml import example_yaml
from geodistill_ros.parameters import (
    FIELDS,
    Change,
    NodeParameters,
    bounds_of,
    change_of,
    choices_of,
    validated,
)

from geodistill_core.errors import ConfigError

SHIPPED_YAML = Path(__file__).parents[2] / "launch" / "geodistill_bringup" / "config" / "localizer.yaml"


def illegal_values():
    """(name, value) for every parameter: of another type, off the list, beyond each limit, NaN."""
    for name, field in FIELDS.items():
        yield name, 7 if isinstance(field.default, (str, bool)) else "text"
        if choices_of(name):
            yield name, "nonsense"
        if bounds_of(name):
            low, high = bounds_of(name)
            step = 1 if isinstance(field.default, int) else 1e-3
            yield from ((name, low - step), (name, high + step))
            if isinstance(field.default, float):
                yield name, math.nan


ILLEGAL = list(illegal_values())


def test_every_parameter_has_an_illegal_value_in_the_table():
    assert {name for name, _ in ILLEGAL} == set(FIELDS)


def test_defaults_are_legal():
    assert validated(NodeParameters().model_dump()).model_dump_json() == NodeParameters().model_dump_json()


@pytest.mark.parametrize(("name", "value"), ILLEGAL)
def test_n35_model_refuses_an_illegal_value_and_names_it(name, value):
    with pytest.raises(ConfigError, match=name):
        validated({name: value})


@pytest.mark.parametrize(
    ("typo", "nearest"),
    [("mapp", "map"), ("camera_type", "camera_kind"), ("gnss_sigma_m", "gnss_default_sigma_m")],
)
def test_n36_unknown_name_is_refused_with_the_nearest_known_one(typo, nearest):
    with pytest.raises(ConfigError, match=f"unknown parameter '{typo}': did you mean '{nearest}'"):
        validated({typo: 1})


def test_half_a_datum_is_refused():
    with pytest.raises(ConfigError, match="both datum_latitude and datum_longitude"):
        validated({"datum_latitude": 48.0})


def test_example_yaml_loads_to_the_defaults():
    values = yaml.safe_load(example_yaml())["/**"]["ros__parameters"]
    assert list(values) == list(FIELDS)
    for name, field in FIELDS.items():
        same = values[name] == field.default
        assert same or (math.isnan(values[name]) and math.isnan(field.default)), name
        assert type(values[name]) is type(field.default), name


def test_shipped_yaml_is_the_generated_one():
    assert SHIPPED_YAML.read_text() == example_yaml(), (
        f"regenerate it: python -m geodistill_ros.example_yaml > {SHIPPED_YAML.name}"
    )


class TestOnTheNode:
    """The same table through rclpy."""

    @pytest.fixture(autouse=True)
    def _ros(self):
        pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

    def test_n35_illegal_overrides_are_refused_at_configure_until_set_right(self, worlds):
        from ros_world import CONFIGURE, FAST_PARAMETERS

        illegal = {name: value for name, value in ILLEGAL if change_of(name) is not Change.START}
        world = worlds(**illegal)
        assert not world.change(CONFIGURE)
        assert world.state() == "unconfigured"
        sentence = world.status()[1]["message"]
        for name in illegal:
            assert f"'{name}'" in sentence
            good = FAST_PARAMETERS.get(name, FIELDS[name].default)
            assert world.set_parameter(name, good).successful, name
        world.start()
        world.good_frame_gets_a_pose()

    def test_illegal_read_only_override_is_refused_at_configure(self, worlds):
        from ros_world import CONFIGURE

        world = worlds(autostart="maybe")
        assert not world.change(CONFIGURE)
        assert "'autostart'" in world.status()[1]["message"]

    def test_n36_unknown_override_is_refused_at_configure(self, worlds):
        from ros_world import CONFIGURE

        world = worlds(image_tranport="raw")
        assert not world.change(CONFIGURE)
        assert "did you mean 'image_transport'" in world.status()[1]["message"]

    def test_n35_illegal_change_is_refused_and_the_old_value_stays(self, worlds):
        world = worlds()
        for name, value in ILLEGAL:
            before = world.node.get_parameter(name).value
            answer = world.set_parameter(name, value)
            assert not answer.successful and answer.reason, (name, value)
            after = world.node.get_parameter(name).value
            assert after == before or (math.isnan(after) and math.isnan(before)), name

    def test_whole_number_serves_as_float_in_a_parameter_file(self, worlds):
        world = worlds(mount_z_m=3)
        world.start()
        assert world.node.get_parameter("mount_z_m").value == 3.0

    def test_structural_parameter_changes_only_while_unconfigured(self, worlds):
        world = worlds()
        assert world.set_parameter("camera_kind", "pinhole").successful
        world.start()
        answer = world.set_parameter("camera_kind", "panorama")
        assert not answer.successful and "cleanup" in answer.reason

    def test_live_parameter_takes_effect_at_the_next_image(self, worlds):
        from ros_world import compressed_image

        world = worlds()
        world.start()
        world.good_frame_gets_a_pose()
        assert world.set_parameter("max_image_age_s", 0.05).successful
        world.send(compressed_image(world.now_ns() - 200_000_000))
        world.wait_count("dropped.stale")

    def test_descriptors_carry_description_and_range(self, worlds):
        node = worlds().node
        for name in FIELDS:
            descriptor = node.describe_parameter(name)
            assert descriptor.description
            ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
            assert [(r.from_value, r.to_value) for r in ranges] == ([bounds_of(name)] if bounds_of(name) else [])
            assert descriptor.read_only == (change_of(name) is Change.START)
