# SPDX-License-Identifier: Apache-2.0
"""Which frames the report shows: an even sample of the drive and the worst answers, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geodistill_core.evaluation.metrics import FrameResult, frame_errors
from geodistill_core.evaluation.report.images import thumbnail
from geodistill_core.types import Array

GROUND_WIDTH = 400
OVERLAY_WIDTH = 320


@dataclass(frozen=True, slots=True)
class GalleryFrame:
    """One card: camera picture and answer drawn on its tile, both JPEG; either may be missing."""

    result: FrameResult
    ground: bytes | None
    overlay: bytes | None

    @property
    def error_m(self) -> float:
        """Position error, minus infinity where it cannot be scored."""
        answer, truth = self.result.answer, self.result.truth
        return frame_errors(answer, truth).position_m if answer and truth else -math.inf


class FrameGallery:
    """Fed with every frame, keeps about `sample` of them evenly spaced plus the `worst` largest errors.

    The stride doubles whenever the sample overflows, so that the length of the drive need not be known and
    memory does not grow with it; what is kept depends on the frames alone.
    """

    def __init__(self, sample: int = 12, worst: int = 4) -> None:
        self._limit = sample
        self._worst_limit = worst
        self._stride = 1
        self._count = 0
        self._even: list[tuple[int, GalleryFrame]] = []
        self._worst: list[tuple[int, GalleryFrame]] = []

    def add(
        self, result: FrameResult, ground_rgb: Array | None, overlay_rgb: Callable[[], Array] | None = None
    ) -> None:
        """Offer one frame; pictures are H x W x 3 uint8 RGB, the overlay is drawn only for a kept frame."""
        index, self._count = self._count, self._count + 1
        frame = GalleryFrame(result, None, None)
        even = index % self._stride == 0
        bad = frame.error_m > -math.inf and (
            len(self._worst) < self._worst_limit or frame.error_m > self._worst[-1][1].error_m
        )
        if not (even or bad):
            return
        frame = GalleryFrame(
            result,
            thumbnail(ground_rgb, GROUND_WIDTH) if ground_rgb is not None else None,
            thumbnail(overlay_rgb(), OVERLAY_WIDTH) if overlay_rgb is not None else None,
        )
        if even:
            self._even.append((index, frame))
        if bad:
            self._worst = sorted([*self._worst, (index, frame)], key=lambda item: -item[1].error_m)
            del self._worst[self._worst_limit :]
        if len(self._even) > 2 * self._limit:
            self._stride *= 2
            self._even = [item for item in self._even if item[0] % self._stride == 0]

    def sample(self) -> list[GalleryFrame]:
        """At most `sample` frames, spread evenly over the drive, in order."""
        kept = [frame for _, frame in self._even]
        count = min(self._limit, len(kept))
        return [kept[round(i * (len(kept) - 1) / max(count - 1, 1))] for i in range(count)]

    def worst(self) -> Sequence[GalleryFrame]:
        """The largest position errors, worst first."""
        return [frame for _, frame in self._worst]
