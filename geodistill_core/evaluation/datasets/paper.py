# SPDX-License-Identifier: Apache-2.0
"""Samples through a network as the papers judge it: batches through the three calls, positions without a prior."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from geodistill_core.datasets.truth import Truth
from geodistill_core.evaluation.attempt import NO_MAP, NONFINITE
from geodistill_core.evaluation.datasets.judged import Judged, judged
from geodistill_core.evaluation.datasets.peak import peak_estimate
from geodistill_core.evaluation.datasets.question import PaperOptions, PaperSet, Question
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, offset_m
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.estimate import EstimateConfig
from geodistill_core.models.base import AnyNetwork, GroundInput, MapInput
from geodistill_core.models.ggcvt_refined import GgcvtKittiRefined
from geodistill_core.models.manifest import Manifest
from geodistill_core.models.orientation import OrientationNetwork
from geodistill_core.types import Array, Estimate, HeatMap, MapTile

STATUS = "peak"
_Input = TypeVar("_Input", GroundInput, MapInput)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question and what the networks read of it; the last two are the orientation network's."""

    question: Question
    tile: MapTile
    maps: MapInput
    ground: GroundInput
    orientation: tuple[MapInput, GroundInput] | None


class PaperJudge:
    """A network over a part of a data set.

    The heading is the orientation network's answer where there is one, what the pose refiner makes of the believed
    heading where the network has one, and otherwise searched over the range.
    """

    def __init__(
        self,
        samples: PaperSet,
        network: AnyNetwork,
        manifest: Manifest,
        options: PaperOptions,
        orientation: OrientationNetwork | None = None,
        device: str = "cpu",
    ) -> None:
        self.samples, self.options, self.device = samples, options, device
        self.network, self.manifest = network.to(device), manifest
        given = network if isinstance(network, OrientationNetwork) else orientation
        self.orientation = None if given is None else given.to(device)
        self._config = EstimateConfig()

    @property
    def rejected(self) -> Mapping[str, str]:
        """See `Judge`."""
        return self.samples.rejected

    def __len__(self) -> int:
        return len(self.samples)

    def key(self, index: int) -> str:
        """See `Judge`."""
        return self.samples.key(index)

    def load(self, index: int) -> Prepared:
        """See `Judge`."""
        question = self.samples.question(index, self.network)
        tile = self.samples.fitted(question.tile, self.network)
        headed = None
        if self.orientation is not None:
            maps = self.orientation.prepare_map(self.samples.fitted(question.tile, self.orientation))
            headed = maps, self.orientation.prepare_ground(question.image, question.yaw_rad)
        ground = self.network.prepare_ground(question.image)
        return Prepared(question, tile, self.network.prepare_map(tile), ground, headed)

    @torch.inference_mode()
    def answer(self, batch: Sequence[Prepared]) -> list[Judged]:
        """See `Judge`."""
        maps = self.network.encode_map(_stacked([one.maps for one in batch], self.device))
        ground = self.network.encode_ground(_stacked([one.ground for one in batch], self.device))
        believed = torch.tensor([one.question.yaw_rad for one in batch], dtype=torch.float64)
        yaw = self._headings(batch, maps, ground, believed)
        logits = self.network.match(ground, maps, yaw.float().to(self.device))
        return [self._judged(*one) for one in zip(batch, logits, yaw.numpy(), strict=True)]

    def _headings(self, batch: Sequence[Prepared], maps: Any, ground: Any, believed: Tensor) -> Tensor:
        """Headings [B, Y] on the tile that are searched, float64."""
        if self.orientation is not None and self.options.heading_range_deg:
            pairs = [one.orientation for one in batch if one.orientation is not None]
            network = self.orientation
            tiles = network.encode_map(_stacked([pair[0] for pair in pairs], self.device))
            pictures = network.encode_ground(_stacked([pair[1] for pair in pairs], self.device))
            return network.yaw(pictures, tiles)[:, None].double().cpu()
        if isinstance(self.network, GgcvtKittiRefined) and self.options.heading_range_deg:
            chances = torch.Generator().manual_seed(self.options.seed)
            first = believed.float().to(self.device)
            return self.network.refine(ground, maps, first, chances)[0][:, None].double().cpu()
        return believed[:, None] + torch.from_numpy(_offsets(self.options))

    def _judged(self, one: Prepared, logits: Tensor, yaw: Array) -> Judged:
        result, cell_m = self._result(one, logits, yaw), self._cell_m(one.tile)
        believed = one.question.case.prior
        # a third of the range is the sigma whose threefold is drawn from
        prior = replace(believed, sigma_yaw_rad=max(math.radians(self.options.heading_range_deg) / 3.0, 1e-6))
        return judged(result, prior, logits.shape[-1] * cell_m / 2, self.options.seed)

    def _result(self, one: Prepared, logits: Tensor, yaw: Array) -> FrameResult:
        question = one.question
        case = question.case
        gnss = case.prior.latitude, case.prior.longitude
        if bool(torch.isneginf(logits).all()):
            return FrameResult(question.number, case.truth, None, gnss, dropped=NO_MAP, key=case.key)
        heatmap = self._heatmap(logits, one.tile, yaw)
        if not np.isfinite(heatmap.probability).all():
            return FrameResult(question.number, case.truth, None, gnss, dropped=NONFINITE, key=case.key)
        found = peak_estimate(heatmap, one.tile, self._config)
        on_tile = FrameResult(question.number, question.on_tile, PoseAnswer.of(found), gnss, key=case.key)
        answer = on_earth(found, question.on_tile, case.truth)
        return replace(on_tile.with_heatmap(found), truth=case.truth, answer=answer)

    def _cell_m(self, tile: MapTile) -> float:
        return self.network.metres_per_cell * tile.metres_per_pixel / self.network.metres_per_pixel

    def _heatmap(self, logits: Tensor, tile: MapTile, yaw: Array) -> HeatMap:
        """Softmax of [Y, P, P] over everything, in the tile's own metres."""
        calibration = self.manifest.calibration
        log_p = logits.double() / (calibration.temperature if calibration else 1.0)
        probability = log_p.flatten().softmax(dim=0).view_as(log_p).float().cpu().numpy()
        cell_m = self._cell_m(tile)
        east, south = self.network.heatmap_shift_cells
        center = LocalFrame(tile.center).point(east * cell_m, -south * cell_m)
        return HeatMap(probability, center, cell_m, yaw)


def on_earth(found: Estimate, on_tile: Truth, truth: Truth) -> PoseAnswer:
    """An answer on a tile whose up may not be north, as it lies beside the truth on the earth."""
    turned = truth.yaw_enu_rad - on_tile.yaw_enu_rad
    right_m, up_m = offset_m(found.latitude, found.longitude, on_tile)
    c, s = math.cos(turned), math.sin(turned)
    R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    latitude, longitude = LocalFrame(truth.point).to_geodetic(c * right_m - s * up_m, s * right_m + c * up_m)
    yaw = float(wrap(found.yaw_enu_rad + turned))
    return PoseAnswer(float(latitude), float(longitude), yaw, R @ found.covariance @ R.T, STATUS)


def _offsets(options: PaperOptions) -> Array:
    """Offsets [Y] from the believed heading, evenly over the range, a full turn without its doubled end."""
    reach = math.radians(options.heading_range_deg)
    sides = math.ceil(options.heading_range_deg / options.yaw_step_deg)
    if sides == 0:
        return np.zeros(1)
    step = reach / sides
    return step * np.arange(-sides, sides + (0 if options.heading_range_deg == 180.0 else 1))


def _stacked(inputs: Sequence[_Input], device: str) -> _Input:
    """Batches of one as one batch on a device."""
    columns = {field.name: [getattr(one, field.name) for one in inputs] for field in fields(inputs[0])}
    held = {name: torch.cat(column).to(device) for name, column in columns.items() if column[0] is not None}
    return replace(inputs[0], **held)
