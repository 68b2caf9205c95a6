# SPDX-License-Identifier: Apache-2.0
"""VIGOR under the papers' protocol: each panorama on its own tile, turned within the range of the heading."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

from geodistill_core.bags.datasets.vigor import VigorSplit
from geodistill_core.datasets.case import Case, PriorNoise
from geodistill_core.datasets.files import read_rows
from geodistill_core.datasets.truth import Truth
from geodistill_core.datasets.vigor.cases import sample_key
from geodistill_core.datasets.vigor.images import ground_image, map_tile
from geodistill_core.datasets.vigor.labels import TILE_PX, VigorSample, parse_label
from geodistill_core.datasets.vigor.pairs import turned_yaw_enu_rad
from geodistill_core.datasets.vigor.splits import label_file, split_cities
from geodistill_core.evaluation.datasets.question import PaperOptions, Question, sigma_yaw_rad
from geodistill_core.evaluation.datasets.tiles import metric_tile, whole_tile
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.orientation import OrientationNetwork
from geodistill_core.types import DEFAULT_CAMERA_HEIGHT_M, MapTile, Prior

ANY_EXTENT_M = 96.0
"""Width of the tiles for networks that read any: a camera lies up to 18.5 m off the centre along either axis."""
_REMEDY = "see what `geodistill data check vigor` says"


class VigorPapers:
    """See `PaperSet`. The vehicle is believed to head north; panoramas are turned evenly within the range.

    Networks of a fixed tile size read the whole tile, each city at its own metres per pixel, as published code does.

    Raises:
        DatasetError: a label file is missing or holds no sample.
    """

    def __init__(
        self, root: Path, split: VigorSplit, options: PaperOptions, height_m: float = DEFAULT_CAMERA_HEIGHT_M
    ) -> None:
        self.options, self.height_m = options, height_m
        self.samples: list[VigorSample] = []
        self.lists: dict[str, Path] = {}
        self.rejected: dict[str, str] = {}
        self._noise = PriorNoise(heading_range_deg=options.heading_range_deg, seed=options.seed)
        self.cities = [
            city for city in split_cities(split.area, split.part) if city in split.cities or not split.cities
        ]
        for city in self.cities:
            path = label_file(root, city, split.area, split.part, split.labels)
            listed, refused = read_rows(path, _REMEDY, partial(_parse, root / city))
            self.samples += listed[: split.limit]
            self.rejected |= {f"{city}/{where}": reason for where, reason in refused.items()}
            self.lists[f"{city}/{path.name}"] = path

    def __len__(self) -> int:
        return len(self.samples)

    def key(self, index: int) -> str:
        """See `PaperSet`."""
        return sample_key(self.samples[index])

    def _turn(self, sample: VigorSample) -> float:
        draws = self._noise.draws(sample_key(sample))
        return float(draws.uniform(-1.0, 1.0)) * self.options.heading_range_deg / 360.0

    def _case(self, sample: VigorSample, turn: float) -> Case:
        center = sample.tile_center()
        camera = LocalFrame(center).point(*sample.camera_east_north_m())
        sigma_m = TILE_PX / 4 * sample.metres_per_pixel / math.sqrt(3.0)
        north = turned_yaw_enu_rad(0.0)
        prior = Prior(center.latitude, center.longitude, sigma_m, north, sigma_yaw_rad(self.options))
        return Case(sample_key(sample), prior, Truth(camera.latitude, camera.longitude, turned_yaw_enu_rad(turn)))

    def question(self, index: int, network: AnyNetwork) -> Question:
        """See `PaperSet`."""
        sample = self.samples[index]
        image, turn = ground_image(sample, self._turn(sample), self.height_m)
        case = self._case(sample, turn)
        return Question(index, case, image, map_tile(sample), case.truth, case.prior.yaw_enu_rad)

    def fitted(self, tile: MapTile, network: AnyNetwork) -> MapTile:
        """See `PaperSet`."""
        # the exact orientation network draws its pictures at one scale
        scaled = isinstance(network, OrientationNetwork) and network.geometry == "corrected"
        if network.map_size_px is None or scaled:
            return metric_tile(tile, network, ANY_EXTENT_M)
        return whole_tile(tile, network)


def _parse(folder: Path, line: str, where: str) -> VigorSample:
    return parse_label(line, folder, where)
