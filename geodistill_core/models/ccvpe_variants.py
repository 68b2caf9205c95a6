# SPDX-License-Identifier: Apache-2.0
"""CCVPE's sizes and conventions on VIGOR, KITTI and Oxford RobotCar, and the adaptation paper's variant of VIGOR's."""

from __future__ import annotations

from collections.abc import Sequence

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import Geometry, GroundInput
from geodistill_core.models.ccvpe import Ccvpe, CcvpeSizes
from geodistill_core.models.views import pinhole_view
from geodistill_core.types import GroundImage

_CONCENTRATION = 50.0
VIGOR_SIZES = CcvpeSizes(
    ground_size=(320, 640),
    ground_cells=(10, 20),
    descriptor_channels=(64, 32, 16, 8, 4, 2),
    map_channels=(1280, 640, 320, 160, 80, 40),
    up_channels=(1024, 320, 160, 80, 40, 16),
    heading_first=640,
    steps=(64, 32, 16, 8, 4, 2),
    rolls=20,
)
KITTI_SIZES = CcvpeSizes(
    ground_size=(256, 1024),
    ground_cells=(8, 32),
    descriptor_channels=(16, 8, 4, 2, 1, 1),
    map_channels=(2048, 512, 256, 128, 128, 32),
    up_channels=(1024, 256, 128, 64, 32, 16),
    heading_first=512,
    steps=(128, 64, 32, 16, 8, 8),
    rolls=16,
)
OXFORD_SIZES = CcvpeSizes(
    ground_size=(154, 231),
    ground_cells=(4, 7),
    descriptor_channels=(32, 16, 8, 4, 2, 1),
    map_channels=VIGOR_SIZES.map_channels,
    up_channels=VIGOR_SIZES.up_channels,
    heading_first=640,
    steps=VIGOR_SIZES.steps,
    rolls=20,
)


def prior_rolls(prior_deg: float | None, rolls: int, geometry: Geometry) -> Sequence[int]:
    """Rolls within an orientation prior: every whole step up to it on both sides of north.

    The published code compares a prior of 180 degrees with opposite headings twice (`compat`); the second is dropped
    in `corrected`, which changes no maximum.

    Raises:
        ConfigError: the prior is not in 0..180 degrees.
    """
    if prior_deg is None:
        return range(rolls)
    if not 0 <= prior_deg <= 180:
        raise ConfigError(f"orientation_prior_deg {prior_deg} is outside 0..180; leave it out for an unknown heading")
    side = int(prior_deg * rolls / 360)
    return range(-side, side + 1 if geometry == "compat" else min(side + 1, rolls - side))


class CcvpeVigor(Ccvpe):
    """CCVPE on panoramas around the heading, unknown (None) or within `orientation_prior_deg` of north.

    With a prior the image's centre column must look that near to north (yaw pi/2): it tells which headings the decoder
    may take, hypotheses of yaw do not move it. One checkpoint serves every prior and, trained so, either
    `circular_padding`. `corrected` decodes at exact pixel centres and drops a doubled heading (see `prior_rolls`).
    """

    def __init__(
        self,
        geometry: Geometry = "corrected",
        circular_padding: bool = True,
        orientation_prior_deg: float | None = None,
        metres_per_pixel: float = 0.14156,
        concentration: float = _CONCENTRATION,
    ) -> None:
        super().__init__(
            VIGOR_SIZES,
            geometry=geometry,
            metres_per_pixel=metres_per_pixel,
            ground_padding="circular" if circular_padding else "zeros",
            map_padding="zeros",
            turn=1,
            concentration=concentration,
            rolls=prior_rolls(orientation_prior_deg, VIGOR_SIZES.rolls, geometry),
        )


class AdaptingVigor(Ccvpe):
    """The adaptation paper's network: CCVPE's, with reflection instead of zeros around maps and decoded features.

    The keys are CCVPE's, so that a checkpoint of either loads into both; only its own gives the trained output.
    """

    def __init__(
        self,
        geometry: Geometry = "corrected",
        orientation_prior_deg: float | None = None,
        metres_per_pixel: float = 0.14156,
        concentration: float = _CONCENTRATION,
    ) -> None:
        super().__init__(
            VIGOR_SIZES,
            geometry=geometry,
            metres_per_pixel=metres_per_pixel,
            ground_padding="circular",
            map_padding="reflect",
            turn=1,
            concentration=concentration,
            rolls=prior_rolls(orientation_prior_deg, VIGOR_SIZES.rolls, geometry),
        )


class _CcvpePinhole(Ccvpe):
    def prepare_ground(self, image: GroundImage) -> GroundInput:
        """See the contract; a forward-looking pinhole image, resized whole."""
        return pinhole_view(image, *self.sizes.ground_size)


class CcvpeKitti(_CcvpePinhole):
    """CCVPE on forward-looking images of 256 x 1024 pixels; its heading angle grows clockwise from north.

    The published rolls move too far at levels 2, 3, 4 and 6, so that headings there repeat after half or a quarter
    turn (`compat`). In `corrected` each level's sixteen rolls share its channels out evenly: all differ. A checkpoint
    is only good in the geometry that it was trained in. `corrected` also decodes at exact pixel centres.
    """

    def __init__(
        self,
        geometry: Geometry = "corrected",
        metres_per_pixel: float = 0.19583,
        concentration: float = _CONCENTRATION,
    ) -> None:
        sizes = KITTI_SIZES
        super().__init__(
            sizes,
            geometry=geometry,
            metres_per_pixel=metres_per_pixel,
            ground_padding="zeros",
            map_padding="zeros",
            turn=-1,
            concentration=concentration,
            steps=sizes.steps if geometry == "compat" else [c // sizes.rolls for c in sizes.map_channels],
        )


class CcvpeOxford(_CcvpePinhole):
    """CCVPE on Oxford RobotCar, as far as the published checkpoint's shapes tell.

    Read from the shapes: four feature rows, 32 to 1 descriptor channels per column, VIGOR's maps and decoders, twenty
    rolls (1300 = 1280 + 20). Inferred and not checked against published outputs: images of 154 x 231 pixels (seven
    feature columns), steps that share a turn evenly, an angle that grows counter-clockwise from north as on VIGOR,
    zero padding, and tiles 73.92 m wide.
    """

    def __init__(
        self,
        geometry: Geometry = "corrected",
        metres_per_pixel: float = 73.92 / 512,
        concentration: float = _CONCENTRATION,
    ) -> None:
        super().__init__(
            OXFORD_SIZES,
            geometry=geometry,
            metres_per_pixel=metres_per_pixel,
            ground_padding="zeros",
            map_padding="zeros",
            turn=1,
            concentration=concentration,
        )
