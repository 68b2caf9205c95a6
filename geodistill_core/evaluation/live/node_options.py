# SPDX-License-Identifier: Apache-2.0
"""How a drive is to be read, said to the live replay and to its node."""

from __future__ import annotations

import math

from geodistill_core.bags.reader import ReaderOptions
from geodistill_core.bags.topics import UNUSED
from geodistill_core.bags.truth.source import TRUTH_KINDS
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.replay import ReplayPlan
from geodistill_core.localization.sensor_buffer import HeadingSource, SensorBufferConfig
from geodistill_core.types import GeoPoint

_LIMITS = ("max_fix_age_s", "max_speed_mps")
_HEADINGS = {HeadingSource.ATTITUDE: "imu", HeadingSource.COURSE: "course"}


def node_options(options: ReaderOptions, datum: GeoPoint | None = None) -> list[str]:
    """Words of `python -m geodistill_ros.live_replay`; raises ConfigError for what the node cannot be told.

    The truth is not for the node: it gets the `datum` of the truth at most.
    """
    if options.T_base_camera is not None:
        raise ConfigError("the node takes no matrix as the camera's mount; state --mount or the camera's height")
    topics = {**(options.topics or {}), **dict.fromkeys(TRUTH_KINDS, UNUSED)}
    words = [word for kind, topic in topics.items() for word in ("--topic", f"{kind}={topic}")]
    words += ["--salvage"] if options.salvage else []
    if options.mount is not None:
        place = options.mount
        angles = (math.degrees(angle) for angle in (place.roll_rad, place.pitch_rad, place.yaw_rad))
        words.append("--mount=" + ",".join(map(repr, (place.x_m, place.y_m, place.z_m, *angles))))
    elif options.camera_height_m is not None:
        words += ["--camera-height-m", repr(options.camera_height_m)]
    parameters = {
        "mount_sigma_z_m": options.sigma_height_m,
        "gnss_default_sigma_m": options.default_sigma_m,
        "heading_sigma_deg": math.degrees(options.default_sigma_yaw_rad),
        **_buffer(options.buffer),
    }
    if datum is not None:
        parameters |= {"datum_latitude": datum.latitude, "datum_longitude": datum.longitude}
    return words + [word for name, value in parameters.items() for word in ("-p", f"{name}:={_yaml(value)}")]


def node_output(plan: ReplayPlan) -> str:
    """The node's parameter `output` for a planned replay."""
    if plan.track:
        return "tracked"
    return "per_frame" if plan.prior == "gaussian" else "likelihood"


def _yaml(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.12f}"


def _buffer(config: SensorBufferConfig) -> dict[str, float | str]:
    """The limits that differ from the standard, as parameters."""
    standard, said = SensorBufferConfig(), dict[str, float | str]()
    for name in config.__slots__:
        value = getattr(config, name)
        if value == getattr(standard, name):
            continue
        if name == "heading_source":
            said[name] = _HEADINGS[value]
        elif name in _LIMITS:
            said[name] = value
        else:
            raise ConfigError(f"the node has no parameter for --sensor {name}={value}; leave it out with --live")
    return said
