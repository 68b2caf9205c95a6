# SPDX-License-Identifier: Apache-2.0
"""Inputs from which the ranges of int8 are taken: recorded frames, or SynthCity's training streets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import AnyNetwork, GroundInput, MapInput
from geodistill_core.runtime.profile import Profile

SYNTH = "synth"
FRAMES = 24
_LEAST = 4
_LEVEL, _FIRST_SEED = "standard", 20
Frame = tuple[GroundInput, MapInput]


def synth_frames(network: AnyNetwork, profile: Profile) -> Iterator[Frame]:
    """Frames of the cities and styles that networks are trained on."""
    from geodistill_core.datasets.synthcity import TRAIN_STYLES, sample_pair
    from geodistill_core.datasets.synthcity.rigs import PANORAMA_RIG, pinhole_rig

    rig = PANORAMA_RIG if profile.kind == "panorama" else pinhole_rig()
    extent_m = profile.tile_px * network.metres_per_pixel
    for number, style in zip(range(FRAMES), itertools.cycle(TRAIN_STYLES), strict=False):
        pair = sample_pair(
            style,
            _FIRST_SEED,
            number // len(TRAIN_STYLES),
            _LEVEL,
            tile_extent_m=extent_m,
            metres_per_pixel=network.metres_per_pixel,
            rig=rig,
        )
        yield network.prepare_ground(pair.ground), network.prepare_map(pair.tile)


def recorded_frames(network: AnyNetwork, profile: Profile, drive: Path, map_path: Path | None) -> Iterator[Frame]:
    """Frames spread evenly over a recorded drive, with the imagery around their priors.

    Raises:
        BagError, MapError: the drive or its map cannot be used.
        ConfigError: too few of its images can be used.
    """
    from geodistill_core.bags.reader import read_drive
    from geodistill_core.evaluation.replay import map_beside
    from geodistill_core.maps import open_map

    reader = read_drive(drive)
    source = open_map(map_path or map_beside(reader))
    extent_m = profile.tile_px * network.metres_per_pixel
    every, used = max(1, reader.image_count // FRAMES), 0
    for frame in itertools.islice(reader.frames(), 0, None, every):
        if frame.image is None or frame.frame_prior is None or used == FRAMES:
            continue
        tile = source.tile(frame.frame_prior.prior.point, extent_m, network.metres_per_pixel)
        used += 1
        yield network.prepare_ground(frame.image), network.prepare_map(tile)
    if used < _LEAST:
        raise ConfigError(
            f"{drive} has {used} images with a prior, and int8 needs at least {_LEAST} to learn its ranges from; "
            "give a longer drive"
        )
