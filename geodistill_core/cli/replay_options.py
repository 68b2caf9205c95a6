# SPDX-License-Identifier: Apache-2.0
"""Options that say how a drive is read: its topics, the camera's mount, the other sensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from geodistill_core.errors import ConfigError

if TYPE_CHECKING:
    from geodistill_core.bags.reader import ReaderOptions
    from geodistill_core.bags.topics import StreamKind
    from geodistill_core.camera import BodyMount
    from geodistill_core.localization.sensor_buffer import SensorBufferConfig
    from geodistill_core.types import GeoPoint

TopicOption = Annotated[
    Optional[list[str]],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
    typer.Option(
        "--topic",
        metavar="KIND=NAME",
        help="Topic to use as image, camera_info, fix, attitude, motion, truth_pose or truth_datum; repeatable. "
        "By default topics are found by name and type.",
    ),
]
MountOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--mount",
        metavar="X,Y,Z[,ROLL,PITCH,YAW]",
        help="Where the camera sits on the vehicle: metres forward, left, up; degrees right side down, nose down, "
        "counter-clockwise.",
    ),
]
HeightOption = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="Height of a level camera above the ground, where the drive does not state its mount."),
]
HeightSigmaOption = Annotated[
    float,
    typer.Option(min=0.0, max=2.0, help="How uncertain the camera's height is, one standard deviation."),
]
SensorOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--sensor",
        metavar="NAME=VALUE",
        help="A limit of the sensor buffer, such as heading_source=course or max_fix_age_s=5; repeatable.",
    ),
]
GnssSigmaOption = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(min=0.1, max=100.0, help="Sigma in metres of a GNSS fix that states none (default: 10)."),
]
HeadingSigmaOption = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(min=0.1, max=180.0, help="Sigma in degrees of an IMU heading that states none (default: 10)."),
]
TruthOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--truth",
        metavar="TOPIC|FILE.tum",
        help="Ground truth: a topic with PoseStamped, PoseWithCovarianceStamped, Odometry or NavSatFix (RTK), or a "
        "trajectory file (default: /ground_truth/pose).",
    ),
]
TruthDatumOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="LATITUDE,LONGITUDE",
        help="Where on earth the truth's metres east and north count from (default: /ground_truth/datum).",
    ),
]
TruthOffsetOption = Annotated[float, typer.Option(help="Seconds to add to the truth's stamps.")]
TruthGapOption = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="Seconds that two truths may lie apart for the truth between them to be known (default: 0.5)."),
]
SalvageOption = Annotated[
    bool, typer.Option("--salvage", help="Read a damaged recording as far as it can be, and list what is lost.")
]


def reader_options(
    *,
    topics: Sequence[str] | None = None,
    mount: str | None = None,
    camera_height_m: float | None = None,
    sigma_height_m: float = 0.0,
    sensors: Sequence[str] | None = None,
    gnss_sigma_m: float | None = None,
    heading_sigma_deg: float | None = None,
    truth: str | None = None,
    truth_datum: str | None = None,
    truth_offset_s: float = 0.0,
    truth_gap_s: float | None = None,
    salvage: bool = False,
) -> ReaderOptions:
    """The options above as the drive's reader takes them; raises ConfigError naming what is wrong with one."""
    from geodistill_core.bags.reader import ReaderOptions, TruthOptions

    given: dict[str, Any] = {}
    gap = {} if truth_gap_s is None else {"max_gap_s": truth_gap_s}
    if gnss_sigma_m is not None:
        given["default_sigma_m"] = gnss_sigma_m
    if heading_sigma_deg is not None:
        given["default_sigma_yaw_rad"] = math.radians(heading_sigma_deg)
    return ReaderOptions(
        topics=_topics(topics or ()) or None,
        mount=None if mount is None else _mount(mount),
        camera_height_m=camera_height_m,
        sigma_height_m=sigma_height_m,
        buffer=_sensors(sensors or ()),
        truth=TruthOptions(truth, None if truth_datum is None else _place(truth_datum), truth_offset_s, **gap),
        salvage=salvage,
        **given,
    )


def _topics(words: Sequence[str]) -> dict[StreamKind, str]:
    from geodistill_core.bags.topics import StreamKind

    chosen: dict[StreamKind, str] = {}
    for kind, topic in _pairs(words, "--topic"):
        if kind not in [str(known) for known in StreamKind]:
            raise ConfigError(f"--topic {kind}={topic}: {kind!r} is not one of {', '.join(map(str, StreamKind))}")
        chosen[StreamKind(kind)] = topic
    return chosen


def _mount(text: str) -> BodyMount:
    from geodistill_core.camera import BodyMount

    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (3, 6) or not all(map(math.isfinite, values)):
        raise ConfigError(f"--mount {text!r} is not X,Y,Z or X,Y,Z,ROLL,PITCH,YAW: three or six finite numbers")
    return BodyMount(*values[:3], *map(math.radians, values[3:]))


def _place(text: str) -> GeoPoint:
    from geodistill_core.types import GeoPoint

    try:
        latitude, longitude = (float(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(f"--truth-datum {text!r} is not LATITUDE,LONGITUDE in degrees") from None
    return GeoPoint(latitude, longitude)


def _sensors(words: Sequence[str]) -> SensorBufferConfig:
    from geodistill_core.localization.sensor_buffer import SensorBufferConfig

    known = [field.name for field in fields(SensorBufferConfig)]
    values: dict[str, Any] = {}
    for name, value in _pairs(words, "--sensor"):
        if name not in known:
            raise ConfigError(f"--sensor {name}={value}: {name!r} is not one of {', '.join(known)}")
        try:
            values[name] = value if name == "heading_source" else float(value)
        except ValueError:
            raise ConfigError(f"--sensor {name}={value}: {value!r} is not a number") from None
    return SensorBufferConfig(**values)


def _pairs(words: Sequence[str], option: str) -> list[tuple[str, str]]:
    """NAME=VALUE words, each name once."""
    pairs: list[tuple[str, str]] = []
    for word in words:
        name, separator, value = word.partition("=")
        if not (name and separator and value):
            raise ConfigError(f"{option} {word!r} is not of the form NAME=VALUE")
        if name in dict(pairs):
            raise ConfigError(f"{option} names {name} twice; choose one")
        pairs.append((name, value))
    return pairs
