# SPDX-License-Identifier: Apache-2.0
"""What the server offers, in the words of TileJSON, WMS and WMTS: enough for GIS programs to add the layer."""

from __future__ import annotations

import json
import math
from xml.sax.saxutils import escape, quoteattr

from geodistill_core.geometry import mercator
from geodistill_core.maps.source import MapInfo

_SCALE_0 = 2 * math.pi * mercator.SEMI_MAJOR_M / 256 / 0.00028
_HALF_WORLD_M = math.pi * mercator.SEMI_MAJOR_M


def tile_json(info: MapInfo, url: str, zooms: range) -> bytes:
    """TileJSON 3.0."""
    bounds, middle = info.bounds, info.bounds.center
    return json.dumps(
        {
            "tilejson": "3.0.0",
            "name": "map",
            "tiles": [f"{url}/{{z}}/{{x}}/{{y}}.png"],
            "minzoom": zooms[0],
            "maxzoom": zooms[-1],
            "bounds": [bounds.west, bounds.south, bounds.east, bounds.north],
            "center": [middle.longitude, middle.latitude, zooms[-1] - 2],
            "attribution": info.attribution,
        }
    ).encode()


def wms_capabilities(info: MapInfo, url: str, formats: list[str]) -> bytes:
    """WMS 1.3.0 capabilities of one layer, `map`."""
    bounds = info.bounds
    kinds = "".join(f"<Format>{kind}</Format>" for kind in formats)
    link = f'<OnlineResource xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href={quoteattr(url + "/wms?")}/>'
    systems = "".join(f"<CRS>{name}</CRS>" for name in ("EPSG:3857", "EPSG:4326", "CRS:84"))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<WMS_Capabilities version="1.3.0" xmlns="http://www.opengis.net/wms">
<Service><Name>WMS</Name><Title>map</Title>{link}</Service>
<Capability><Request><GetMap>{kinds}<DCPType><HTTP><Get>{link}</Get></HTTP></DCPType></GetMap></Request>
<Layer><Title>map</Title>{systems}<Layer queryable="0"><Name>map</Name><Title>map</Title>{systems}
<EX_GeographicBoundingBox><westBoundLongitude>{bounds.west}</westBoundLongitude>
<eastBoundLongitude>{bounds.east}</eastBoundLongitude><southBoundLatitude>{bounds.south}</southBoundLatitude>
<northBoundLatitude>{bounds.north}</northBoundLatitude></EX_GeographicBoundingBox>
<Attribution><Title>{escape(info.attribution)}</Title></Attribution></Layer></Layer></Capability>
</WMS_Capabilities>""".encode()


def _matrix(zoom: int) -> str:
    return (
        f"<TileMatrix><ows:Identifier>{zoom}</ows:Identifier><ScaleDenominator>{_SCALE_0 / 2**zoom!r}"
        f"</ScaleDenominator><TopLeftCorner>{-_HALF_WORLD_M!r} {_HALF_WORLD_M!r}</TopLeftCorner><TileWidth>256"
        f"</TileWidth><TileHeight>256</TileHeight><MatrixWidth>{1 << zoom}</MatrixWidth><MatrixHeight>{1 << zoom}"
        "</MatrixHeight></TileMatrix>"
    )


def wmts_capabilities(info: MapInfo, url: str, zooms: range) -> bytes:
    """WMTS 1.0.0 capabilities of one layer, `map`, in the matrix set GoogleMapsCompatible."""
    bounds = info.bounds
    matrices = "".join(_matrix(zoom) for zoom in range(zooms[-1] + 1))
    template = quoteattr(f"{url}/wmts/map/default/GoogleMapsCompatible/{{TileMatrix}}/{{TileRow}}/{{TileCol}}.png")
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Capabilities version="1.0.0" xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1">
<ows:ServiceIdentification><ows:Title>map</ows:Title><ows:ServiceType>OGC WMTS</ows:ServiceType>
<ows:ServiceTypeVersion>1.0.0</ows:ServiceTypeVersion></ows:ServiceIdentification>
<Contents><Layer><ows:Title>map</ows:Title><ows:Identifier>map</ows:Identifier><ows:WGS84BoundingBox>
<ows:LowerCorner>{bounds.west} {bounds.south}</ows:LowerCorner>
<ows:UpperCorner>{bounds.east} {bounds.north}</ows:UpperCorner></ows:WGS84BoundingBox>
<Style isDefault="true"><ows:Identifier>default</ows:Identifier></Style><Format>image/png</Format>
<TileMatrixSetLink><TileMatrixSet>GoogleMapsCompatible</TileMatrixSet></TileMatrixSetLink>
<ResourceURL format="image/png" resourceType="tile" template={template}/></Layer>
<TileMatrixSet><ows:Identifier>GoogleMapsCompatible</ows:Identifier>
<ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>{matrices}</TileMatrixSet></Contents>
</Capabilities>""".encode()
