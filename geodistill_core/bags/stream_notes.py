# SPDX-License-Identifier: Apache-2.0
"""What the first messages of a stream say, and what in them a localization run could not use."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from geodistill_core.bags.frames import is_panorama_size
from geodistill_core.bags.images import ImageError, encoded_size
from geodistill_core.bags.messages import (
    AttitudeReject,
    attitude_from,
    camera_from,
    fix_from,
    motion_from,
)
from geodistill_core.bags.topics import StreamKind
from geodistill_core.errors import ConfigError
from geodistill_core.localization.gnss import FixReject
from geodistill_core.types import GeoPoint

Note = tuple[str, str | None]
"""What a stream says, and the problem with it if there is one."""


def image_size(message: Any) -> tuple[int, int, str]:
    """Width, height and coding of either kind of image message; raises ImageError."""
    if hasattr(message, "encoding"):
        return int(message.width), int(message.height), str(message.encoding)
    return (*encoded_size(message.data), "compressed")


def image_note(message: Any, pinhole: bool) -> Note:
    """Size, coding and camera model."""
    try:
        width, height, form = image_size(message)
    except ImageError as error:
        return "unreadable", f"image: {error}"
    note = f"{width} x {height} {form}, {'pinhole' if pinhole else 'panorama'}"
    if pinhole or is_panorama_size(width, height):
        return note, None
    return note, f"camera model: {width} x {height} is no 2:1 panorama; record the CameraInfo"


def camera_note(message: Any, image: Any) -> Note:
    """Focal length and distortion; a model that cannot be used, or that is of another size than the images."""
    try:
        camera = camera_from(message)
        width, height, _ = image_size(image)
    except (ConfigError, ImageError) as error:
        return "refused", f"camera model: {error}"
    bent = f"{len(camera.distortion)} distortion coefficients" if camera.distortion else "no distortion"
    note = f"{camera.width} x {camera.height}, focal length {camera.K[0, 0]:.0f} px, {bent}"
    if (camera.width, camera.height) == (width, height):
        return note, None
    return note, f"camera model: CameraInfo is of {camera.width} x {camera.height}, images are {width} x {height}"


def fix_note(messages: Sequence[Any]) -> Note:
    """The receiver's sigma, and how many of the first fixes cannot be used."""
    read = [fix_from(message) for message in messages]
    usable = [fix for fix in read if not isinstance(fix, FixReject)]
    if not usable:
        return f"refused: {read[0]}", f"GNSS: no usable fix at the start ({read[0]})"
    refused = f", {len(read) - len(usable)} of the first {len(read)} refused" if len(usable) < len(read) else ""
    return f"sigma {usable[0].sigma_m:.1f} m ({usable[0].sigma_source}){refused}", None


def first_fix(messages: Sequence[Any]) -> GeoPoint | None:
    """Where the first usable fix is."""
    read = (fix_from(message) for message in messages)
    return next((GeoPoint(fix.latitude, fix.longitude) for fix in read if not isinstance(fix, FixReject)), None)


def attitude_note(messages: Sequence[Any]) -> Note:
    """The heading's sigma."""
    read = [attitude_from(message) for message in messages]
    usable = next((attitude for attitude in read if not isinstance(attitude, AttitudeReject)), None)
    if usable is None:
        return f"no attitude: {read[0]}", None
    return f"heading sigma {math.degrees(usable.sigma_yaw_rad):.1f} deg", None


def knows_heading(messages: Sequence[Any]) -> bool:
    """Whether one of the first messages of an IMU has a usable orientation."""
    return any(not isinstance(attitude_from(message), AttitudeReject) for message in messages)


def motion_note(messages: Sequence[Any]) -> Note:
    """The fastest of the first speeds."""
    return f"up to {max(abs(motion_from(message).speed_mps) for message in messages):.1f} m/s at the start", None


SEVERAL: dict[StreamKind, Callable[[Sequence[Any]], Note]] = {
    StreamKind.FIX: fix_note,
    StreamKind.ATTITUDE: attitude_note,
    StreamKind.MOTION: motion_note,
}
"""Streams that are judged by their first messages, not by the very first alone."""
