# SPDX-License-Identifier: Apache-2.0
"""Imagery sources: which descriptions are refused and why, and which addresses come of the others."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from geodistill_core.errors import ConfigError
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.presets import preset_names, preset_text
from geodistill_core.maps.spec import Secret, SourceSpec, load_source, parse_source
from geodistill_core.maps.tile_requests import map_url

XYZ = {
    "name": "aerial",
    "kind": "xyz",
    "url": "https://tiles.example/{z}/{x}/{y}.png",
    "attribution": "© Example",
    "terms_url": "https://tiles.example/terms",
    "terms_accepted": True,
    "cache_allowed": True,
    "zooms": [10, 20],
}
WMS = XYZ | {"kind": "wms", "url": "https://wms.example/wms", "layers": "ortho"}
WMTS = XYZ | {"kind": "wmts", "url": "https://wmts.example/wmts", "layer": "ortho", "tile_matrix_set": "PM"}
AT = TileAddress(12, 2145, 1434)


def source(fields=None, **changes):
    return parse_source((fields or XYZ) | changes, "source.yaml")


def refusal(fields):
    with pytest.raises(ConfigError) as found:
        parse_source(fields, "source.yaml")
    assert "source.yaml" in str(found.value) and found.value.exit_code == 2
    return str(found.value)


@pytest.mark.parametrize(
    "path",
    [
        "{z}/../../{x}/{y}",
        "{z}/%2e%2e/{x}/{y}",
        "{z}/%252e%252e/{x}/{y}",
        "{z}/..%2f{x}/{y}",
        "{z}/./{x}/{y}",
        "{z}/{x}/{y}/..",
        "{z}\\..\\{x}/{y}",
        "{z}/{x}/{y}\n.png",
        "{z}/{x}/..;/{y}",
    ],
)
def test_f12_a_template_that_leaves_its_folder_is_refused_when_it_is_configured(path, tmp_path):
    file = tmp_path / "source.yaml"
    file.write_text(yaml.safe_dump(XYZ | {"url": f"https://tiles.example/{path}"}))
    with pytest.raises(ConfigError, match=r"url .*(segments|backslash|control)"):
        load_source(file)


@pytest.mark.parametrize("value", ["..", ".", "%2e%2e"])
def test_f12_a_layer_cannot_leave_the_folder_either(value):
    rest = WMTS | {"url": "https://wmts.example/{Layer}/{TileMatrix}/{TileCol}/{TileRow}.png", "layer": value}
    assert "segments" in refusal(rest)


@pytest.mark.parametrize("name", ["../etc", "a/b", ".hidden", "A b", "", "x" * 65, "a\x00"])
def test_f12_a_name_that_is_no_folder_name_is_refused(name):
    assert "name" in refusal(XYZ | {"name": name})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/{z}{x}{y}", "scheme"),
        ("ftp://tiles.example/{z}/{x}/{y}", "scheme"),
        ("gopher://tiles.example/{z}/{x}/{y}", "scheme"),
        ("//tiles.example/{z}/{x}/{y}", "scheme"),
        ("https:///{z}/{x}/{y}", "host"),
        ("https://{x}.example/{z}/{x}/{y}", "placeholder in the host"),
        ("https://me:pass@tiles.example/{z}/{x}/{y}", "key_env"),
        ("https://tiles.example/{z}/{x}/{y}#part", "fragment"),
        ("https://tiles.example/{z}/{x}/{y}/{time}", "time"),
        ("https://tiles.example/{z}/{x}/{y}/{", "braces"),
        ("https://tiles.example/{z}/{x}", "column and row"),
        ("https://[::1/{z}/{x}/{y}", "no URL"),
        ("https://tiles.example:port/{z}/{x}/{y}", "no URL"),
        ("https://{s}.example/{z}/{x}/{y}", "subdomains"),
        ("https://tiles.example/{z}/{x}/{y}?key={key}", "key_env"),
    ],
)
def test_an_address_that_cannot_be_asked_is_refused_with_the_reason(url, words):
    assert words in refusal(XYZ | {"url": url})


@pytest.mark.parametrize(
    "field", ["attribution", "terms_url", "terms_accepted", "cache_allowed", "name", "kind", "url"]
)
def test_f13_a_source_without_a_field_of_its_terms_is_refused_and_told_what_to_write(field):
    text = refusal({name: value for name, value in XYZ.items() if name != field})
    assert f"{field} is missing: " in text and len(text.split("missing: ")[1]) > 20


def test_f13_terms_that_are_not_accepted_are_named_with_their_address():
    text = refusal(XYZ | {"terms_accepted": False})
    assert "https://tiles.example/terms" in text and "terms_accepted: true" in text


@pytest.mark.parametrize("attribution", ["", "   ", "two\nlines", "\x1b[31mred"])
def test_f13_an_empty_or_unprintable_attribution_is_refused(attribution):
    assert "attribution" in refusal(XYZ | {"attribution": attribution})


@pytest.mark.parametrize("zoom", [9, 21])
def test_f13_a_zoom_over_the_limit_is_refused_with_the_limits(zoom):
    with pytest.raises(ConfigError, match=rf"zoom {zoom} is outside 10\.\.20"):
        source().tile_url(TileAddress(zoom, 0, 0))


def test_f13_zooms_must_be_given_and_ascend():
    assert "zooms is missing" in refusal({name: value for name, value in XYZ.items() if name != "zooms"})
    assert "ascend" in refusal(XYZ | {"zooms": [20, 10]})
    assert "zooms" in refusal(XYZ | {"zooms": [0, 99]})


def test_f13_a_preload_of_more_tiles_than_allowed_is_refused():
    spec = source(max_preload_tiles=500)
    spec.require_preload(500)
    with pytest.raises(ConfigError, match=r"501 tiles .* allows 500 .*smaller area"):
        spec.require_preload(501)


def test_f13_nothing_is_preloaded_where_storing_is_not_allowed():
    with pytest.raises(ConfigError, match="cache_allowed: false"):
        source(cache_allowed=False).require_preload(1)


def test_a_field_that_there_is_not_is_refused_by_name():
    assert "max_conections is no field" in refusal(XYZ | {"max_conections": 1})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (XYZ | {"layers": "a"}, "layers has no meaning"),
        ({name: value for name, value in WMS.items() if name != "layers"}, "layers is missing"),
        ({name: value for name, value in WMTS.items() if name != "layer"}, "layer is missing"),
        (WMS | {"crs": "EPSG:999999"}, "crs EPSG:999999 is unknown"),
        (XYZ | {"bounds": [0, 50, 10, 40]}, "bounds"),
        (XYZ | {"max_connections": 50}, "max_connections"),
        (XYZ | {"tile_size": 300}, "tile_size"),
        (XYZ | {"no_imagery_sha256": ["abc"]}, "no_imagery_sha256"),
        (XYZ | {"key_env": "KEY"}, "key_env names the variable"),
        (XYZ | {"key_header": "X-Api-Key"}, "key_env names the variable"),
        (XYZ | {"key_env": "KEY", "key_header": "Host"}, "key_header Host is not for keys"),
        (XYZ | {"key_env": "KEY", "key_header": "X-Key: abc"}, "key_header"),
        (XYZ | {"key_env": "KEY", "key_header": "X-Key", "url": "HTTP://tiles.example/{z}/{x}/{y}"}, "unencrypted"),
        (XYZ | {"user_agent_contact": "Bürgeramt <a@example.org>"}, "ASCII"),
        (XYZ | {"url": "https://bücher.example/{z}/{x}/{y}"}, "xn--"),
        (XYZ | {"allowed_hosts": ["tiles.example:8080"]}, "without scheme, port or path"),
        (XYZ | {"allowed_hosts": ["https://tiles.example"]}, "without scheme, port or path"),
        (["a list"], "describes no imagery source"),
    ],
)
def test_what_does_not_fit_together_is_refused(fields, words):
    assert words in refusal(fields)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"a: [", b"x" * 70_000, b"- 1", b"", b"a: !!python/object:os.system"]
)
def test_a_file_that_is_no_source_is_refused_without_a_traceback(content, tmp_path):
    file = tmp_path / "source.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="source"):
        load_source(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read"):
        load_source(tmp_path / "nowhere.yaml")


def test_a_slippy_address_counts_rows_from_the_north_and_tms_from_the_south():
    assert source().tile_url(AT) == "https://tiles.example/12/2145/1434.png"
    assert source(kind="tms").tile_url(AT) == "https://tiles.example/12/2145/2661.png"
    assert source(url="https://tiles.example/{z}/{x}/{-y}").tile_url(AT) == "https://tiles.example/12/2145/2661"


def test_a_quadkey_is_that_of_the_published_example():
    # Bing Maps Tile System: tile (3, 5) at level 3 has the quadkey 213
    assert source(url="https://tiles.example/{quadkey}", zooms=[1, 9]).tile_url(TileAddress(3, 3, 5)).endswith("/213")


def test_double_resolution_stands_in_the_address_and_in_the_size():
    spec = source(url="https://tiles.example/{z}/{x}/{y}{r}.png", scale=2)
    assert spec.tile_url(AT) == "https://tiles.example/12/2145/1434@2x.png" and spec.tile_pixels == 512
    assert source(url="https://tiles.example/{z}/{x}/{y}{r}.png").tile_url(AT).endswith("1434.png")


def test_subdomains_share_the_tiles_and_are_the_hosts():
    spec = source(url="https://{s}.example/{z}/{x}/{y}", subdomains=["a", "b"], allowed_hosts=["CDN.example"])
    used = {spec.tile_url(TileAddress(12, column, 7)).split("/")[2] for column in range(4)}
    assert used == {"a.example", "b.example"} and spec.hosts == {"a.example", "b.example", "cdn.example"}
    assert spec.tile_url(AT) == spec.tile_url(AT)


def query(url):
    return dict(part.split("=", 1) for part in url.split("?", 1)[1].split("&"))


def test_a_wms_is_asked_for_the_tile_in_web_mercator_metres():
    asked = query(source(WMS).tile_url(AT))
    west, south, east, north = (float(value) for value in asked["BBOX"].split(","))
    to_mercator = Transformer.from_crs(4326, 3857, always_xy=True)
    corner = to_mercator.transform(2145 / 4096 * 360 - 180, 0.0)[0]
    assert west == pytest.approx(corner, abs=1e-6) and east - west == pytest.approx(north - south, abs=1e-6)
    assert (east - west) * 4096 == pytest.approx(2 * 20037508.342789244, abs=1e-3)
    assert (asked["CRS"], asked["VERSION"], asked["LAYERS"], asked["WIDTH"]) == ("EPSG:3857", "1.3.0", "ortho", "256")


def test_a_wms_1_3_is_asked_in_the_axis_order_of_its_system_and_1_1_in_x_y():
    box = (8.0, 47.0, 9.0, 48.0)
    new, old = source(WMS, crs="EPSG:4326"), source(WMS, crs="EPSG:4326", version="1.1.1")
    assert query(map_url(new, box, 10, 10))["BBOX"] == "47.0,8.0,48.0,9.0"
    assert query(map_url(old, box, 10, 10))["BBOX"] == "8.0,47.0,9.0,48.0"
    assert query(map_url(old, box, 10, 10))["SRS"] == "EPSG:4326"
    assert query(map_url(source(WMS, crs="EPSG:25832"), (1, 2, 3, 4), 9, 9))["BBOX"] == "1.0,2.0,3.0,4.0"


def test_a_wms_address_with_a_query_keeps_it():
    url = source(WMS, url="https://wms.example/cgi?map=/a.map").tile_url(AT)
    assert url.startswith("https://wms.example/cgi?map=/a.map&SERVICE=WMS&")


def test_a_wmts_is_asked_by_query_or_by_path():
    asked = query(source(WMTS, tile_matrix="EPSG:3857:{z}").tile_url(AT))
    assert (asked["TILEMATRIX"], asked["TILECOL"], asked["TILEROW"]) == ("EPSG:3857:12", "2145", "1434")
    rest = "https://wmts.example/{Layer}/{Style}/{TileMatrixSet}/{TileMatrix}/{TileRow}/{TileCol}.jpeg"
    assert source(WMTS, url=rest).tile_url(AT) == "https://wmts.example/ortho/default/PM/12/1434/2145.jpeg"


def test_a_file_has_no_tile_addresses():
    with pytest.raises(ConfigError, match="one file"):
        source(kind="cog", url="https://files.example/a.tif").tile_url(AT)


def test_further_hosts_are_names_or_addresses():
    hosts = source(allowed_hosts=["CDN.example.org", "[2001:db8::1]", "10.0.0.1", "tile_server"]).hosts
    assert hosts == {"tiles.example", "cdn.example.org", "2001:db8::1", "10.0.0.1", "tile_server"}


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("X-Api-Key", {"X-Api-Key": "abcd/ef"}),
        ("Authorization Bearer", {"Authorization": "Bearer abcd/ef"}),
        ("Authorization", {"Authorization": "abcd/ef"}),
    ],
)
def test_a_key_goes_into_the_header_that_the_service_names(header, sent):
    assert source(key_env="KEY", key_header=header).key_headers(Secret("abcd/ef")) == sent


def test_a_key_that_no_header_carries_is_refused_without_being_shown(monkeypatch):
    monkeypatch.setenv("KEY", "schlüssel")
    with pytest.raises(ConfigError, match=r"variable KEY .*ASCII") as found:
        source(key_env="KEY", key_header="X-Api-Key").secret()
    assert "schl" not in str(found.value)


def test_the_id_tells_pictures_apart_and_nothing_else():
    base = source().source_id
    assert base == source(attribution="other", max_connections=1, zooms=[1, 3], map_sigma_m=2.0).source_id
    others = {source(**change).source_id for change in ({"url": XYZ["url"] + "8"}, {"tile_size": 512}, {"name": "b"})}
    assert len(others | {base}) == 4 and all(part.replace("-", "").isalnum() for part in others)


@given(st.text(max_size=60))
def test_no_text_makes_an_address_that_leaves_the_host(text):
    try:
        spec = source(url="https://tiles.example/" + text + "/{z}/{x}/{y}")
    except ConfigError:
        return
    assert spec.hosts == {"tiles.example"} and spec.tile_url(AT).startswith("https://tiles.example/")
    assert "/../" not in spec.tile_url(AT)


@given(
    st.dictionaries(st.sampled_from(sorted(SourceSpec.model_fields)), st.none() | st.integers() | st.text(max_size=9))
)
def test_no_description_fails_in_another_way_than_by_refusal(changes):
    try:
        assert parse_source(XYZ | changes, "source.yaml").source_id
    except ConfigError as error:
        assert str(error)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_open_imagery_whose_terms_the_user_must_accept(name):
    fields = yaml.safe_load(preset_text(name))
    assert "terms_accepted" in refusal(fields) and fields["terms_url"] in refusal(fields)
    spec = parse_source(fields | {"terms_accepted": True}, name)
    assert spec.name == name and spec.key_env is None and not spec.allow_private and spec.url.startswith("https://")
    assert spec.bounds is not None and spec.tile_url(TileAddress(spec.zooms[1], 0, 0)).startswith("https://")


def test_an_unknown_preset_is_answered_with_those_there_are():
    with pytest.raises(ConfigError, match="switzerland"):
        preset_text("../spec")
