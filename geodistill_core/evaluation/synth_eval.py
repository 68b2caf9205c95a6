# SPDX-License-Identifier: Apache-2.0
"""Fixed SynthCity pairs through the localizer, beside answering with the prior and guessing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geodistill_core.datasets.synthcity import (
    LEVELS,
    SEEDS,
    TRAIN_STYLES,
    UNSEEN_STYLES,
    VALIDATION_STYLES,
    Pair,
    build_city,
    sample_pair,
)
from geodistill_core.datasets.synthcity.map_source import REACH_M, SynthCityMap
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.attempt import attempt
from geodistill_core.evaluation.baselines import center_answer, random_answer, score_baseline
from geodistill_core.evaluation.calibration import HeatMapScore, score_heatmap, summarize_heatmaps
from geodistill_core.evaluation.files import versions
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, summarize
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.manifest import Manifest
from geodistill_core.runtime.ladder import Choice, RuntimeOptions, Work, compiled
from geodistill_core.runtime.profile import Profile

PAIRS_PER_CITY = 25
SPLITS: dict[str, tuple[tuple[str, ...], int]] = {
    "unseen": (tuple(UNSEEN_STYLES), SEEDS["test"].start),
    "validation": (tuple(VALIDATION_STYLES), SEEDS["validation"].start),
    "seen": (tuple(TRAIN_STYLES), SEEDS["test"].start),
}


@dataclass(frozen=True, slots=True)
class SynthSplit:
    """Which pairs: styles by `split`, cities from `seed_base` on (None: the published ones), how many."""

    split: str
    level: str
    pairs: int
    seed_base: int | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ConfigError(f"split {self.split!r} is unknown; choose one of {', '.join(SPLITS)}")
        if self.level not in LEVELS:
            raise ConfigError(f"level {self.level!r} is unknown; choose one of {', '.join(LEVELS)}")
        if not 1 <= self.pairs <= 100_000:
            raise ConfigError(f"pairs {self.pairs} is outside 1..100000")
        if self.seed_base is not None and not 0 <= self.seed_base < 2**30:
            raise ConfigError(f"seed base {self.seed_base} is outside 0..{2**30 - 1}")

    @property
    def first_seed(self) -> int:
        """The first city's seed."""
        return SPLITS[self.split][1] if self.seed_base is None else self.seed_base

    def cases(self) -> Iterator[tuple[str, int, int]]:
        """(style, seed, index) in a fixed order: a smaller number of pairs is a beginning of a larger one."""
        styles = SPLITS[self.split][0]
        for number in range(self.pairs):
            city, index = divmod(number, PAIRS_PER_CITY)
            yield styles[city % len(styles)], self.first_seed + city // len(styles), index

    def drawn(self, metres_per_pixel: float) -> Iterator[Pair]:
        """The pairs, on imagery of this resolution."""
        for style, seed, index in self.cases():
            yield sample_pair(style, seed, index, self.level, tile_extent_m=REACH_M, metres_per_pixel=metres_per_pixel)


def localizer_of(pair: Pair, network: AnyNetwork, manifest: Manifest, config: LocalizerConfig) -> Localizer:
    """The localizer over a pair's own piece of map."""
    return Localizer(network, manifest, SynthCityMap.of_pair(pair), config)


def key_of(pair: Pair) -> str:
    """How results name a pair."""
    return f"{pair.style}/{pair.seed}/{pair.index}"


def road_of(pair: Pair) -> str:
    """What kind of road a pair was taken on."""
    return build_city(pair.style, pair.seed).road_kind(pair.pose.east_m, pair.pose.north_m)


def compiled_for(
    network: AnyNetwork, manifest: Manifest, wanted: SynthSplit, config: LocalizerConfig, options: RuntimeOptions
) -> tuple[AnyNetwork, Choice]:
    """The network on a back end, for the shapes of the split's pairs.

    Raises:
        RuntimeBackendError: the back end cannot be used.
    """
    first = next(wanted.drawn(network.metres_per_pixel))
    return compiled(Work(network, manifest, Profile.of(network, first.ground, config), options))


def evaluate_synth(
    network: AnyNetwork,
    manifest: Manifest,
    wanted: SynthSplit,
    config: LocalizerConfig | None = None,
    step: Callable[..., None] = lambda count=1: None,
) -> dict[str, Any]:
    """The metrics.json dictionary with `baselines`: `center` (the prior), `random` (uniform in the window).

    `heatmap` says how well the posterior itself is calibrated. `gnss_error_m` is the prior's error. `step` is called
    after every pair.
    """
    config = config or LocalizerConfig()
    results, center, random = [], [], []
    scores: list[HeatMapScore | None] = []
    for number, pair in enumerate(wanted.drawn(network.metres_per_pixel)):
        localizer = localizer_of(pair, network, manifest, config)
        found = attempt(localizer, pair.ground, pair.prior)
        dropped = found if isinstance(found, str) else None
        answer = None if isinstance(found, str) else PoseAnswer.of(found, manifest.calibration)
        gnss = (pair.prior.latitude, pair.prior.longitude)
        result = FrameResult(number, pair.truth, answer, gnss, None, dropped, key=key_of(pair), road=road_of(pair))
        if not isinstance(found, str):
            scores.append(score := score_heatmap(found.heatmap, pair.truth))
            level = score.hpd_level if score else None
            result = replace(result, confidence=found.modes[0].mass, hpd_level=level)
        results.append(result)
        center.append((pair.truth, center_answer(pair.prior)))
        half_window_m = (localizer.tile_extent_m - network.template_extent_m) / 2.0
        rng = np.random.default_rng([pair.seed, pair.index])
        random.append((pair.truth, random_answer(pair.prior, half_window_m, rng)))
        step()
    summary = summarize(
        results,
        model=manifest.name,
        map_name=f"synthcity {wanted.split} {wanted.level}",
        seed=wanted.first_seed,
        versions=versions(),
    )
    return summary | {
        "baselines": {"center": score_baseline(center), "random": score_baseline(random)},
        "heatmap": summarize_heatmaps(scores),
    }
