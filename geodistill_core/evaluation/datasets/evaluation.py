# SPDX-License-Identifier: Apache-2.0
"""An evaluation of a model on a part of a data set: what it asks, its figures, and what it leaves on disk."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from geodistill_core import __version__
from geodistill_core.bags.manifest import sha256_of
from geodistill_core.datasets.files import read_lines
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.baselines import BASELINE_KEYS
from geodistill_core.evaluation.datasets.run import BAD_FILE, BAD_LABEL, Judge, Pace, Verdicts, claim, judge_all
from geodistill_core.evaluation.files import versions, write_json
from geodistill_core.evaluation.frame_table import SUFFIXES, write_frames
from geodistill_core.evaluation.metrics import POSITION_RECALL_M, FrameResult, scored, share_within, summarize
from geodistill_core.evaluation.run_info import RunInfo
from geodistill_core.evaluation.threads import torch_threads

TOLERATED_SHARE = 0.05
"""So many samples may be unreadable before an evaluation counts as partial."""


@dataclass(frozen=True)
class Evaluation:
    """`judge` over the part of the data set in `root` that `lists` name; `configuration` is all that decides.

    `lists` are published files by the names under which results know them, `CITY/FILE` where each city has its own.
    `hashes` are the models'. `table` is the suffix of the per-sample table. Sums depend on `threads` of the network.
    """

    judge: Judge[Any]
    root: Path
    lists: Mapping[str, Path]
    dataset: str
    split: str
    model: str
    hashes: Mapping[str, str]
    seed: int
    configuration: Mapping[str, Any]
    pace: Pace = Pace()  # noqa: RUF009 - frozen
    threads: int = 1
    table: str = ".csv"

    def __post_init__(self) -> None:
        if self.table not in SUFFIXES:
            raise ConfigError(f"table {self.table!r} is not one of {', '.join(SUFFIXES)}")

    def info(self) -> RunInfo:
        """How the run is named; without folders, so that machines agree."""
        configuration = {**self.configuration, "batch": self.pace.batch, "threads": self.threads}
        hashes = dict(self.hashes) | {name: sha256_of(path) for name, path in self.lists.items()}
        decisive = repr((sorted(configuration.items()), sorted(hashes.items()), self.dataset, self.split, self.seed))
        fingerprint = hashlib.sha256(decisive.encode()).hexdigest()[:12]
        title = f"{self.dataset} {self.split}"
        return RunInfo(title, self.model, title, self.seed, configuration, fingerprint, hashes)


def evaluate(evaluation: Evaluation, folder: Path, step: Callable[..., None] = lambda count=1: None) -> dict[str, Any]:
    """Judge every sample and leave run.json, the per-sample table and, last, metrics.json in `folder`.

    `step(count)` counts samples. An evaluation that was stopped goes on where it was. Returns the metrics.

    Raises:
        ConfigError: the folder holds the beginning of another evaluation.
        DatasetError: no sample can be read.
    """
    info = evaluation.info()
    parts = claim(folder, info.to_json() | {"version": __version__, "samples": len(evaluation.judge)})
    metrics, partial = folder / "metrics.json", folder / ".metrics.json.partial"
    metrics.unlink(missing_ok=True)
    with torch_threads(evaluation.threads):
        verdicts = judge_all(evaluation.judge, parts, evaluation.pace, step)
    summary = summarize_verdicts(verdicts, info) | {"skipped": _named(verdicts, evaluation)}
    write_json(folder / "run.json", info.to_json())
    write_frames(folder / f"frames{evaluation.table}", verdicts.results)
    write_json(partial, summary)
    partial.replace(metrics)
    shutil.rmtree(parts)
    return summary


def summarize_verdicts(verdicts: Verdicts, info: RunInfo) -> dict[str, Any]:
    """metrics.json with what the papers report beside it: recalls along both axes, figures of each city or drive."""
    summary = _figures(verdicts.results, info)
    return summary | {
        "protocol": dict(info.configuration),
        "areas": {area: _figures(results, info) for area, results in _by_area(verdicts.results).items()},
        "baselines": {
            "center": _figures(verdicts.center, info, BASELINE_KEYS),
            "random": _figures(verdicts.random, info, BASELINE_KEYS),
        },
    }


def is_partial(summary: Mapping[str, Any]) -> bool:
    """Whether samples were lost: more unreadable ones than tolerated, or any that could be read but not localized."""
    unreadable = sum(summary["dropped"].get(reason, 0) for reason in (BAD_FILE, BAD_LABEL))
    lost = sum(summary["dropped"].values()) - unreadable
    return bool(lost or unreadable > TOLERATED_SHARE * summary["frames"])


def _figures(results: Sequence[FrameResult], info: RunInfo, keys: Sequence[str] = ()) -> dict[str, Any]:
    summary = summarize(results, model=info.model, map_name=info.map_name, seed=info.seed, versions=versions())
    errors = scored(results)
    for name in ("lateral", "longitudinal"):
        metres = np.abs([getattr(error, f"{name}_m") for error in errors])
        summary[f"recall_{name}"] = {f"{limit}m": share_within(metres, limit) for limit in POSITION_RECALL_M}
    return {key: summary[key] for key in keys} if keys else summary


def _by_area(results: Sequence[FrameResult]) -> dict[str, list[FrameResult]]:
    """Results of each city or drive, by the first parts of their keys; lines that are no samples belong to none."""
    areas: dict[str, list[FrameResult]] = defaultdict(list)
    for result in results:
        if result.dropped != BAD_LABEL:
            areas[result.key.rpartition("/")[0]].append(result)
    return dict(sorted(areas.items()))


def _named(verdicts: Verdicts, evaluation: Evaluation) -> dict[str, str]:
    """Why samples were skipped, by the line that lists them, with paths within the data set."""
    if not verdicts.skipped:
        return {}
    lines = _lines(evaluation.lists)
    # lists may lie beside the data set
    named = (evaluation.root, *(path.parent for path in evaluation.lists.values()))
    folders = sorted({f"{folder}{os.sep}" for folder in named}, key=len, reverse=True)
    told = {}
    for key, why in sorted(verdicts.skipped.items()):
        short = reduce(lambda text, folder: text.replace(folder, ""), folders, why)
        told[lines.get(key, key)] = short if Path(key).stem in short else f"{key}: {short}"
    return told


def _lines(lists: Mapping[str, Path]) -> dict[str, str]:
    """`FILE:LINE` by what results call the sample that is listed there."""
    found: dict[str, str] = {}
    for file, path in lists.items():
        for number, line in read_lines(path, "copy it again"):
            name = line.split(maxsplit=1)[0]
            found.setdefault(f"{file.removesuffix(path.name)}{name}", f"{file}:{number}")
    return found
