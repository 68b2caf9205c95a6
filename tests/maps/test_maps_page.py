# SPDX-License-Identifier: Apache-2.0
"""What docs/maps.md says of imagery sources is so."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.presets import preset_names, preset_text
from geodistill_core.maps.spec import SourceSpec, parse_source

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "maps.md").read_text(encoding="utf-8")


def first_cells(heading):
    """Code names in the first column of the tables between a heading or sentence and the next heading."""
    part = PAGE.split(heading, 1)[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([a-z0-9_-]+)`", row)}


def test_the_example_on_the_page_is_a_source():
    example = yaml.safe_load(PAGE.split("```yaml\n")[1].split("```")[0])
    spec = parse_source(example, "docs/maps.md")
    assert spec.tile_url(TileAddress(12, 2145, 1434)).endswith("/12/2145/1434.jpg?key={key}")


def test_the_page_lists_every_field_of_a_source_and_no_other():
    listed = first_cells("These must be there") - first_cells("## Open imagery")
    assert listed == set(SourceSpec.model_fields)


def test_the_page_states_the_defaults():
    for name in ("max_connections", "max_preload_tiles", "map_sigma_m"):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.rstrip(" |").endswith(str(SourceSpec.model_fields[name].default))


def test_the_page_lists_every_preset():
    assert first_cells("## Open imagery") == set(preset_names())
    for name in preset_names():
        assert yaml.safe_load(preset_text(name))["terms_accepted"] is False
