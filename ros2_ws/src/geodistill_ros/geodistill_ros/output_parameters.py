# SPDX-License-Identifier: Apache-2.0
"""Parameters of what the node publishes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from geodistill_ros.fields import Change, parameter


class OutputParameters(BaseModel):
    """What comes out."""

    output: Literal["tracked", "per_frame", "likelihood"] = parameter(
        "tracked",
        "tracked: one pose over time from images, GNSS and odometry. per_frame: each image answered by itself, GNSS as "
        "its prior. likelihood: what each image alone says, on `~/likelihood`, for filters that take the GNSS "
        "themselves.",
    )
    tf: Literal["none", "map_odom", "map_base"] = parameter(
        "none",
        "Transform to broadcast: map_odom corrects the odometry's frame (needs odom_frame to base_frame, by TF or on "
        "`odometry`), map_base places the vehicle itself. Never beside another node that does.",
    )
    map_frame: str = parameter("map", "Frame of `~/pose`: east, north, up at the datum.")
    odom_frame: str = parameter("odom", "Frame of the odometry's pose, for tf `map_odom`.")
    base_frame: str = parameter("base_link", "Vehicle frame: x forward, y left, z up, origin on the ground.")
    odometry_rate_hz: float = parameter(
        20.0, "At most so many messages a second on `~/odometry` and `/tf`.", change=Change.ANY, ge=0.1, le=200.0
    )
    sigma_z_m: float = parameter(
        100.0, "Published sigma of the height, which is not measured.", change=Change.ANY, ge=0.01, le=1000.0
    )
    sigma_roll_deg: float = parameter(
        30.0, "Published sigma of roll, which is not measured.", change=Change.ANY, ge=0.01, le=180.0
    )
    sigma_pitch_deg: float = parameter(
        30.0, "Published sigma of pitch, which is not measured.", change=Change.ANY, ge=0.01, le=180.0
    )

    publish_overlay: bool = parameter(False, "Publish `~/overlay`: tile, heat map and ellipse.", change=Change.ANY)
    publish_heatmap: bool = parameter(False, "Publish `~/heatmap` (nav_msgs/OccupancyGrid).", change=Change.ANY)
    debug_dir: str = parameter(
        "", "Folder for `~/save_debug`: the last frames with prior, heat map, answer and readings; empty for none."
    )
    debug_max_mb: float = parameter(
        200.0, "Older folders of `debug_dir` make room beyond so many megabytes.", change=Change.ANY, ge=1.0, le=1e5
    )
    diagnostics_period_s: float = parameter(
        1.0, "Period of `/diagnostics`, in wall time.", change=Change.START, ge=0.1, le=60.0
    )
    inference_timeout_s: float = parameter(
        5.0,
        "One inference longer than this is an ERROR, and the track is in FAULT until it answers again.",
        change=Change.ANY,
        ge=0.1,
        le=600.0,
    )
