# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from geodistill_core.errors import MapError
from geodistill_core.maps.gpx import read_gpx

TRACK = """<?xml version="1.0"?>
<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1">
<metadata><bounds minlat="0" minlon="0" maxlat="1" maxlon="1"/></metadata>
<wpt lat="1" lon="1"><name>home</name></wpt>
<rte><rtept lat="46.5" lon="7.5"/></rte>
<trk><trkseg><trkpt lat="47.1" lon="8.1"><ele>400</ele></trkpt><trkpt lat="47.2" lon="8.2"/></trkseg>
<trkseg/><trkseg><trkpt lat="47.3" lon="-179.9"/></trkseg></trk></gpx>"""


def _read(tmp_path, text):
    path = tmp_path / "route.gpx"
    path.write_text(text)
    return read_gpx(path)


def test_tracks_and_routes_are_lines_and_waypoints_are_not(tmp_path):
    lines = _read(tmp_path, TRACK)
    assert [line.tolist() for line in lines] == [[[46.5, 7.5]], [[47.1, 8.1], [47.2, 8.2]], [[47.3, -179.9]]]
    assert all(line.dtype == np.float64 for line in lines)


def test_gpx_1_0_and_files_without_namespace_read_alike(tmp_path):
    for namespace in ("http://www.topografix.com/GPX/1/0", ""):
        text = TRACK.replace("http://www.topografix.com/GPX/1/1", namespace)
        assert len(_read(tmp_path, text)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a GPX file"),
        ("<gpx><trk>", "not a GPX file"),
        ("PK\x03\x04 zipped", "not a GPX file"),
        ("<kml><trkseg><trkpt lat='1' lon='1'/></trkseg></kml>", "not GPX"),
        ("<gpx><wpt lat='1' lon='1'/></gpx>", "no track or route"),
        ("<gpx><rte><rtept lat='91' lon='1'/></rte></gpx>", "lat='91'"),
        ("<gpx><rte><rtept lat='nan' lon='1'/></rte></gpx>", "lat='nan'"),
        ("<gpx><rte><rtept lon='1'/></rte></gpx>", "degrees"),
        ('<!DOCTYPE gpx [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><gpx><rte><name>&c;</name></rte></gpx>', "document type"),
    ],
)
def test_what_is_no_route_is_refused_with_a_reason(tmp_path, text, message):
    with pytest.raises(MapError, match=message):
        _read(tmp_path, text)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(MapError, match=r"absent\.gpx"):
        read_gpx(tmp_path / "absent.gpx")
