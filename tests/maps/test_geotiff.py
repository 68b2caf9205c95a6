# SPDX-License-Identifier: Apache-2.0
"""GeoTIFFs, real and made here, against GDAL's warp and against arithmetic."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from gdal_oracle import gdal_tile, shift_px
from pyproj import Transformer
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import from_origin

from geodistill_core.errors import MapError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps import open_map, resample
from geodistill_core.types import GeoPoint

REAL = Path(__file__).parents[2] / "../shared/data/geotiff"
COLORADO = "201404_13SED190110_201404_0x1500m_CL_1"
real_data = pytest.mark.skipif(not REAL.is_dir(), reason="real data absent: geotiff")


@real_data
@pytest.mark.parametrize("metres_per_pixel", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(
    "name",
    [f"{COLORADO}.tif", "cog_rgb.tif", "deepforest_manila_epsg3395.tif", "deepforest_rdnew_test_tiled.tif"],
)
def test_tile_is_what_gdal_warps_into_a_local_projection(name, metres_per_pixel):
    with open_map(REAL / name) as map_:
        center = map_.bounds().center
        tile = map_.tile(center, 32.0, metres_per_pixel)
    reference = gdal_tile(REAL / name, center, tile.rgb.shape[0], metres_per_pixel)
    assert tile.valid.all()
    assert np.median(np.abs(tile.rgb.astype(int) - reference)) <= 2
    assert shift_px(tile.rgb, reference) < 0.5


@real_data
@pytest.mark.parametrize("variant", ["alpha", "mask", "nodata"])
@pytest.mark.parametrize("metres_per_pixel", [0.15, 0.25])
def test_real_masks_of_every_kind_become_the_tile_s_validity(variant, metres_per_pixel):
    path = REAL / f"{COLORADO}_{variant}.tif"
    with rasterio.open(path) as dataset:
        bands = dataset.read([1, 2, 3])
        if variant == "alpha":
            seen = dataset.read(4) > 127
        elif variant == "nodata":
            seen = (bands != 0).any(axis=0)
        else:
            seen = dataset.read_masks(1) > 127
        to_crs = Transformer.from_crs(4326, dataset.crs.to_wkt(), always_xy=True)
        inverse = ~dataset.transform
    with open_map(path) as map_:
        tile = map_.tile(map_.bounds().center, 64.0, metres_per_pixel)
    rows, columns = np.mgrid[0 : tile.valid.shape[0], 0 : tile.valid.shape[1]] + 0.5
    latitude, longitude = LocalFrame(tile.center).to_geodetic(*tile.pixel_to_enu(columns, rows))
    x, y = to_crs.transform(longitude, latitude)
    column = np.floor(inverse.a * x + inverse.b * y + inverse.c).astype(int)
    row = np.floor(inverse.d * x + inverse.e * y + inverse.f).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < seen.shape[1]) & (row < seen.shape[0])
    expected = inside & seen[np.clip(row, 0, seen.shape[0] - 1), np.clip(column, 0, seen.shape[1] - 1)]
    # Nearest source pixel against half coverage: they differ on rims only.
    assert (tile.valid != expected).mean() < 0.01
    assert 0.1 < tile.valid.mean() < 0.9
    assert (tile.rgb[~tile.valid] == 0).all()


def make(path, image: np.ndarray, crs: str, left: float, top: float, pixel: float, **profile) -> Path:
    bands = np.moveaxis(image, 2, 0)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=image.shape[0],
        width=image.shape[1],
        count=bands.shape[0],
        dtype=image.dtype,
        crs=crs,
        transform=from_origin(left, top, pixel, pixel),
        **profile,
    ) as dataset:
        dataset.write(bands)
    return path


def quarters(side: int = 400) -> np.ndarray:
    """Grey levels 40, 80 over 120, 160, meeting in the middle."""
    image = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    image[:half, :half], image[:half, half:], image[half:, :half], image[half:, half:] = 40, 80, 120, 160
    return image


def assert_quarters_meet_at_the_centre(tile) -> None:
    half = tile.rgb.shape[0] // 2
    assert tile.valid.all()
    for rows, columns, level in (
        (slice(0, half - 2), slice(0, half - 2), 40),
        (slice(0, half - 2), slice(half + 2, None), 80),
        (slice(half + 2, None), slice(0, half - 2), 120),
        (slice(half + 2, None), slice(half + 2, None), 160),
    ):
        assert (tile.rgb[rows, columns] == level).all()


@pytest.mark.parametrize("crs, at", [("EPSG:4326", (-17.0, 180.0)), ("EPSG:4326", (-17.0, -180.0))])
def test_degrees_across_the_antimeridian_either_way(tmp_path, crs, at):
    pixel = 2e-6
    path = make(tmp_path / "a.tif", quarters(), crs, at[1] - 200 * pixel, at[0] + 200 * pixel, pixel)
    with open_map(path) as map_:
        assert map_.bounds().west > 179.9 and map_.bounds().east < -179.9
        assert_quarters_meet_at_the_centre(map_.tile(GeoPoint(-17.0, 180.0), 40.0, 0.25))


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:3832", "EPSG:32701", "EPSG:32760"])
def test_projected_rasters_across_the_antimeridian(tmp_path, crs):
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(180.0, -17.0)
    path = make(tmp_path / "a.tif", quarters(), crs, x - 200 * 0.2, y + 200 * 0.2, 0.2)
    with open_map(path) as map_:
        assert map_.bounds().width < 0.01 and map_.bounds().contains(GeoPoint(-17.0, 180.0))
        tile = map_.tile(GeoPoint(-17.0, 180.0), 40.0, 0.25)
    assert tile.valid.all()
    reference = (40 + 80 + 120 + 160) / 4
    assert tile.rgb.mean() == pytest.approx(reference, abs=1.0)
    offsets = [tile.rgb.shape[0] // 2 + step for step in (-40, 40)]
    assert [int(tile.rgb[r, c, 0]) for r in offsets for c in offsets] == [40, 80, 120, 160]


def test_degrees_near_a_pole_are_sampled_block_by_block(tmp_path, monkeypatch):
    positions, sides = resample._positions, []
    monkeypatch.setattr(resample, "_SAMPLED_BLOCK", 256)
    monkeypatch.setattr(
        resample, "_positions", lambda *block: sides.append(len(positions(*block))) or positions(*block)
    )
    pixel = 4e-6
    path = make(tmp_path / "a.tif", quarters(800), "EPSG:4326", 8.0 - 400 * pixel, 80.0 + 400 * pixel, pixel)
    with open_map(path) as map_:
        # A pixel is 0.45 m long and 0.08 m wide: 16 of them lie side by side on one of the tile's.
        tile = map_.tile(GeoPoint(80.0, 8.0), 48.0, 1.2)
    assert max(sides) <= 256 and len(sides) > 4
    assert_quarters_meet_at_the_centre(tile)


@pytest.mark.parametrize("with_overviews", [False, True])
def test_shrinking_takes_area_means_with_and_without_overviews(tmp_path, with_overviews):
    place = GeoPoint(47.0, 9.0)
    image = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
    image[:, :600] //= 2
    x, y = Transformer.from_crs(4326, "EPSG:32632", always_xy=True).transform(9.0, 47.0)
    path = make(tmp_path / "a.tif", image, "EPSG:32632", x - 60.0, y + 60.0, 0.1, tiled=True)
    if with_overviews:
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4, 8], Resampling.average)
    with open_map(path) as map_:
        tile = map_.tile(place, 80.0, 2.0)
    # Each pixel is the mean of about 400 noisy ones: noise of 74 shrinks to 4 over the bright half.
    assert tile.rgb[:, 21:].std() < 6.0 and tile.rgb[:, 21:].mean() == pytest.approx(127.5, abs=1.0)
    assert tile.rgb[:, :19].mean() == pytest.approx(63.5, abs=1.0)


def test_grey_with_alpha_and_channels_in_another_order_give_rgb(tmp_path):
    grey = np.dstack([np.full((200, 200), 77, np.uint8), np.full((200, 200), 255, np.uint8)])
    grey[:, 100:, 1] = 0
    path = make(tmp_path / "grey.tif", grey, "EPSG:32632", 5e5, 5.2e6, 0.5)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    with open_map(path) as map_:
        tile = map_.tile(map_.bounds().center, 60.0, 0.5)
    assert (tile.rgb[tile.valid] == 77).all() and tile.valid.mean() == pytest.approx(0.5, abs=0.02)
    bgr = np.zeros((200, 200, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    path = make(tmp_path / "bgr.tif", bgr, "EPSG:32632", 5e5, 5.2e6, 0.5, photometric="MINISBLACK")
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    with open_map(path) as map_:
        assert (map_.tile(map_.bounds().center, 20.0, 0.5).rgb == (30, 20, 10)).all()


def test_a_vrt_reads_as_its_sources(tmp_path):
    path = make(tmp_path / "a.tif", quarters(), "EPSG:32632", 5e5, 5.2e6, 0.5)
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{b}"><SimpleSource><SourceFilename relativeToVRT="1">a.tif'
        f"</SourceFilename><SourceBand>{b}</SourceBand></SimpleSource></VRTRasterBand>"
        for b in (1, 2, 3)
    )
    (tmp_path / "a.vrt").write_text(
        '<VRTDataset rasterXSize="400" rasterYSize="400"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>500000, 0.5, 0, 5200000, 0, -0.5</GeoTransform>{bands}</VRTDataset>"
    )
    with open_map(path) as direct, open_map(tmp_path / "a.vrt") as virtual:
        center = direct.bounds().center
        assert virtual.tile(center, 60.0, 0.5).key == direct.tile(center, 60.0, 0.5).key


def test_unusable_rasters_are_refused_with_a_remedy(tmp_path):
    sixteen = make(tmp_path / "a.tif", quarters().astype(np.uint16), "EPSG:32632", 5e5, 5.2e6, 0.5)
    with pytest.raises(MapError, match="gdal_translate -ot Byte"):
        open_map(sixteen)
    bare = make(tmp_path / "b.tif", quarters(), None, 5e5, 5.2e6, 0.5)
    with pytest.raises(MapError, match="no geo-reference"):
        open_map(bare)
    nowhere = make(tmp_path / "d.tif", quarters(), 'LOCAL_CS["site",UNIT["metre",1]]', 5e5, 5.2e6, 0.5)
    with pytest.raises(MapError, match=r"d\.tif is in a coordinate system of no known place.*-a_srs EPSG"):
        open_map(nowhere)
    one_band = quarters()[..., :1]
    palette = make(tmp_path / "c.tif", one_band, "EPSG:32632", 5e5, 5.2e6, 0.5, photometric="PALETTE")
    with pytest.raises(MapError, match="-expand rgb"):
        open_map(palette)


def test_a_truncated_file_fails_by_name_when_it_is_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    path = make(tmp_path / "a.tif", noise, "EPSG:32632", 5e5, 5.2e6, 0.5)
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(MapError, match=r"a\.tif"), open_map(path) as map_:
        map_.tile(map_.bounds().center, 150.0, 0.5)


def test_threads_read_what_one_reader_reads(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    path = make(tmp_path / "a.tif", noise, "EPSG:32632", 5e5, 5.2e6, 0.1, tiled=True, compress="deflate")
    with open_map(path) as map_, ThreadPoolExecutor(4) as pool:
        frame = LocalFrame(map_.bounds().center)
        centers = [frame.point(float(i % 8), 1.0) for i in range(32)]
        keys = list(pool.map(lambda center: map_.tile(center, 40.0, 0.25).key, centers))
        assert keys == [map_.tile(center, 40.0, 0.25).key for center in centers]
