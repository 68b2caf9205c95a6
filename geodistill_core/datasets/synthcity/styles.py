# SPDX-License-Identifier: Apache-2.0
"""City styles: what makes one procedural city differ from another."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]

_BRICKS: tuple[Colour, ...] = ((150, 84, 66), (168, 108, 84), (122, 70, 58), (186, 150, 120), (205, 196, 180))
_STUCCO: tuple[Colour, ...] = (
    (222, 206, 170),
    (230, 222, 205),
    (205, 170, 130),
    (214, 190, 182),
    (188, 196, 188),
)
_GLASS: tuple[Colour, ...] = (
    (120, 134, 146),
    (150, 156, 158),
    (96, 104, 112),
    (190, 186, 176),
    (134, 116, 100),
)
_METAL: tuple[Colour, ...] = (
    (176, 182, 186),
    (140, 154, 168),
    (206, 204, 196),
    (120, 140, 130),
    (170, 160, 140),
)
_SIDING: tuple[Colour, ...] = (
    (226, 222, 212),
    (190, 198, 204),
    (206, 192, 164),
    (160, 172, 160),
    (176, 140, 120),
)
_TILES: tuple[Colour, ...] = ((150, 80, 58), (132, 72, 54), (160, 98, 72), (118, 84, 72))
_SHINGLES: tuple[Colour, ...] = ((88, 84, 82), (110, 96, 86), (72, 76, 82), (130, 116, 104))
_FLAT: tuple[Colour, ...] = ((150, 148, 144), (118, 118, 118), (186, 184, 178), (96, 94, 94), (210, 208, 204))


@dataclass(frozen=True, slots=True)
class Style:
    """One kind of city. Lengths in metres, probabilities in 0..1, colours in sRGB.

    `warp_m` bends the street grid smoothly, `jitter` moves its crossings (fraction of a block), `removal`
    takes streets out. Every `major_every`-th street of the grid is a major one with its own number of lanes
    per direction. In a city of `alike` streets every house, tree and lamp is like the next, at even spacing.
    `twin_m` > 0 doubles every other direction's streets: a second carriageway runs beside each, this far away.
    """

    name: str
    block_m: tuple[float, float]
    warp_m: float
    jitter: float
    removal: float
    major_every: int
    major_lanes: int
    minor_lanes: int
    lane_width_m: float
    median_m: float
    parking_lane: bool
    bike_lane: bool
    verge_m: float
    sidewalk_m: float
    corner_m: float
    centre: str  # double | solid | dashed
    centre_yellow: bool
    edge_lines: bool
    dash_m: tuple[float, float]
    line_width_m: float
    crosswalk: str  # zebra | ladder | bars
    crosswalk_probability: float
    arrow_probability: float
    left_hand: bool
    setback_m: tuple[float, float]
    frontage_m: tuple[float, float]
    depth_m: tuple[float, float]
    height_m: tuple[float, float]
    gap_m: tuple[float, float]
    pitched: float
    lot_probability: float
    open_probability: float
    block_material: str  # grass | paved | gravel
    tree_spacing_m: float
    tree_density: float  # trees per 1000 square metres of open block
    tree_radius_m: tuple[float, float]
    walls: tuple[Colour, ...]
    roofs: tuple[Colour, ...]
    asphalt: tuple[int, int]  # grey level range
    sidewalk: Colour
    occupancy: float
    traffic: float
    water_probability: float
    alike: bool = False
    twin_m: float = 0.0


def _style(name: str, **changes: object) -> Style:
    """A style from the commonest street of all, with what is different about this one."""
    values: dict[str, object] = dict(
        block_m=(70.0, 100.0), warp_m=0.0, jitter=0.0, removal=0.08, major_every=3, major_lanes=2,
        minor_lanes=1,
        lane_width_m=3.3, median_m=0.0, parking_lane=True, bike_lane=False, verge_m=0.0, sidewalk_m=3.0,
        corner_m=5.0,
        centre="double", centre_yellow=True, edge_lines=False, dash_m=(3.0, 6.0), line_width_m=0.13,
        crosswalk="zebra",
        crosswalk_probability=0.85, arrow_probability=0.5, left_hand=False, setback_m=(0.3, 2.0),
        frontage_m=(14.0, 34.0),
        depth_m=(14.0, 24.0), height_m=(10.0, 40.0), gap_m=(0.0, 3.0), pitched=0.0, lot_probability=0.12,
        open_probability=0.08, block_material="paved", tree_spacing_m=14.0, tree_density=0.6,
        tree_radius_m=(1.5, 3.0),
        walls=_GLASS, roofs=_FLAT, asphalt=(94, 134), sidewalk=(168, 164, 156), occupancy=0.55, traffic=1.0,
        water_probability=0.05,
    )  # fmt: skip
    values.update(changes)
    return Style(name=name, **values)  # type: ignore[arg-type]


DOWNTOWN = _style("downtown", height_m=(12.0, 55.0), lot_probability=0.15)
SUBURB = _style(
    "suburb", block_m=(75.0, 125.0), warp_m=17.0, jitter=0.08, removal=0.22, major_every=4, major_lanes=1,
    parking_lane=False, verge_m=1.8, sidewalk_m=1.5, corner_m=7.0, centre="dashed", edge_lines=True,
    crosswalk="bars",
    crosswalk_probability=0.5, arrow_probability=0.3, setback_m=(6.0, 9.0), frontage_m=(11.0, 18.0),
    depth_m=(9.0, 13.0), height_m=(4.5, 8.0), gap_m=(4.0, 9.0), pitched=0.95, lot_probability=0.03,
    open_probability=0.12, block_material="grass", tree_spacing_m=16.0, tree_density=3.0,
    tree_radius_m=(1.8, 4.2),
    walls=_SIDING, roofs=_SHINGLES, asphalt=(104, 148), occupancy=0.25, traffic=0.5, water_probability=0.2,
)  # fmt: skip
OLD_TOWN = _style(
    "old_town", block_m=(48.0, 80.0), warp_m=9.0, jitter=0.2, removal=0.2, major_every=3, major_lanes=1,
    lane_width_m=3.0, sidewalk_m=2.2, corner_m=4.0, centre="dashed", centre_yellow=False, line_width_m=0.12,
    dash_m=(3.0, 3.0), arrow_probability=0.25, setback_m=(0.0, 0.6), frontage_m=(9.0, 20.0), depth_m=(9.0,
    14.0),
    height_m=(8.0, 17.0), gap_m=(0.0, 0.6), pitched=0.85, lot_probability=0.06, open_probability=0.1,
    tree_spacing_m=18.0, tree_density=1.2, walls=_STUCCO, roofs=_TILES, asphalt=(90, 126), sidewalk=(158,
    150, 140),
    occupancy=0.7, traffic=0.7,
)  # fmt: skip
INDUSTRIAL = _style(
    "industrial", block_m=(95.0, 150.0), warp_m=4.0, removal=0.1, major_every=2, major_lanes=2,
    lane_width_m=3.6,
    parking_lane=False, verge_m=2.2, sidewalk_m=1.6, corner_m=9.0, edge_lines=True, crosswalk="ladder",
    crosswalk_probability=0.55, arrow_probability=0.7, setback_m=(6.0, 14.0), frontage_m=(26.0, 55.0),
    depth_m=(22.0, 38.0), height_m=(5.0, 12.0), gap_m=(5.0, 12.0), lot_probability=0.45, open_probability=0.1,
    block_material="gravel", tree_spacing_m=30.0, tree_density=0.5, walls=_METAL, asphalt=(100, 154),
    occupancy=0.45,
    traffic=0.7,
)  # fmt: skip
BOULEVARD = _style(
    "boulevard", block_m=(85.0, 125.0), warp_m=8.0, major_every=2, major_lanes=2, median_m=4.0,
    bike_lane=True,
    verge_m=2.0, sidewalk_m=3.2, corner_m=6.0, centre="solid", centre_yellow=False, dash_m=(3.0, 9.0),
    line_width_m=0.14, setback_m=(1.5, 5.0), frontage_m=(18.0, 36.0), depth_m=(13.0, 18.0), height_m=(12.0,
    26.0),
    gap_m=(0.0, 6.0), pitched=0.3, block_material="grass", tree_spacing_m=11.0, tree_density=1.6,
    tree_radius_m=(2.0, 3.6), walls=_STUCCO, roofs=_FLAT + _TILES, occupancy=0.6,
)  # fmt: skip
TERRACES = _style(
    "terraces", block_m=(60.0, 105.0), warp_m=11.0, jitter=0.1, removal=0.15, major_every=3, major_lanes=1,
    lane_width_m=3.1, sidewalk_m=2.0, centre="dashed", centre_yellow=False, dash_m=(2.0, 4.0),
    line_width_m=0.11,
    crosswalk_probability=0.6, arrow_probability=0.3, left_hand=True, setback_m=(2.0, 4.5),
    frontage_m=(12.0, 26.0),
    depth_m=(9.0, 12.0), height_m=(6.5, 11.0), gap_m=(0.0, 3.0), pitched=0.9, lot_probability=0.06,
    block_material="grass", tree_spacing_m=20.0, tree_density=2.0, walls=_BRICKS, roofs=_SHINGLES + _TILES,
    asphalt=(86, 122), occupancy=0.65, traffic=0.6,
)  # fmt: skip
CAMPUS = _style(
    "campus", block_m=(80.0, 130.0), warp_m=14.0, jitter=0.05, removal=0.15, major_every=3, major_lanes=1,
    lane_width_m=3.4, parking_lane=True, bike_lane=True, verge_m=1.5, sidewalk_m=2.4, corner_m=7.0,
    centre="solid",
    crosswalk="ladder", crosswalk_probability=0.95, arrow_probability=0.5, setback_m=(5.0, 10.0),
    frontage_m=(20.0, 42.0), depth_m=(14.0, 22.0), height_m=(7.0, 18.0), gap_m=(5.0, 14.0), pitched=0.2,
    lot_probability=0.3, open_probability=0.2, block_material="grass", tree_spacing_m=13.0, tree_density=2.2,
    walls=_BRICKS, roofs=_FLAT, asphalt=(96, 138), sidewalk=(186, 178, 162), traffic=0.6,
)  # fmt: skip
MIDTOWN = _style(
    "midtown", block_m=(65.0, 110.0), warp_m=6.0, jitter=0.12, removal=0.12, major_every=2, major_lanes=2,
    lane_width_m=3.2, median_m=0.0, bike_lane=False, verge_m=0.8, sidewalk_m=2.6, corner_m=5.5,
    centre="solid",
    centre_yellow=False, edge_lines=True, dash_m=(4.0, 4.0), line_width_m=0.15, crosswalk="zebra",
    crosswalk_probability=0.9, arrow_probability=0.8, setback_m=(1.0, 6.0), frontage_m=(12.0, 32.0),
    depth_m=(11.0, 20.0), height_m=(6.0, 24.0), gap_m=(1.0, 8.0), pitched=0.35, lot_probability=0.25,
    open_probability=0.12, tree_spacing_m=15.0, tree_density=1.0, walls=_BRICKS + _STUCCO,
    roofs=_FLAT + _SHINGLES,
    asphalt=(88, 142), sidewalk=(176, 170, 166),
)  # fmt: skip

TRAIN_STYLES: tuple[str, ...] = ("downtown", "suburb", "old_town", "industrial", "boulevard")
VALIDATION_STYLES: tuple[str, ...] = ("terraces",)
UNSEEN_STYLES: tuple[str, ...] = ("campus", "midtown")
STYLES: dict[str, Style] = {
    s.name: s for s in (DOWNTOWN, SUBURB, OLD_TOWN, INDUSTRIAL, BOULEVARD, TERRACES, CAMPUS, MIDTOWN)
}
