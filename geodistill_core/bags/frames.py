# SPDX-License-Identifier: Apache-2.0
"""Image messages and sensor messages to frames: the image with the prior that holds at its stamp."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from geodistill_core.bags.events import DriveEvent
from geodistill_core.bags.images import ImageError, decode_compressed, decode_image
from geodistill_core.bags.messages import (
    DEFAULT_SIGMA_YAW_RAD,
    AttitudeReject,
    attitude_from,
    camera_from,
    fix_from,
    motion_from,
)
from geodistill_core.bags.topics import IMAGE_RAW, StreamKind
from geodistill_core.bags.truth.source import TruthOptions
from geodistill_core.bags.truth.track import TruthTrack
from geodistill_core.camera import BodyMount
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import BagError, ConfigError, DatasetError
from geodistill_core.localization.gnss import DEFAULT_SIGMA_M, FixReading
from geodistill_core.localization.sensor_buffer import (
    FramePrior,
    HeadingSource,
    SensorBuffer,
    SensorBufferConfig,
    SensorGap,
)
from geodistill_core.types import Array, CameraModel, GroundImage, Prior

_PANORAMA_ASPECT_TOLERANCE = 0.02
_COUNTED_AS = {StreamKind.FIX: "gnss"}


@dataclass(frozen=True, slots=True)
class DriveFrame:
    """One recorded image. `dropped` names why it cannot be localized (then image and prior are None).

    `sensors` holds what had been measured up to the image, until the next frame is asked for.
    """

    stamp_ns: int
    image: GroundImage | None
    frame_prior: FramePrior | None
    truth: Truth | None
    dropped: str | None = None
    sensors: SensorBuffer | None = field(default=None, repr=False, compare=False)

    @property
    def fix(self) -> FixReading | None:
        """The GNSS fix that the prior stands on, as measured."""
        return self.frame_prior.fix if self.frame_prior else None


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """How a drive is read. `T_base_camera` wins over `mount`, that over `camera_height_m`, that over the drive's
    sidecar, that over its /tf_static. `sigma_height_m` is how uncertain the camera's height is, which no drive
    states. A drive that holds no attitude takes the heading from the course whatever `buffer` says. With `salvage`
    a damaged recording is read as far as it can be."""

    topics: Mapping[StreamKind, str] | None = None
    T_base_camera: Array | None = None
    mount: BodyMount | None = None
    camera_height_m: float | None = None
    sigma_height_m: float = 0.0
    buffer: SensorBufferConfig = SensorBufferConfig()  # noqa: RUF009 - frozen
    default_sigma_m: float = DEFAULT_SIGMA_M
    default_sigma_yaw_rad: float = DEFAULT_SIGMA_YAW_RAD
    truth: TruthOptions = TruthOptions()  # noqa: RUF009 - frozen
    salvage: bool = False


Expecting = Callable[[int, SensorBuffer], Prior | None]
"""What stands in for GNSS at a stamp, by what else was measured; None where nothing does."""


class FrameAssembler:
    """State of one pass over a drive."""

    def __init__(
        self,
        options: ReaderOptions,
        mount: Array,
        pinhole: bool,
        heading: HeadingSource,
        truth: TruthTrack | None,
        expecting: Expecting = lambda stamp_ns, sensors: None,
    ) -> None:
        self._expecting = expecting
        self._options, self._mount, self._pinhole, self._truth = options, mount, pinhole, truth
        self._buffer = SensorBuffer(replace(options.buffer, heading_source=heading))
        self._refused: Counter[str] = Counter()
        self._camera: CameraModel | None = None
        self._last_image_ns = 0

    def ingest(self, event: DriveEvent) -> None:
        """Feed one sensor message to the buffer."""
        options = self._options
        if event.fault is not None:
            self._refused[f"{_COUNTED_AS.get(event.kind, event.kind)}.{event.fault}"] += 1
        elif event.kind is StreamKind.FIX:
            self._buffer.add_fix(fix_from(event.message, default_sigma_m=options.default_sigma_m))
        elif event.kind is StreamKind.ATTITUDE:
            attitude = attitude_from(event.message, default_sigma_yaw_rad=options.default_sigma_yaw_rad)
            if isinstance(attitude, AttitudeReject):
                self._refused[f"attitude.{attitude}"] += 1
            else:
                self._buffer.add_attitude(attitude)
        elif event.kind is StreamKind.MOTION:
            self._buffer.add_motion(motion_from(event.message))
        elif event.kind is StreamKind.CAMERA_INFO and self._camera is None:
            self._camera = camera_from(event.message)

    def dropped(self) -> dict[str, int]:
        """Refused readings by stream and reason."""
        return dict(sorted((self._buffer.dropped() | self._refused).items()))

    def frame(self, event: DriveEvent) -> DriveFrame:
        """The frame of one image message."""
        sensors = self._buffer
        if event.fault is not None:
            return DriveFrame(event.stamp_ns, None, None, None, event.fault, sensors)
        truth = self._truth.at(event.stamp_ns) if self._truth else None
        try:
            self._check_stamp(event.stamp_ns)
            frame_prior = sensors.at(event.stamp_ns, self._expecting(event.stamp_ns, sensors))
            image = self._image(event, frame_prior)
        except _Dropped as drop:
            return DriveFrame(event.stamp_ns, None, None, truth, str(drop), sensors)
        except (SensorGap, ImageError) as error:
            return DriveFrame(event.stamp_ns, None, None, truth, str(error.reason), sensors)
        return DriveFrame(event.stamp_ns, image, frame_prior, truth, None, sensors)

    def _check_stamp(self, stamp_ns: int) -> None:
        if stamp_ns <= 0:
            raise _Dropped("stamp_zero")
        if stamp_ns <= self._last_image_ns:
            raise _Dropped("stamp_repeated" if stamp_ns == self._last_image_ns else "stamp_backwards")
        self._last_image_ns = stamp_ns

    def _image(self, event: DriveEvent, frame_prior: FramePrior) -> GroundImage:
        if self._pinhole and self._camera is None:
            raise _Dropped("no_camera_info")
        if event.raw.msgtype == IMAGE_RAW:
            rgb = decode_image(event.message)
        else:
            rgb = decode_compressed(event.message, panorama=self._camera is None)
        height, width = rgb.shape[:2]
        if not self._pinhole and not is_panorama_size(width, height):
            raise BagError(
                f"{event.raw.topic} is {width} x {height} without CameraInfo; a panorama must be 2:1, "
                f"another camera needs its CameraInfo"
            )
        if self._camera is not None and (self._camera.width, self._camera.height) != (width, height):
            raise _Dropped("camera_size")
        try:
            return GroundImage(
                rgb,
                event.stamp_ns,
                self._mount,
                self._camera,
                frame_prior.roll_rad,
                frame_prior.pitch_rad,
                self._options.sigma_height_m,
            )
        except (ConfigError, DatasetError) as error:
            raise BagError(f"{event.raw.topic}: {error}") from error


class _Dropped(Exception):  # noqa: N818 - control flow, not an error
    """The frame cannot be localized, for the reason given."""


def is_panorama_size(width: int, height: int) -> bool:
    """Whether a picture can be a whole equirectangular panorama: twice as wide as high."""
    return abs(width / max(height, 1) - 2.0) <= _PANORAMA_ASPECT_TOLERANCE
