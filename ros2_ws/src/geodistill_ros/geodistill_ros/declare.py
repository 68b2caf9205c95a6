# SPDX-License-Identifier: Apache-2.0
"""NodeParameters as ROS parameters: declaration, refusal of bad or unknown overrides, checked changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from geodistill_core.errors import ConfigError
from geodistill_ros.parameters import (
    FIELDS,
    Change,
    NodeParameters,
    bounds_of,
    change_of,
    checked_value,
    choices_of,
    unknown_name_text,
    validated,
)

# What rclpy itself declares on every node.
_ROS_NAMES = ("use_sim_time", "start_type_description_service")
_ROS_PREFIXES = ("qos_overrides.",)


def descriptor_of(name: str) -> ParameterDescriptor:
    """Description, range, choices and read-only flag of one parameter."""
    choices, limits = choices_of(name), bounds_of(name)
    descriptor = ParameterDescriptor(
        description=str(FIELDS[name].description),
        read_only=change_of(name) is Change.START,
        additional_constraints=f"One of: {', '.join(choices)}." if choices else "",
    )
    if limits and isinstance(FIELDS[name].default, int):
        descriptor.integer_range = [IntegerRange(from_value=int(limits[0]), to_value=int(limits[1]))]
    elif limits:
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(limits[0]), to_value=float(limits[1]))]
    return descriptor


class DeclaredParameters:
    """The live parameters of a node created with `automatically_declare_parameters_from_overrides=True`.

    A bad override never keeps the node from starting: the parameter takes its default, the problem is
    remembered and `settings()` refuses until a legal value is set, so that whoever configures it reads why.
    """

    def __init__(self, node: Node, is_unconfigured: Callable[[], bool]) -> None:
        self._is_unconfigured = is_unconfigured
        self._problems: dict[str, str] = {}
        self._values: dict[str, Any] = {name: field.default for name, field in FIELDS.items()}
        overrides = {name: p.value for name, p in node.get_parameters_by_prefix("").items()}
        for name, value in overrides.items():
            self._take_override(node, name, value)
        for name, value in self._values.items():
            node.declare_parameter(name, value, descriptor_of(name), ignore_override=True)
        self._current = NodeParameters.model_construct(**self._values)
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def settings(self) -> NodeParameters:
        """The values, checked together; raises ConfigError with every outstanding problem."""
        if self._problems:
            raise ConfigError("; ".join(self._problems.values()))
        return validated(self._values)

    def current(self) -> NodeParameters:
        """The values as they are now, each legal by itself, of those set together either all or none."""
        return self._current

    def _take_override(self, node: Node, name: str, value: Any) -> None:
        if name in _ROS_NAMES or name.startswith(_ROS_PREFIXES):
            return
        if name not in FIELDS:
            self._problems[name] = unknown_name_text(name)
            return
        node.undeclare_parameter(name)
        try:
            self._values[name] = checked_value(name, value)
        except ConfigError as error:
            self._problems[name] = str(error)

    def _check(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        for change in changes:
            if change.name not in FIELDS:
                continue
            if change_of(change.name) is Change.UNCONFIGURED and not self._is_unconfigured():
                return SetParametersResult(
                    successful=False,
                    reason=f"'{change.name}' may change only while unconfigured; run cleanup first",
                )
            try:
                checked_value(change.name, change.value)
            except ConfigError as error:
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, changes: list[Parameter[Any]]) -> None:
        for change in changes:
            if change.name in FIELDS:
                self._values[change.name] = checked_value(change.name, change.value)
                self._problems.pop(change.name, None)
        self._current = NodeParameters.model_construct(**self._values)
