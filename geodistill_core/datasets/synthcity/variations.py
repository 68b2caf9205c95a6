# SPDX-License-Identifier: Apache-2.0
"""Cities in which a place is easily mistaken for another: rows of houses alike, and carriageways side by side.

They stand beside the styles and not among them, so that nobody trains on them by choosing all styles.
"""

from __future__ import annotations

from dataclasses import replace

from geodistill_core.datasets.synthcity.styles import CAMPUS, MIDTOWN, TERRACES, Style

PERIOD_M = 16.0
TWIN_M = 18.0
_HOUSE_M = 12.0
# A larger kerb radius would pave the strip between the two.
_TWIN_CORNER_M = 3.0


def rows(style: Style) -> Style:
    """Straight blocks of one size, along each of them the same house, driveway, tree every `PERIOD_M`."""
    return replace(
        style, name=f"{style.name}_rows", alike=True,
        block_m=(6 * PERIOD_M, 6 * PERIOD_M), warp_m=0.0, jitter=0.0, removal=0.0, major_lanes=style.minor_lanes,
        parking_lane=False, bike_lane=False, centre="solid", crosswalk_probability=1.0, arrow_probability=0.0,
        setback_m=(4.0, 4.0), frontage_m=(_HOUSE_M, _HOUSE_M), depth_m=(10.0, 10.0),
        gap_m=(PERIOD_M - _HOUSE_M, PERIOD_M - _HOUSE_M), lot_probability=0.0, open_probability=0.0,
        tree_spacing_m=PERIOD_M,
    )  # fmt: skip


def twin(style: Style) -> Style:
    """Long blocks; the streets of one direction come in pairs, `TWIN_M` apart, with the same lanes and markings."""
    return replace(
        style, name=f"{style.name}_twin", twin_m=TWIN_M,
        block_m=(110.0, 150.0), jitter=0.0, removal=0.0, major_lanes=style.minor_lanes,
        parking_lane=False, bike_lane=False, corner_m=_TWIN_CORNER_M,
    )  # fmt: skip


VARIATIONS: dict[str, Style] = {s.name: s for style in (CAMPUS, MIDTOWN, TERRACES) for s in (rows(style), twin(style))}
