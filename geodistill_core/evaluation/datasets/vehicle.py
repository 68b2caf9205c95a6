# SPDX-License-Identifier: Apache-2.0
"""Samples through the localizer as a vehicle would ask: north-up map, noisy fix, uncertain heading.

Samples, priors and maps are those of the data set's recordings, so that replaying a recording gives the same errors
but for the coding of its images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geodistill_core.bags.datasets.drive import DatasetDrive, DatasetFrame, DatasetPlan, DatasetSample
from geodistill_core.datasets.case import Case
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.evaluation.attempt import attempt
from geodistill_core.evaluation.datasets.judged import Judged, judged
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.maps.placed_images import PlacedImages
from geodistill_core.types import GroundImage


@dataclass(frozen=True, slots=True)
class Met:
    """A sample after its files were read."""

    map_name: str
    case: Case
    image: GroundImage


class VehicleJudge:
    """A model over the drives that a part of a data set becomes; each map is opened when it is first needed."""

    def __init__(self, plan: DatasetPlan, model: str, config: LocalizerConfig) -> None:
        self.plan, self.model, self.config = plan, model, config
        self._samples = [(drive, sample) for drive in plan.drives for sample in drive.samples]
        self._localizers: dict[str, Localizer] = {}

    @property
    def rejected(self) -> Mapping[str, str]:
        """See `Judge`."""
        return self.plan.rejected

    def __len__(self) -> int:
        return len(self._samples)

    def key(self, index: int) -> str:
        """See `Judge`."""
        return self._samples[index][1].key

    def load(self, index: int) -> Met:
        """See `Judge`."""
        drive, sample = self._samples[index]
        frame = sample.read(raw_images=True)
        return Met(drive.map_name, frame.case, _image(drive, sample, frame))

    def answer(self, batch: Sequence[Met]) -> list[Judged]:
        """See `Judge`; one after the other, as a vehicle asks.

        Raises:
            MapError: the data set's tiles cannot be read.
        """
        return [self._judged(one) for one in batch]

    def _judged(self, met: Met) -> Judged:
        localizer = self.localizer(met.map_name)
        case, prior = met.case, met.case.prior
        gnss = prior.latitude, prior.longitude
        found = attempt(localizer, met.image, prior)
        if isinstance(found, str):
            result = FrameResult(met.image.stamp_ns, case.truth, None, gnss, dropped=found, key=case.key)
        else:
            answer = PoseAnswer.of(found, localizer.manifest.calibration)
            answered = FrameResult(met.image.stamp_ns, case.truth, answer, gnss, key=case.key)
            result = answered.with_heatmap(found)
        half_window_m = (localizer.tile_extent_m - localizer.network.template_extent_m) / 2.0
        return judged(result, prior, half_window_m, self.plan.noise.seed)

    def localizer(self, map_name: str) -> Localizer:
        """The model over one of the plan's maps."""
        if map_name not in self._localizers:
            tiles = next(tiles for tiles in self.plan.maps if tiles.name == map_name)
            centers = np.array([tile.center_degrees for tile in tiles.tiles])
            source = PlacedImages([tile.path for tile in tiles.tiles], centers, tiles.naming, f"the map {map_name}")
            first = next(iter(self._localizers.values()), None)
            self._localizers[map_name] = (
                Localizer.load(self.model, source, self.config)
                if first is None
                else Localizer(first.network, first.manifest, source, self.config, first.orientation)
            )
        return self._localizers[map_name]


def _image(drive: DatasetDrive, sample: DatasetSample, frame: DatasetFrame) -> GroundImage:
    case = frame.case
    try:
        return GroundImage(
            np.asarray(frame.picture),
            sample.stamp_ns,
            drive.T_base_camera,
            frame.camera,
            case.roll_rad,
            case.pitch_rad,
        )
    except ConfigError as error:
        raise DatasetError(f"{sample.key}: {error}") from error
