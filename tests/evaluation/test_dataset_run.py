# SPDX-License-Identifier: Apache-2.0
"""Evaluations of many samples: the same bytes however they are read, stopped and resumed; nothing lost."""

from __future__ import annotations

import numpy as np
import pytest

from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.evaluation.datasets import run as dataset_run
from geodistill_core.evaluation.datasets.judged import judged
from geodistill_core.evaluation.datasets.run import Pace, claim, judge_all
from geodistill_core.evaluation.frame_table import write_frames
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer
from geodistill_core.types import Prior

IDENTITY = {"model": "a", "seed": 1}


class Counting:
    """Answers with the number of the sample; `broken` cannot be read, `stop_at` is where somebody presses Ctrl-C."""

    def __init__(self, count=11, broken=(), stop_at=None, rejected=()):
        self.count, self.broken, self.stop_at = count, broken, stop_at
        self.rejected = {where: "malformed" for where in rejected}
        self.batches, self.read = [], []

    def __len__(self):
        return self.count

    def key(self, index):
        return f"city/{index}"

    def load(self, index):
        self.read.append(index)
        if index in self.broken:
            raise DatasetError(f"/data/{index}.png is broken")
        return index

    def answer(self, batch):
        if self.stop_at in batch:
            raise KeyboardInterrupt
        self.batches.append(tuple(batch))
        return [judged(self._result(i), Prior(47.0, 8.0, 5.0, 0.1, 0.2), 20.0, 3) for i in batch]

    def _result(self, i):
        answer = PoseAnswer(47.0 + i * 1e-6, 8.0, i / 3, np.diag([1.0, 1.0, 0.1]))
        return FrameResult(i, Truth(47.0, 8.0, 0.0), answer, (47.0, 8.0), key=self.key(i), confidence=1 / (i + 1))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(dataset_run, "_PART_SAMPLES", 4)


def run(judge, folder, pace=None, identity=IDENTITY):
    steps = []
    verdicts = judge_all(judge, claim(folder, identity), pace or Pace(2, 2), steps.append)
    assert sum(steps) == len(judge)
    return verdicts


def table_bytes(verdicts, folder):
    return [
        write_frames(folder / f"{name}.csv", getattr(verdicts, name)).read_bytes()
        for name in ("results", "center", "random")
    ]


def test_samples_come_back_in_the_order_of_the_list(tmp_path):
    verdicts = run(Counting(), tmp_path, Pace(3, 4))
    assert [result.key for result in verdicts.results] == [f"city/{i}" for i in range(11)]


def test_how_many_threads_read_changes_nothing(tmp_path):
    one, four = (table_bytes(run(Counting(), tmp_path / str(n), Pace(2, n)), tmp_path) for n in (1, 4))
    assert one == four


@pytest.mark.parametrize("stop_at", [3, 4, 9, 10])
def test_a_stopped_evaluation_goes_on_and_ends_with_the_same_bytes(tmp_path, stop_at):
    whole = Counting(broken=(5,))
    expected = table_bytes(run(whole, tmp_path / "whole"), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(Counting(broken=(5,), stop_at=stop_at), tmp_path / "stopped")
    rest = Counting(broken=(5,))
    found = run(rest, tmp_path / "stopped")
    assert table_bytes(found, tmp_path) == expected
    assert found.skipped == {"city/5": "/data/5.png is broken"}
    assert min(rest.read) == stop_at // 4 * 4
    assert rest.batches == whole.batches[-len(rest.batches) :]


@pytest.mark.parametrize("other", [{"model": "b", "seed": 1}, {"model": "a", "seed": 2}])
def test_the_beginning_of_another_evaluation_is_not_continued(tmp_path, other):
    with pytest.raises(KeyboardInterrupt):
        run(Counting(stop_at=8), tmp_path)
    with pytest.raises(ConfigError, match=r"another evaluation.*--output"):
        run(Counting(), tmp_path, identity=other)
    run(Counting(), tmp_path)


def test_every_listed_line_is_a_result_or_a_counted_reason(tmp_path):
    verdicts = run(Counting(broken=(0, 7), rejected=("list.txt:4",)), tmp_path)
    reasons = {result.key: result.dropped for result in verdicts.results if result.dropped}
    assert reasons == {"city/0": "bad_file", "city/7": "bad_file", "list.txt:4": "bad_label"}
    assert len(verdicts.results) == 12
    assert set(verdicts.skipped) == set(reasons)


def test_an_evaluation_without_one_readable_sample_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match=r"none of 3 samples can be read; the first: /data/0\.png is broken"):
        run(Counting(3, broken=(0, 1, 2)), tmp_path)


def test_baselines_stand_beside_answered_samples_and_guesses_depend_on_the_key_alone(tmp_path):
    verdicts = run(Counting(broken=(1,)), tmp_path / "a")
    assert [frame.key for frame in verdicts.random] == [f"city/{i}" for i in range(11) if i != 1]
    few = run(Counting(4), tmp_path / "b")
    assert table_bytes(few, tmp_path)[2].splitlines()[1] == table_bytes(verdicts, tmp_path)[2].splitlines()[1]
    assert len({frame.answer.latitude for frame in verdicts.random}) == 10
    assert all(frame.answer.latitude == 47.0 for frame in verdicts.center)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"workers": 65}])
def test_paces_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="outside 1"):
        Pace(**wrong)
