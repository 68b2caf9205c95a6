# SPDX-License-Identifier: Apache-2.0
"""Parameters of what the node reads: network, map, camera, receiver, heading, stamps."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel

from geodistill_core.types import DEFAULT_CAMERA_HEIGHT_M, MAX_SIGMA_HEIGHT_M
from geodistill_ros.fields import Change, parameter


class InputParameters(BaseModel):
    """What goes in."""

    model: str = parameter("tiny", "Checkpoint: the name of a shipped one, or the path of a checkpoint folder.")
    orientation_model: str = parameter(
        "", "Checkpoint of an orientation network whose belief about the heading is added; empty for none."
    )
    map: str = parameter(
        "",
        "Imagery: an .mbtiles file, a GeoTIFF or VRT, a folder of named tiles, or the .yaml of an imagery service. "
        "Required.",
    )
    map_sigma_m: float = parameter(
        0.1,
        "How far the imagery itself may lie off, one standard deviation per axis; a map that states more is believed.",
        ge=0.0,
        le=50.0,
    )
    map_preload_radius_m: float = parameter(
        500.0,
        "How far around the vehicle `~/preload_map` fetches the map of an imagery service.",
        change=Change.ANY,
        ge=50.0,
        le=2000.0,
    )
    runtime: Literal["auto", "tensorrt", "onnxruntime", "openvino", "torch"] = parameter(
        "auto",
        "What runs the network: a back end by name, or the best one that is installed. The first image starts "
        "compiling, which is done once on a machine, in the background; torch serves meanwhile.",
    )
    runtime_precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = parameter(
        "auto",
        "Numbers that the compiled network computes with: auto is bf16 on GPUs, and on processors that are fast in it "
        "with OpenVINO, otherwise fp32. Where poses would differ from torch's, the next safer one is taken.",
    )
    runtime_cache: str = parameter("", "Folder of compiled networks; empty for the user's cache folder.")
    runtime_build_limit_s: float = parameter(
        1800.0, "Compiling is given up after this long, and torch goes on.", ge=1.0, le=86400.0
    )
    threads: int = parameter(0, "CPU threads of the network; 0 leaves the choice to torch.", ge=0, le=256)
    autostart: bool = parameter(
        False, "Configure and activate at start, without a lifecycle manager.", change=Change.START
    )

    image_transport: Literal["raw", "compressed"] = parameter(
        "compressed",
        "Subscribe `image` (sensor_msgs/Image) or `image/compressed` (sensor_msgs/CompressedImage).",
    )
    camera_kind: Literal["panorama", "pinhole"] = parameter(
        "panorama",
        "Equirectangular 360-degree image, or a perspective one with its CameraInfo on `camera_info`.",
    )
    mount_source: Literal["parameters", "tf"] = parameter(
        "parameters",
        "Camera mount from the mount_* parameters, or from TF (base_frame to the image's frame_id). So the antenna.",
    )
    mount_x_m: float = parameter(0.0, "Camera position forward of the base frame.", ge=-20.0, le=20.0)
    mount_y_m: float = parameter(0.0, "Camera position left of the base frame.", ge=-20.0, le=20.0)
    mount_z_m: float = parameter(DEFAULT_CAMERA_HEIGHT_M, "Camera height above the ground.", ge=0.2, le=10.0)
    mount_sigma_z_m: float = parameter(
        0.0,
        "How uncertain the camera's height is, whatever the mount_source: one standard deviation. Above 0 each image "
        "is matched at several heights, which takes several times as long.",
        ge=0.0,
        le=MAX_SIGMA_HEIGHT_M,
    )
    mount_roll_deg: float = parameter(0.0, "Camera roll in the base frame, right side down.", ge=-180.0, le=180.0)
    mount_pitch_deg: float = parameter(0.0, "Camera pitch in the base frame, nose down.", ge=-90.0, le=90.0)
    mount_yaw_deg: float = parameter(
        0.0, "Camera yaw in the base frame, counter-clockwise: 180 looks back.", ge=-180.0, le=180.0
    )

    mount_calibration: Literal["off", "report", "apply"] = parameter(
        "report",
        "What a tracked drive shows of the camera's height, pitch, roll and yaw: not asked, a diagnostic where the "
        "mount does not fit, or used for the next images.",
    )
    mount_file: str = parameter("", "File for `~/save_mount`: what is known of the mount, as parameters; empty: none.")

    gnss_antenna_x_m: float = parameter(
        0.0,
        "GNSS antenna forward of the base frame. With mount_source `tf` the transform to the fix's frame_id counts "
        "instead.",
        ge=-20.0,
        le=20.0,
    )
    gnss_antenna_y_m: float = parameter(0.0, "GNSS antenna left of the base frame.", ge=-20.0, le=20.0)
    gnss_default_sigma_m: float = parameter(
        10.0, "Sigma of a fix that states no covariance.", change=Change.ANY, ge=0.1, le=100.0
    )
    gnss_sigma_inflation: float = parameter(
        1.0,
        "Factor on every fix's sigma; receivers in cities are optimistic.",
        change=Change.ANY,
        ge=0.1,
        le=20.0,
    )
    max_fix_age_s: float = parameter(
        3.0, "Without a fix this recent there is no prior: no pose, no new track.", ge=0.1, le=60.0
    )
    max_speed_mps: float = parameter(
        20.0, "Limit of the vehicle: bounds jumps between fixes and drift without odometry.", ge=0.5, le=100.0
    )
    heading_source: Literal["imu", "odometry", "course", "parameter"] = parameter(
        "imu",
        "Attitude and heading prior: the orientation of `imu` or of `odometry` (both ENU), the course over "
        "ground of the fixes, or heading_yaw_deg.",
    )
    heading_yaw_deg: float = parameter(
        0.0,
        "Heading for heading_source `parameter`: 0 east, counter-clockwise.",
        change=Change.ANY,
        ge=-360.0,
        le=360.0,
    )
    heading_sigma_deg: float = parameter(
        15.0, "Heading sigma where the source states none.", change=Change.ANY, ge=0.1, le=180.0
    )

    datum_latitude: float = parameter(math.nan, "Origin of the map frame in degrees; .nan takes the first fix.")
    datum_longitude: float = parameter(math.nan, "Origin of the map frame in degrees; .nan takes the first fix.")

    max_image_age_s: float = parameter(
        1.0, "Images older than this on arrival are dropped.", change=Change.ANY, ge=0.01, le=60.0
    )
    max_image_future_s: float = parameter(
        0.05,
        "Images stamped further ahead of the node's clock are dropped.",
        change=Change.ANY,
        ge=0.0,
        le=60.0,
    )
