# SPDX-License-Identifier: Apache-2.0
"""SynthCity: a procedural world of matching overhead and ground views, fixed by (version, style, seed)."""

from geodistill_core.datasets.synthcity.city import City, build_city
from geodistill_core.datasets.synthcity.conditions import Conditions, draw_conditions
from geodistill_core.datasets.synthcity.contact_sheet import contact_sheet
from geodistill_core.datasets.synthcity.ground import GroundPose, render_ground
from geodistill_core.datasets.synthcity.levels import LEVELS, SEEDS, WORLD_VERSION, Level
from geodistill_core.datasets.synthcity.overhead import render_overhead
from geodistill_core.datasets.synthcity.pairs import Pair, map_tile, sample_pair
from geodistill_core.datasets.synthcity.rigs import (
    PANORAMA_RIG,
    PINHOLE_RIG,
    SMALL_PANORAMA_RIG,
    CameraRig,
    pinhole_rig,
)
from geodistill_core.datasets.synthcity.styles import (
    STYLES,
    TRAIN_STYLES,
    UNSEEN_STYLES,
    VALIDATION_STYLES,
    Style,
)

__all__ = [
    "LEVELS",
    "PANORAMA_RIG",
    "PINHOLE_RIG",
    "SEEDS",
    "SMALL_PANORAMA_RIG",
    "STYLES",
    "TRAIN_STYLES",
    "UNSEEN_STYLES",
    "VALIDATION_STYLES",
    "WORLD_VERSION",
    "CameraRig",
    "City",
    "Conditions",
    "GroundPose",
    "Level",
    "Pair",
    "Style",
    "build_city",
    "contact_sheet",
    "draw_conditions",
    "map_tile",
    "pinhole_rig",
    "render_ground",
    "render_overhead",
    "sample_pair",
]
