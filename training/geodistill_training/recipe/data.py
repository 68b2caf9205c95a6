# SPDX-License-Identifier: Apache-2.0
"""Where examples come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from geodistill_core.datasets.synthcity import STYLES, TRAIN_STYLES
from geodistill_core.datasets.vigor.splits import split_cities
from geodistill_training.recipe.bag import BagData
from geodistill_training.recipe.strict import Strict


class SynthData(Strict):
    """Which simulated worlds are rendered, and how often; `rendered` keeps them on disk, otherwise they are streamed.

    Every city gives `pairs_per_city` real pairs and `flats_per_city` overhead views for the flat-world pretext. The
    camera stands uniformly within `camera_height_m`; the height that the pair states is up to `height_error_m` wrong.
    In "clear" conditions every pair is as at the standard level; "mixed" takes every third from the hard level:
    weather, tilt, and views that are partly covered.
    """

    dataset: Literal["synthcity"] = "synthcity"
    styles: tuple[str, ...] = TRAIN_STYLES
    first_seed: int = Field(0, ge=0, lt=40_000)
    cities_per_style: int = Field(24, ge=1, le=1000)
    pairs_per_city: int = Field(32, ge=1, le=1000)
    flats_per_city: int = Field(12, ge=1, le=1000)
    tile_extent_m: float = Field(64.0, ge=40, le=120)
    position_range_m: float = Field(13.0, ge=1, le=20)
    heading_sigma_deg: float = Field(2.0, ge=0, le=45)
    camera_height_m: tuple[float, float] = (1.3, 2.8)
    height_error_m: float = Field(0.1, ge=0, le=0.6)
    pinhole_share: float = Field(0.0, ge=0, le=1)
    conditions: Literal["clear", "mixed"] = "mixed"
    rendered: bool = True

    @field_validator("styles")
    @classmethod
    def _known(cls, styles: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [style for style in styles if style not in STYLES]
        if unknown or not styles:
            raise ValueError(f"styles {unknown} are unknown; choose from {', '.join(STYLES)}")
        return styles

    def rendering(self) -> str:
        """Everything that changes a rendered city, for cache names; not which or how many cities."""
        return self.model_dump_json(exclude={"rendered", "styles", "first_seed", "cities_per_style"})


class VigorData(Strict):
    """A VIGOR tree: which samples, with which tile, and how far their panoramas are turned.

    `area` "same" or "cross" and `part` choose the list; `division` says what a training list's validation part is:
    "weak" is G2SWeakly's and GeoDistill's twenty seeded shuffles, "ccvpe" its single one. "adaptation" is the second
    paper's: `order_file` (`shuffled_crossarea_index_list.npy`) divides the cross-area test list into the unlabelled
    target area ("train"), "validation" and "test". `cities` keeps only those, after the division.

    `partners` "positive" always takes the tile whose central quarter holds the panorama, "semi" any of the four on
    which the panorama's name says it lies. Panoramas are turned uniformly within `turn_deg` of north, or as
    `turns_file` (`predefined_random_rot.npy`, one turn for each sample of the cross-area test list) prescribes; the
    heading prior is uniformly within `heading_noise_deg` of the truth.

    A network of a fixed tile size reads the "whole" tile resized to it, each city at its own metres per pixel, as
    published, or `tiles` "metric": resampled to the network's own. A network that reads any size gets `tile_extent_m`
    at its own metres per pixel.
    """

    dataset: Literal["vigor"] = "vigor"
    root: Path
    area: Literal["same", "cross"] = "same"
    part: Literal["train", "validation", "test"] = "train"
    division: Literal["weak", "ccvpe", "adaptation"] = "weak"
    order_file: Path | None = None
    labels: Literal["corrected", "original"] = "corrected"
    cities: tuple[str, ...] | None = None
    partners: Literal["positive", "semi"] = "positive"
    turn_deg: float = Field(0.0, ge=0, le=180)
    turns_file: Path | None = None
    heading_noise_deg: float = Field(0.0, ge=0, le=180)
    tiles: Literal["whole", "metric"] = "whole"
    tile_extent_m: float = Field(64.0, ge=40, le=75)
    camera_height_m: float = Field(2.0, ge=0.5, le=6)

    @property
    def listed(self) -> Literal["train", "test"]:
        """The published list that the part is taken from."""
        return "test" if self.part == "test" or self.division == "adaptation" else "train"

    @model_validator(mode="after")
    def _fits(self) -> VigorData:
        adapting = self.division == "adaptation"
        if adapting and (self.area != "cross" or self.order_file is None):
            raise ValueError("division 'adaptation' divides the cross-area test list: set area: cross and order_file")
        if self.order_file is not None and not adapting:
            raise ValueError("order_file belongs to division 'adaptation'; set it or drop the file")
        if self.turns_file is not None and (self.area, self.listed) != ("cross", "test"):
            raise ValueError("turns_file prescribes turns for the cross-area test list; set area: cross and part: test")
        if self.turns_file is not None and self.turn_deg > 0:
            raise ValueError(f"turn_deg {self.turn_deg:g} and turns_file both turn panoramas; drop one")
        known = split_cities(self.area, self.listed)
        unknown = [city for city in self.cities or () if city not in known]
        if unknown or self.cities == ():
            raise ValueError(f"cities {unknown} are not in the {self.area}-area {self.listed} list of {known}")
        return self


class KittiData(Strict):
    """A KITTI cross-view tree: raw drives, satellite maps, and the published lists in `lists` (default: `root`).

    The papers validate on test1, so there is no part for that. Test lists prescribe each frame's displacement and turn,
    training frames draw theirs: the tile's centre lies up to `position_range_m` along and across the heading from the
    camera, and the heading prior up to `heading_noise_deg` from the truth.

    `tiles` "aligned" is the published tile, its right the prior's heading; "north_up" is what a vehicle's map gives.
    A network that reads any size gets `tile_extent_m` at its own metres per pixel.
    """

    dataset: Literal["kitti"] = "kitti"
    root: Path
    lists: Path | None = None
    part: Literal["train", "test1", "test2"] = "train"
    position_range_m: float = Field(20.0, gt=0, le=40)
    heading_noise_deg: float = Field(10.0, ge=0, le=180)
    tiles: Literal["aligned", "north_up"] = "aligned"
    tile_extent_m: float = Field(64.0, ge=40, le=120)
    camera_height_m: float = Field(1.65, ge=0.5, le=6)


DataRecipe = Annotated[SynthData | VigorData | KittiData | BagData, Field(discriminator="dataset")]
