# SPDX-License-Identifier: Apache-2.0
"""Where tiles come from: folders, MBTiles, GeoTIFF, images in memory."""

from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.mbtiles_writer import write_mbtiles
from geodistill_core.maps.open import open_map
from geodistill_core.maps.raster import RasterSource
from geodistill_core.maps.source import MapInfo, MapSource

__all__ = ["GeoBounds", "MapInfo", "MapSource", "RasterSource", "open_map", "write_mbtiles"]
