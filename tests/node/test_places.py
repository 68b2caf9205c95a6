# SPDX-License-Identifier: Apache-2.0
"""N40: poses at the places where maps and projections have their seams, against another library's geodesics."""

import math

import numpy as np
import pytest
from pyproj import Geod

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from fault_world import ManualClock
from geodistill_ros.messages import pose_message
from geodistill_ros.parameters import NodeParameters
from ros_world import FakeLocalizer, picture

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import GeoPoint, GroundImage, Prior

TILE_EDGE = 360.0 * 139_500 / 2**18 - 180.0  # between two columns of zoom 18
PLACES = {
    "antimeridian": (-16.5, 180.0),
    "antimeridian from the west": (65.0, -180.0),
    "equator and Greenwich": (0.0, 0.0),
    "southern hemisphere": (-33.9, 151.2),
    "far south": (-77.85, 166.67),
    "north pole": (90.0, 0.0),
    "south pole": (-90.0, 0.0),
    "near the north pole": (89.9995, 40.0),
    "edge of a tile": (48.1, TILE_EDGE),
    "edge of Web Mercator": (85.0511, 11.0),
    "edge of a UTM zone": (48.1, 12.0),
    "UTM's exception in Norway": (60.0, 3.0),
    "UTM's exception on Svalbard": (78.0, 9.0),
}
WGS84 = Geod(ellps="WGS84")
SETTINGS = NodeParameters()
CENTIMETRE = 0.01
DRIVE_M = 600.0


def by_geodesic(latitude, longitude, datum):
    """Metres east and north of the datum: azimuth and length of the geodesic.

    The plane and the geodesic differ by a third power: 1e-5 m at the 300 m that are driven each way.
    """
    azimuth_deg, _, length_m = WGS84.inv(datum[1], datum[0], longitude, latitude)
    return length_m * math.sin(math.radians(azimuth_deg)), length_m * math.cos(math.radians(azimuth_deg))


def drive(place, bearing_deg, count):
    """Points of a straight drive across the place, 300 m on either side."""
    latitude, longitude = place
    for along_m in np.linspace(-DRIVE_M / 2, DRIVE_M / 2, count):
        found_longitude, found_latitude, _ = WGS84.fwd(longitude, latitude, bearing_deg, along_m)
        yield found_latitude, found_longitude


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("bearing_deg", [0.0, 90.0, 135.0])
def test_n40_published_positions_agree_with_geodesics_to_a_centimetre_and_never_jump(name, bearing_deg):
    datum = PLACES[name]
    frame = LocalFrame(GeoPoint(*datum))
    positions = []
    for latitude, longitude in drive(datum, bearing_deg, 61):
        image = GroundImage.panorama(picture(), 1)
        estimate = FakeLocalizer().locate(image, Prior(latitude, longitude, 5.0, 0.3, 0.1))
        pose = pose_message(estimate, frame, SETTINGS).pose
        np.linalg.cholesky(np.array(pose.covariance).reshape(6, 6))
        positions.append((pose.pose.position.x, pose.pose.position.y))
        assert positions[-1] == pytest.approx(by_geodesic(latitude, longitude, datum), abs=CENTIMETRE)
    steps = np.hypot(*np.diff(np.array(positions), axis=0).T)
    assert steps == pytest.approx(DRIVE_M / 60, abs=CENTIMETRE)


@pytest.mark.parametrize("name", ["antimeridian", "southern hemisphere", "edge of a tile", "near the north pole"])
def test_n40_drive_across_a_seam_is_one_line_on_the_node(worlds, name):
    world = worlds(use_sim_time=True, max_speed_mps=30.0)
    world.start()
    clock = ManualClock(world)
    points = list(drive(PLACES[name], 90.0, 25))
    for second, point in enumerate(points):
        clock.set(100.0 + second)
        world.place = point
        world.good_frame_gets_a_pose()
    found = [(p.pose.pose.position.x, p.pose.pose.position.y) for p in world.poses]
    expected = [by_geodesic(*point, points[0]) for point in points]
    assert np.array(found) == pytest.approx(np.array(expected), abs=CENTIMETRE)
    assert "gnss.rejected.jump" not in world.status()[1]["values"]
