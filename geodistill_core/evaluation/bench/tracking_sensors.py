# SPDX-License-Identifier: Apache-2.0
"""The readings of a simulated drive, given to a sensor buffer in the order of their stamps."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from geodistill_core.datasets.synthcity.drive import Drive
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.gnss import FixReading, FixReject
from geodistill_core.localization.readings import AttitudeReading, MotionReading
from geodistill_core.localization.sensor_buffer import SensorBuffer

Reading = FixReading | FixReject | AttitudeReading | MotionReading


class DriveSensors:
    """The drive's readings, given to a sensor buffer as time goes by."""

    def __init__(self, drive: Drive, buffer: SensorBuffer) -> None:
        self.buffer = buffer
        self._left = heapq.merge(_fixes(drive), _attitudes(drive), _motions(drive), key=lambda r: r[0])
        self._next = next(self._left, None)

    def until(self, stamp_ns: int) -> None:
        """Give everything that was measured at or before a stamp."""
        while self._next is not None and self._next[0] <= stamp_ns:
            reading = self._next[1]
            if isinstance(reading, AttitudeReading):
                self.buffer.add_attitude(reading)
            elif isinstance(reading, MotionReading):
                self.buffer.add_motion(reading)
            else:
                self.buffer.add_fix(reading)
            self._next = next(self._left, None)


def _fixes(drive: Drive) -> Iterator[tuple[int, Reading]]:
    frame, track = LocalFrame(drive.city.datum), drive.gnss
    latitude, longitude = frame.to_geodetic(track.east_m, track.north_m)
    for k, stamp_ns in enumerate(track.stamps_ns.tolist()):
        fix = FixReading(stamp_ns, float(latitude[k]), float(longitude[k]), track.sigma_m)
        yield stamp_ns, fix if track.available[k] else FixReject.NO_FIX


def _attitudes(drive: Drive) -> Iterator[tuple[int, Reading]]:
    track = drive.attitude
    columns = (track.stamps_ns.tolist(), track.roll_rad.tolist(), track.pitch_rad.tolist(), track.yaw_enu_rad.tolist())
    for row in zip(*columns, strict=True):
        yield row[0], AttitudeReading(*row, track.sigma_yaw_rad)


def _motions(drive: Drive) -> Iterator[tuple[int, Reading]]:
    track = drive.odometry
    columns = (track.stamps_ns.tolist(), track.speed_mps.tolist(), track.yaw_rate_radps.tolist())
    for row in zip(*columns, strict=True):
        yield row[0], MotionReading(*row)
