# SPDX-License-Identifier: Apache-2.0
"""Which frames the report shows pictures of: an even sample of the run and the worst answers, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from geodistill_core.evaluation.metrics import FrameResult, offset_m
from geodistill_core.evaluation.report.images import thumbnail
from geodistill_core.localization.overlay import heatmap_picture
from geodistill_core.types import Array, Estimate, GeoPoint, HeatMap

GROUND_WIDTH = 400
TILE_WIDTH = 288
HEAT_WIDTH = 128
QUALITY = 72
# of JPEG; base64 makes a third more of it
BUDGET_BYTES = 13_000_000


@dataclass(frozen=True, slots=True)
class Layer:
    """A north-up square picture of the ground, JPEG: `center` and side in metres."""

    jpeg: bytes
    center: GeoPoint
    extent_m: float


@dataclass(frozen=True, slots=True)
class GalleryFrame:
    """Pictures of frame number `index`, any of which may be missing.

    `ground` is the camera's, `tile` and `heat` the imagery and the heat map, `overlay` an answer already drawn on its
    tile, which stands in where only that has been recorded. All JPEG. `error_m` is the position error, minus infinity
    where it cannot be scored.
    """

    index: int
    result: FrameResult
    ground: bytes | None = None
    tile: Layer | None = None
    heat: Layer | None = None
    overlay: bytes | None = None
    error_m: float = -math.inf

    @property
    def size_bytes(self) -> int:
        """Of all pictures."""
        layers = (layer.jpeg for layer in (self.tile, self.heat) if layer)
        return sum(len(jpeg) for jpeg in (self.ground or b"", self.overlay or b"", *layers))


class FrameGallery:
    """Fed with every frame, keeps about `sample` of them evenly spaced plus the `worst` largest errors.

    The stride doubles whenever the sample overflows, so that the length of the drive need not be known and
    memory does not grow with it; what is kept depends on the frames alone. Where it is known, `expected` saves drawing
    what would be thrown away.
    """

    def __init__(self, sample: int = 160, worst: int = 24, expected: int = 0) -> None:
        self._limit = sample
        self._worst_limit = worst
        self._stride = 1
        while expected > sample * self._stride:
            self._stride *= 2
        self._count = 0
        self._even: list[GalleryFrame] = []
        self._worst: list[GalleryFrame] = []

    def add(
        self,
        result: FrameResult,
        ground_rgb: Array | None = None,
        overlay_rgb: Callable[[], Array] | None = None,
        estimate: Estimate | None = None,
    ) -> None:
        """Offer the next frame; pictures are H x W x 3 uint8 RGB and are only encoded for a kept frame.

        With the `estimate`, its tile and heat map are kept and the overlay is not drawn.
        """
        index, self._count = self._count, self._count + 1
        error_m = _error_m(result)
        even = index % self._stride == 0
        bad = error_m > -math.inf and (len(self._worst) < self._worst_limit or error_m > self._worst[-1].error_m)
        if not (even or bad):
            return
        frame = GalleryFrame(
            index,
            result,
            thumbnail(ground_rgb, GROUND_WIDTH, QUALITY) if ground_rgb is not None else None,
            tile_layer(estimate) if estimate else None,
            heat_layer(estimate.heatmap) if estimate else None,
            thumbnail(overlay_rgb(), TILE_WIDTH, QUALITY) if overlay_rgb is not None and not estimate else None,
            error_m,
        )
        if even:
            self._even.append(frame)
        if bad:
            self._worst = sorted([*self._worst, frame], key=lambda one: -one.error_m)
            del self._worst[self._worst_limit :]
        if len(self._even) > 2 * self._limit:
            self._stride *= 2
            self._even = [one for one in self._even if one.index % self._stride == 0]

    def sample(self) -> list[GalleryFrame]:
        """At most `sample` frames, spread evenly over the run, in order, together within BUDGET_BYTES."""
        left = BUDGET_BYTES - sum(frame.size_bytes for frame in self._worst)
        mean = sum(frame.size_bytes for frame in self._even) / max(len(self._even), 1)
        count = min(self._limit, len(self._even), max(1, int(left / max(mean, 1.0))))
        return [self._even[round(i * (len(self._even) - 1) / max(count - 1, 1))] for i in range(count)]

    def worst(self) -> list[GalleryFrame]:
        """The largest position errors, worst first."""
        return list(self._worst)


def _error_m(result: FrameResult) -> float:
    if result.answer is None or result.truth is None:
        return -math.inf
    return math.hypot(*offset_m(result.answer.latitude, result.answer.longitude, result.truth))


def tile_layer(estimate: Estimate) -> Layer:
    """The imagery that the answer was found on."""
    tile = estimate.tile
    return Layer(thumbnail(tile.rgb, TILE_WIDTH, QUALITY), tile.center, tile.rgb.shape[1] * tile.metres_per_pixel)


def heat_layer(heatmap: HeatMap) -> Layer:
    """What the network believes about the position."""
    width_m = heatmap.probability.shape[2] * heatmap.metres_per_cell
    return Layer(thumbnail(heatmap_picture(heatmap.position()), HEAT_WIDTH, QUALITY), heatmap.center, width_m)
