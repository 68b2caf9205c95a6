# SPDX-License-Identifier: Apache-2.0
"""GeoTIFFs read by ranges: no more than needed, from what is at hand, and nothing but GeoTIFF."""

from __future__ import annotations

import random

import numpy as np
import pytest
import rasterio
from fetching import ManualClock
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from remote import a_spec
from server import FaultServer, png

from geodistill_core.errors import MapError
from geodistill_core.maps import open_map
from geodistill_core.maps.cache import DiskCache
from geodistill_core.maps.fetch import Fetcher
from geodistill_core.maps.remote import CogSource, file, tiff
from geodistill_core.maps.serve.ranges import file_reply
from geodistill_core.types import GeoPoint


def geotiff(path, seed: int = 0, side: int = 2048, **profile):
    """Noise of 0.2 m pixels, so that nothing compresses, with overviews if tiled."""
    image = np.random.default_rng(seed).integers(0, 256, (3, side, side), dtype=np.uint8)
    how = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8", "crs": "EPSG:32632"}
    where = {"transform": from_origin(5e5, 5.2e6, 0.2, 0.2)}
    with rasterio.open(path, "w", **how, **where, **profile) as dataset:
        dataset.write(image)
    if profile.get("tiled"):
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4, 8], Resampling.average)
    return path


class Remote:
    """A file on a server, with a clock that the test moves."""

    def __init__(self, folder, path):
        self.folder, self.path, self.clock = folder, path, ManualClock()
        self.server = FaultServer(lambda request: file_reply(self.path, request))

    def start(self, **fields) -> CogSource:
        spec = a_spec("cog", f"{self.server.url}/a.tif", **fields)
        fetcher = Fetcher(spec, clock=self.clock, sleep=self.clock.sleep, rng=random.Random(0))
        return CogSource(spec, fetcher, DiskCache(self.folder, 64 << 20, clock=self.clock), clock=self.clock)

    def bytes_asked(self) -> int:
        spans = [entry.headers["range"].removeprefix("bytes=").split("-") for entry in self.server.log]
        self.server.clear()
        return sum(int(last) - int(first) + 1 for first, last in spans)


@pytest.fixture
def remote(tmp_path):
    made = Remote(tmp_path / "cache", geotiff(tmp_path / "a.tif", tiled=True, blockxsize=256, blockysize=256))
    with made.server:
        yield made


@pytest.mark.parametrize("metres_per_pixel", [0.2, 0.4, 0.5, 1.7])
def test_ranges_give_what_the_whole_file_gives(remote, metres_per_pixel):
    with open_map(remote.path) as local:
        center = local.bounds().center
        direct = local.tile(center, 60.0, metres_per_pixel)
        tile = remote.start().tile(center, 60.0, metres_per_pixel)
    assert tile.valid.all() and tile.attribution == "tests"
    # Overviews are read as they are; GDAL's means of the full pixels differ by their rounding.
    assert np.abs(tile.rgb.astype(int) - direct.rgb).mean() < (0.01 if metres_per_pixel == 0.2 else 12.0)


def test_a_small_picture_reads_a_small_part_of_the_file(remote):
    with open_map(remote.path) as local:
        center = local.bounds().center
    remote.start().tile(center, 30.0, 0.2)
    assert remote.bytes_asked() < remote.path.stat().st_size / 4


def test_a_coarse_picture_reads_a_reduced_copy(remote):
    with open_map(remote.path) as local:
        center = local.bounds().center
    remote.start().tile(center, 400.0, 1.6)
    assert remote.bytes_asked() < remote.path.stat().st_size / 8


def test_missing_names_the_head_then_cells_and_loading_them_fills_the_picture(remote):
    source = remote.start()
    with open_map(remote.path) as local:
        seen = (local.bounds().center, 60.0, 0.2)
        reference = local.tile(*seen)
    assert source.tile_at_hand(*seen) is None and source.info().metres_per_pixel == 0.0
    (opening,) = source.missing(*seen)
    assert source.load(opening)
    assert source.info().metres_per_pixel == pytest.approx(0.2, rel=1e-3)
    cells = source.missing(*seen)
    assert len(cells) == 4 and source.load(cells[0])
    assert 0.1 < source.tile_at_hand(*seen).valid.mean() < 0.9
    assert all(source.load(cell) for cell in cells) and source.missing(*seen) == ()
    assert source.tile_at_hand(*seen).key == reference.key
    remote.server.kill()
    again = remote.start()
    assert again.missing(*seen) == () and again.tile(*seen).key == reference.key


def test_the_edge_of_the_file_is_the_edge_of_the_picture(remote):
    with open_map(remote.path) as local:
        bounds = local.bounds()
        seen = (GeoPoint(bounds.north, bounds.west), 40.0, 0.2)
        direct = local.tile(*seen)
    tile = remote.start().tile(*seen)
    assert (tile.valid == direct.valid).all() and 0.1 < tile.valid.mean() < 0.5


def test_a_file_replaced_on_the_server_is_read_anew(remote, tmp_path):
    source = remote.start()
    with open_map(remote.path) as local:
        seen = (local.bounds().center, 30.0, 0.2)
    source.tile(*seen)
    remote.path = geotiff(tmp_path / "b.tif", seed=1, tiled=True)
    remote.clock.now_s += 40 * 86_400.0
    with open_map(remote.path) as local:
        assert source.tile(*seen).key == local.tile(*seen).key


def test_only_geotiff_is_decoded(remote, tmp_path):
    with open_map(remote.path) as local:
        center = local.bounds().center
    remote.path = tmp_path / "a.png"
    remote.path.write_bytes(png(256, seed=1))
    with pytest.raises(MapError, match="loopback is not a raster"):
        remote.start().tile(center, 30.0, 0.2)


def test_a_file_of_few_large_pieces_is_refused(remote, monkeypatch):
    monkeypatch.setattr(tiff, "LARGEST_BLOCK", 256 * 255)
    with open_map(remote.path) as local, pytest.raises(MapError, match=r"65536 pixels.*of COG"):
        remote.start().tile(local.bounds().center, 30.0, 0.2)


def test_blocks_larger_than_memory_are_refused_and_not_fetched_again_and_again(remote, monkeypatch):
    monkeypatch.setattr(file, "_MEMORY_BYTES", 300_000)
    with open_map(remote.path) as local, pytest.raises(MapError, match=r"786432 bytes.*300000.*of COG"):
        remote.start(cache_allowed=False).tile(local.bounds().center, 30.0, 0.2)
    assert len(remote.server.log) < 5


def test_a_truncated_file_fails_by_name(tmp_path):
    path = geotiff(tmp_path / "a.tif", side=1024, tiled=True, compress="deflate")
    with open_map(path) as local:
        center = local.bounds().center
    path.write_bytes(path.read_bytes()[:400_000])
    made = Remote(tmp_path / "cache", path)
    with made.server, pytest.raises(MapError, match="loopback"):
        made.start().tile(center, 190.0, 0.2)
