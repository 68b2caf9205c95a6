# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: one validated model that ROS descriptors and YAML derive from."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo

from geodistill_core.errors import ConfigError
from geodistill_ros.fields import Change
from geodistill_ros.input_parameters import InputParameters
from geodistill_ros.output_parameters import OutputParameters

__all__ = ["FIELDS", "Change", "NodeParameters", "bounds_of", "change_of", "checked_value", "choices_of", "validated"]


class NodeParameters(OutputParameters, InputParameters):
    """Every parameter of the node `geodistill`; strict types, ranges and cross-field rules."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    @model_validator(mode="after")
    def _check_datum(self) -> NodeParameters:
        latitude, longitude = self.datum_latitude, self.datum_longitude
        if math.isnan(latitude) and math.isnan(longitude):
            return self
        if not (math.isfinite(latitude) and math.isfinite(longitude)):
            raise ValueError("set both datum_latitude and datum_longitude, or neither")
        if abs(latitude) > 90.0 or abs(longitude) > 180.0:
            raise ValueError(f"datum {latitude}, {longitude} is outside -90..90, -180..180 degrees")
        return self

    @model_validator(mode="after")
    def _check_frames(self) -> NodeParameters:
        frames = {self.base_frame, self.odom_frame, self.map_frame}
        if len(frames) < 3 or "" in frames:
            raise ValueError("base_frame, odom_frame and map_frame must be three different, non-empty names")
        return self

    @model_validator(mode="after")
    def _check_tf(self) -> NodeParameters:
        if self.tf != "none" and self.output == "likelihood":
            raise ValueError("tf needs a pose, which output 'likelihood' has none of; the filter broadcasts it")
        return self


FIELDS: dict[str, FieldInfo] = NodeParameters.model_fields


def change_of(name: str) -> Change:
    """When the parameter `name` may be set."""
    extra = FIELDS[name].json_schema_extra
    assert isinstance(extra, dict)
    return Change(extra["change"])


def bounds_of(name: str) -> tuple[float, float] | None:
    """Inclusive (lowest, highest) value, or None for a parameter without a range."""
    low = next((m.ge for m in FIELDS[name].metadata if hasattr(m, "ge")), None)
    high = next((m.le for m in FIELDS[name].metadata if hasattr(m, "le")), None)
    return None if low is None or high is None else (low, high)


def choices_of(name: str) -> tuple[str, ...]:
    """The legal words of an enumeration, () for any other parameter."""
    return get_args(FIELDS[name].annotation)


def checked_value(name: str, value: Any) -> Any:
    """One value in the parameter's own type (an integer may stand for a float); raises ConfigError."""
    field = FIELDS[name]
    annotated: Any = Annotated[(field.annotation, field.description, *field.metadata)]
    adapter: TypeAdapter[Any] = TypeAdapter(annotated, config=ConfigDict(strict=True))
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"parameter '{name}' = {value!r}: {error.errors()[0]['msg']}") from None


def validated(values: Mapping[str, Any]) -> NodeParameters:
    """Values by name to parameters; raises ConfigError naming parameter, value and limit."""
    try:
        return NodeParameters.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(problem) for problem in error.errors())) from None


def unknown_name_text(name: str, known: Iterable[str] = tuple(FIELDS)) -> str:
    """One sentence that refuses the parameter `name` and offers the nearest known one."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    remedy = f"did you mean '{near[0]}'?" if near else "remove it; `ros2 param list` shows the known ones."
    return f"unknown parameter '{name}': {remedy}"


def _sentence(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return unknown_name_text(where)
    text = str(problem["msg"]).removeprefix("Value error, ")
    return f"parameter '{where}' = {problem['input']!r}: {text}" if where else text
