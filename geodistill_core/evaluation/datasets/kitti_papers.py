# SPDX-License-Identifier: Apache-2.0
"""KITTI under the papers' protocol: each frame on its satellite image, turned to the heading and displaced."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from geodistill_core.bags.datasets.kitti import KittiSplit
from geodistill_core.datasets.case import PriorNoise
from geodistill_core.datasets.files import read_rows
from geodistill_core.datasets.kitti.cases import displacement_of, kitti_case
from geodistill_core.datasets.kitti.frames import KittiFrame, list_file, parse_frame
from geodistill_core.datasets.kitti.images import CAMERA_HEIGHT_M, aligned_tile, ground_image
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.datasets.question import PaperOptions, Question
from geodistill_core.evaluation.datasets.tiles import aligned_side_px, metric_tile
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.models.base import AnyNetwork
from geodistill_core.types import MapTile

ANY_EXTENT_M = 112.0
"""Width of the tiles for networks that read any: a turned camera lies up to 28.3 m off the centre."""
_REMEDY = "see what `geodistill data check kitti` says"


class KittiPapers:
    """See `PaperSet`. The heading is believed to point right; displacement and turn are the list's, else drawn.

    Raises:
        DatasetError: the list is missing or holds no frame.
        ConfigError: a drive is not in the list.
    """

    def __init__(
        self,
        root: Path,
        split: KittiSplit,
        options: PaperOptions,
        lists: Path | None = None,
        height_m: float = CAMERA_HEIGHT_M,
    ) -> None:
        self.options, self.height_m = options, height_m
        path = list_file(lists or root, split.part)
        self.lists = {path.name: path}
        listed, self.rejected = read_rows(path, _REMEDY, partial(_parse, root))
        self.frames = _chosen(listed, split, path)
        self._noise = PriorNoise(heading_range_deg=options.heading_range_deg, seed=options.seed)

    def __len__(self) -> int:
        return len(self.frames)

    def key(self, index: int) -> str:
        """See `PaperSet`."""
        return self.frames[index].name

    def question(self, index: int, network: AnyNetwork) -> Question:
        """See `PaperSet`."""
        frame, reach_deg = self.frames[index], self.options.heading_range_deg
        side_px = aligned_side_px(network, ANY_EXTENT_M)
        placed = aligned_tile(frame, displacement_of(frame, self._noise), reach_deg, side_px)
        point = LocalFrame(placed.tile.center).point(placed.right_m, placed.up_m)
        on_tile = Truth(point.latitude, point.longitude, placed.heading_rad)
        return Question(
            index, kitti_case(frame, self._noise), ground_image(frame, self.height_m), placed.tile, on_tile, 0.0
        )

    def fitted(self, tile: MapTile, network: AnyNetwork) -> MapTile:
        """See `PaperSet`."""
        return metric_tile(tile, network, ANY_EXTENT_M)


def _chosen(listed: list[KittiFrame], split: KittiSplit, path: Path) -> list[KittiFrame]:
    """The first frames of each drive, in the list's order."""
    if unknown := sorted(set(split.drives) - {frame.drive for frame in listed}):
        raise ConfigError(f"{', '.join(unknown)}: {path.name} holds no such drive")
    taken: Counter[str] = Counter()
    chosen = []
    for frame in listed:
        if frame.drive in split.drives or not split.drives:
            taken[frame.drive] += 1
            if split.limit is None or taken[frame.drive] <= split.limit:
                chosen.append(frame)
    return chosen


def _parse(root: Path, line: str, where: str) -> KittiFrame:
    return parse_frame(line, root, where)
