# SPDX-License-Identifier: Apache-2.0
"""The node's map ahead of the vehicle: fed with fixes and paths, told to preload, reported in the diagnostics."""

from __future__ import annotations

from typing import Any

import numpy as np

from geodistill_core.errors import GeodistillError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.ahead import Ahead
from geodistill_core.localization.gnss import FixReading
from geodistill_core.maps.live import LiveMap, MapCondition
from geodistill_core.maps.prefetch import Progress
from geodistill_core.types import GeoPoint
from geodistill_ros.counters import Counters
from geodistill_ros.sensors import SensorInputs


class MapAhead:
    """What is known of the vehicle's way, handed to `Ahead`. Every method returns at once."""

    def __init__(self, ahead: Ahead, live: LiveMap | None, counters: Counters) -> None:
        self._ahead, self._live, self._counters = ahead, live, counters
        self._here: GeoPoint | None = None

    def follow(self, reading: FixReading, sensors: SensorInputs) -> None:
        """The vehicle is at a fix, with the heading and speed that the other sensors give."""
        self._here = GeoPoint(reading.latitude, reading.longitude)
        yaw, speed_mps = sensors.heading_and_speed(reading.stamp_ns)
        self._ahead.follow(reading.stamp_ns, self._here, yaw_enu_rad=yaw, speed_mps=speed_mps)

    def rest(self) -> None:
        """The node listens no more: nothing is fetched ahead until the next fix."""
        self._here = None
        self._ahead.rest()

    def on_path(self, message: Any, datum: LocalFrame | None, map_frame: str) -> None:
        """Take a `nav_msgs/Path` in the map frame; an empty one ends the last."""
        if datum is None or message.header.frame_id != map_frame:
            self._counters.add("path.rejected.frame")
            return
        positions = [pose.pose.position for pose in message.poses]
        at_m = np.array([(position.x, position.y) for position in positions], np.float64).reshape(-1, 2)
        if not np.isfinite(at_m).all():
            self._counters.add("path.rejected.nan")
            return
        latitude, longitude = datum.to_geodetic(at_m[:, 0], at_m[:, 1])
        self._ahead.along([GeoPoint(float(lat), float(lon)) for lat, lon in zip(latitude, longitude, strict=True)])
        self._counters.add("path.accepted")

    def preload(self, radius_m: float) -> tuple[bool, str]:
        """Ask for everything around the vehicle; whether that is done, and a sentence."""
        prefetcher, live = self._ahead.prefetcher, self._live
        if prefetcher is None or live is None:
            return True, "the map is local: there is nothing to preload"
        if self._here is None:
            return False, "no GNSS fix yet, so it is not known where to preload; wait for one and ask again"
        try:
            tiles = prefetcher.preload(self._here, radius_m, live.source.spec.require_preload)
        except GeodistillError as error:
            return False, str(error)
        where = f"within {radius_m:g} m of {self._here.latitude:.6f}, {self._here.longitude:.6f}"
        return True, f"about {tiles} tiles {where}; map.preload_left in the diagnostics counts down"

    def values(self) -> dict[str, str]:
        """Keys of the diagnostics."""
        if self._live is None:
            return {"map.state": "local"}
        condition, progress = self._live.condition(), self._progress()
        health = condition.health
        values: dict[str, str] = {
            "map.state": health.state,
            "map.cause": health.cause or "",
            "map.since_s": f"{health.since_s:.0f}",
            "map.tile": condition.newest or "",
            "map.ahead": f"{progress.complete}/{progress.planned}",
            "map.preload_left": str(progress.preload_left),
        }
        values |= {f"map.tiles.{name}": str(count) for name, count in condition.tiles.items()}
        return values | {f"map.service.{name}": str(count) for name, count in health.counters.items()}

    def trouble(self) -> str:
        """What is wrong with the map in one sentence; empty where nothing is."""
        return "" if self._live is None else map_trouble(self._live.condition(), self._progress())

    def _progress(self) -> Progress:
        assert self._ahead.prefetcher is not None
        return self._ahead.prefetcher.progress()


def map_trouble(condition: MapCondition, progress: Progress) -> str:
    """The gravest of: service offline or degraded, tile incomplete, tile out of date."""
    health = condition.health
    if health.state != "online":
        return (
            f"map service {health.state} ({health.cause}) for {health.since_s:.0f} s: driving on the imagery at hand, "
            f"{progress.complete} of {progress.planned} places ahead complete"
        )
    if condition.newest in ("none", "partial"):
        return f"map imagery here is {'missing' if condition.newest == 'none' else 'incomplete'}: it is being fetched"
    if condition.newest == "stale":
        return "map imagery here is stale: past its age and not renewed yet"
    return ""
