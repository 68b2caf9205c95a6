# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: one validated model that ROS descriptors and YAML derive from."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo

from geodistill_core.errors import ConfigError
from geodistill_core.types import DEFAULT_CAMERA_HEIGHT_M, MAX_SIGMA_HEIGHT_M


class Change(str, Enum):
    """When a parameter may be set: at process start, while the node is unconfigured, or at any time."""

    START = "start"
    UNCONFIGURED = "unconfigured"
    ANY = "any"


def _parameter(
    default: Any,
    description: str,
    *,
    change: Change = Change.UNCONFIGURED,
    ge: float | None = None,
    le: float | None = None,
) -> Any:
    return Field(default, description=description, ge=ge, le=le, json_schema_extra={"change": change.value})


class NodeParameters(BaseModel):
    """Every parameter of the node `geodistill`; strict types, ranges and cross-field rules."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    model: str = _parameter("tiny", "Checkpoint: the name of a shipped one, or the path of a checkpoint folder.")
    orientation_model: str = _parameter(
        "", "Checkpoint of an orientation network whose belief about the heading is added; empty for none."
    )
    map: str = _parameter(
        "",
        "Imagery: an .mbtiles file, a GeoTIFF or VRT, a folder of named tiles, or the .yaml of an imagery service. "
        "Required.",
    )
    map_sigma_m: float = _parameter(
        0.1,
        "How far the imagery itself may lie off, one standard deviation per axis; a map that states more is believed.",
        ge=0.0,
        le=50.0,
    )
    map_preload_radius_m: float = _parameter(
        500.0,
        "How far around the vehicle `~/preload_map` fetches the map of an imagery service.",
        change=Change.ANY,
        ge=50.0,
        le=2000.0,
    )
    prior: Literal["gaussian", "flat"] = _parameter(
        "gaussian",
        "Whether GNSS weighs the heat map (gaussian) or only places the search window (flat: the image's "
        "likelihood alone, for filters that fuse the same GNSS themselves).",
    )
    runtime: Literal["auto", "tensorrt", "onnxruntime", "openvino", "torch"] = _parameter(
        "auto",
        "What runs the network: a back end by name, or the best one that is installed. The first image starts "
        "compiling, which is done once on a machine, in the background; torch serves meanwhile.",
    )
    runtime_precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = _parameter(
        "auto",
        "Numbers that the compiled network computes with: auto is bf16 on GPUs, and on processors that multiply in it "
        "with OpenVINO, otherwise fp32. Where poses would differ from torch's, the next safer one is taken.",
    )
    runtime_cache: str = _parameter("", "Folder of compiled networks; empty for the user's cache folder.")
    runtime_build_limit_s: float = _parameter(
        1800.0, "Compiling is given up after this long, and torch goes on.", ge=1.0, le=86400.0
    )
    threads: int = _parameter(0, "CPU threads of the network; 0 leaves the choice to torch.", ge=0, le=256)
    autostart: bool = _parameter(
        False, "Configure and activate at start, without a lifecycle manager.", change=Change.START
    )

    image_transport: Literal["raw", "compressed"] = _parameter(
        "compressed",
        "Subscribe `image` (sensor_msgs/Image) or `image/compressed` (sensor_msgs/CompressedImage).",
    )
    camera_kind: Literal["panorama", "pinhole"] = _parameter(
        "panorama",
        "Equirectangular 360-degree image, or a perspective one with its CameraInfo on `camera_info`.",
    )
    base_frame: str = _parameter("base_link", "Vehicle frame: x forward, y left, z up, origin on the ground.")
    map_frame: str = _parameter("map", "Frame of `~/pose`: east, north, up at the datum.")
    mount_source: Literal["parameters", "tf"] = _parameter(
        "parameters",
        "Camera mount from the mount_* parameters, or from TF (base_frame to the image's frame_id).",
    )
    mount_x_m: float = _parameter(0.0, "Camera position forward of the base frame.", ge=-20.0, le=20.0)
    mount_y_m: float = _parameter(0.0, "Camera position left of the base frame.", ge=-20.0, le=20.0)
    mount_z_m: float = _parameter(DEFAULT_CAMERA_HEIGHT_M, "Camera height above the ground.", ge=0.2, le=10.0)
    mount_sigma_z_m: float = _parameter(
        0.0,
        "How uncertain the camera's height is, whatever the mount_source: one standard deviation. Above 0 each image "
        "is matched at several heights, which takes several times as long.",
        ge=0.0,
        le=MAX_SIGMA_HEIGHT_M,
    )
    mount_roll_deg: float = _parameter(0.0, "Camera roll in the base frame, right side down.", ge=-180.0, le=180.0)
    mount_pitch_deg: float = _parameter(0.0, "Camera pitch in the base frame, nose down.", ge=-90.0, le=90.0)
    mount_yaw_deg: float = _parameter(
        0.0, "Camera yaw in the base frame, counter-clockwise: 180 looks back.", ge=-180.0, le=180.0
    )

    gnss_default_sigma_m: float = _parameter(
        10.0, "Sigma of a fix that states no covariance.", change=Change.ANY, ge=0.1, le=100.0
    )
    gnss_sigma_inflation: float = _parameter(
        1.0,
        "Factor on every fix's sigma; receivers in cities are optimistic.",
        change=Change.ANY,
        ge=0.1,
        le=20.0,
    )
    max_fix_age_s: float = _parameter(3.0, "Without a fix this recent there is no prior, and no pose.", ge=0.1, le=60.0)
    max_speed_mps: float = _parameter(
        20.0, "Limit of the vehicle: bounds jumps between fixes and drift without odometry.", ge=0.5, le=100.0
    )
    heading_source: Literal["imu", "odometry", "course", "parameter"] = _parameter(
        "imu",
        "Attitude and heading prior: the orientation of `imu` or of `odometry` (both ENU), the course over "
        "ground of the fixes, or heading_yaw_deg.",
    )
    heading_yaw_deg: float = _parameter(
        0.0,
        "Heading for heading_source `parameter`: 0 east, counter-clockwise.",
        change=Change.ANY,
        ge=-360.0,
        le=360.0,
    )
    heading_sigma_deg: float = _parameter(
        15.0, "Heading sigma where the source states none.", change=Change.ANY, ge=0.1, le=180.0
    )

    datum_latitude: float = _parameter(math.nan, "Origin of the map frame in degrees; .nan takes the first fix.")
    datum_longitude: float = _parameter(math.nan, "Origin of the map frame in degrees; .nan takes the first fix.")

    max_image_age_s: float = _parameter(
        1.0, "Images older than this on arrival are dropped.", change=Change.ANY, ge=0.01, le=60.0
    )
    max_image_future_s: float = _parameter(
        0.05,
        "Images stamped further ahead of the node's clock are dropped.",
        change=Change.ANY,
        ge=0.0,
        le=60.0,
    )
    sigma_z_m: float = _parameter(
        100.0, "Published sigma of the height, which is not measured.", change=Change.ANY, ge=0.01, le=1000.0
    )
    sigma_roll_deg: float = _parameter(
        30.0, "Published sigma of roll, which is not measured.", change=Change.ANY, ge=0.01, le=180.0
    )
    sigma_pitch_deg: float = _parameter(
        30.0, "Published sigma of pitch, which is not measured.", change=Change.ANY, ge=0.01, le=180.0
    )

    publish_overlay: bool = _parameter(False, "Publish `~/overlay`: tile, heat map and ellipse.", change=Change.ANY)
    publish_heatmap: bool = _parameter(False, "Publish `~/heatmap` (nav_msgs/OccupancyGrid).", change=Change.ANY)
    diagnostics_period_s: float = _parameter(
        1.0, "Period of `/diagnostics`, in wall time.", change=Change.START, ge=0.1, le=60.0
    )
    inference_timeout_s: float = _parameter(
        5.0, "One inference longer than this is reported as an ERROR.", change=Change.ANY, ge=0.1, le=600.0
    )

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
        if not self.base_frame or not self.map_frame or self.base_frame == self.map_frame:
            raise ValueError("base_frame and map_frame must be two different, non-empty names")
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
