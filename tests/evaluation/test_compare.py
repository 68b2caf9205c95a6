# SPDX-License-Identifier: Apache-2.0
"""Comparisons of runs whose difference is known: the verdict, its figures, what is paired and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from simulated import answer_off, truth_at

from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.evaluation.comparison.compare import compare
from geodistill_core.evaluation.comparison.paired import Run, named_apart, pair, read_run
from geodistill_core.evaluation.files import to_json
from geodistill_core.evaluation.frame_table import write_frames
from geodistill_core.evaluation.metrics import FrameResult, summarize
from geodistill_core.evaluation.report.compare_page import render_comparison

COUNT = 240


def errors(seed, rho=0.0, scale=1.0, count=COUNT):
    """Errors [N, 2] in metres, each frame's depending on the one before it."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((count, 2))
    for i in range(1, count):
        values[i] = rho * values[i - 1] + np.sqrt(1 - rho**2) * values[i]
    return scale * values


def run(name, east_north_m, yaw_rad=0.0, dropped=(), key=lambda i: "", facts=None, step_ns=10**9):
    frames = []
    for i, (east, north) in enumerate(east_north_m):
        truth = truth_at(float(i), 0.0)
        answer = None if i in dropped else answer_off(truth, east, north, yaw_rad)
        frames.append(FrameResult(i * step_ns, truth, answer, dropped="no_map" if i in dropped else None, key=key(i)))
    return Run(name, frames, facts or {})


def only(comparison):
    return comparison.summary["comparisons"][0]


@pytest.fixture(scope="module")
def base():
    return run("base", errors(1))


def test_half_the_error_is_better_and_the_other_way_round_is_worse(base):
    half = run("half", errors(1, scale=0.5))
    found = only(compare([base, half]))
    mean = found["figures"]["position_error_m"]["mean"]
    position = np.hypot(*errors(1).T)
    assert found["verdict"] == "better" and found["because"].startswith("Mean position error from ")
    assert mean["difference"] == pytest.approx(-position.mean() / 2, abs=1e-6)
    assert mean["low"] < mean["difference"] < mean["high"] < 0.0
    assert only(compare([half, base]))["verdict"] == "worse"


def test_figures_of_each_run_are_those_of_its_metrics(base):
    half = run("half", errors(1, scale=0.5))
    figures = only(compare([base, half]))["figures"]
    for side, frames in (("baseline", base.frames), ("this", half.frames)):
        summary = summarize(frames, model="", map_name="")
        for measure in ("position_error_m", "lateral_error_m", "longitudinal_error_m", "yaw_error_deg"):
            assert figures[measure]["mean"][side] == pytest.approx(summary[measure]["mean"], abs=1e-9)
            assert figures[measure]["median"][side] == pytest.approx(summary[measure]["median"], abs=0.02)
        assert figures["recall"]["1m"][side] == pytest.approx(summary["recall"]["1m"])


def test_two_draws_of_the_same_noise_are_undecided():
    found = only(compare([run("base", errors(3)), run("other", errors(4))]))
    assert found["verdict"] == "undecided" and "holds zero" in found["because"]
    mean = found["figures"]["position_error_m"]["mean"]
    assert mean["low"] < 0.0 < mean["high"]


def test_pairing_finds_what_two_separate_means_would_not():
    """Two metres of common error hide 5 cm; frame by frame they are plain."""
    common = 3.0 + 2.0 * errors(3)
    better = common - 0.05 * common / np.hypot(*common.T)[:, None]
    found = only(compare([run("base", common), run("new", better)]))
    mean = found["figures"]["position_error_m"]["mean"]
    assert found["verdict"] == "better" and mean["difference"] == pytest.approx(-0.05, abs=1e-6)


def test_the_same_run_agrees_in_every_frame(base):
    found = only(compare([base, replace(base, name="again")]))
    assert found["verdict"] == "undecided" and found["because"] == "The runs agree in every frame."


def test_fewer_localized_frames_are_worse_even_if_the_others_are_as_good(base):
    gaps = run("gaps", errors(1), dropped=set(range(0, COUNT, 5)))
    found = only(compare([base, gaps]))
    assert found["verdict"] == "worse" and "Share of frames localized from 100.00 to 80.00 %" in found["because"]
    assert found["pairs"] == COUNT and found["pairs_scored"] == COUNT * 4 // 5


def test_a_gain_against_a_loss_is_undecided_and_says_so(base):
    mixed = run("mixed", errors(1, scale=0.5), yaw_rad=0.05)
    found = only(compare([base, mixed]))
    assert found["verdict"] == "undecided" and "what counts more is for you to say" in found["because"]
    assert "Mean yaw error from 0.00 to 2.86°" in found["because"]


def test_a_run_of_a_few_frames_decides_nothing():
    found = only(compare([run("base", errors(1, count=4)), run("half", errors(1, scale=0.1, count=4))]))
    assert found["verdict"] == "undecided" and "too short" in found["because"]


def test_drives_with_the_same_errors_on_average_are_seldom_told_apart():
    """Errors that last for ten frames: with 95 % together, one of 12 pairs of equals may be called."""
    pairs = ((run("a", errors(seed, 0.9)), run("b", errors(seed + 100, 0.9))) for seed in range(12))
    verdicts = [only(compare(list(both)))["verdict"] for both in pairs]
    assert sum(verdict != "undecided" for verdict in verdicts) <= 1


def test_more_runs_need_plainer_differences(base):
    others = [run(f"other {i}", errors(10 + i)) for i in range(3)]
    one, three = compare([base, others[0]]).summary, compare([base, *others]).summary
    assert one["level"] == pytest.approx(1 - 0.05 / 3) and three["level"] == pytest.approx(1 - 0.05 / 9)
    narrow, wide = (s["comparisons"][0]["figures"]["position_error_m"]["mean"] for s in (one, three))
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]


def test_each_city_is_resampled_and_shown_for_itself():
    def key(i):
        return f"{'Seattle' if i % 2 else 'Chicago'}/{i}.jpg"

    better_in_one = errors(1)
    better_in_one[1::2] *= 0.4
    found = only(compare([run("base", errors(1), key=key), run("new", better_in_one, key=key)]))
    rows = {row["name"]: row for row in found["groups"]}
    assert set(rows) == {"Chicago", "Seattle"} and rows["Seattle"]["pairs"] == COUNT // 2
    assert rows["Seattle"]["verdict"] == "better" and rows["Chicago"]["verdict"] == "undecided"
    assert rows["Chicago"]["difference"] == pytest.approx(0.0, abs=1e-9)


def test_frames_are_paired_by_name_whatever_their_order_and_number():
    def key(i):
        return f"city/{i}"

    base, other = run("base", errors(1), key=key), run("other", errors(1), key=key)
    shuffled = [replace(frame, stamp_ns=5) for frame in other.frames[::-1]][:-1]
    pairs = pair(base, Run("other", shuffled))
    assert pairs.only_baseline == 1 and pairs.only_other == 0 and len(pairs.frames) == COUNT - 1
    assert np.nanmax(np.abs(pairs.difference("position_error_m"))) < 1e-9


def test_small_groups_are_taken_together():
    pairs = pair(*(run(name, errors(1), key=lambda i: f"{i // 2 if i < 40 else 'big'}/{i}") for name in "ab"))
    assert pairs.names == ("big", "others") and pairs.sizes == (COUNT - 40, 40)


def test_runs_without_a_common_frame_are_refused(base):
    later = Run("later", [replace(frame, stamp_ns=frame.stamp_ns + 1) for frame in base.frames])
    with pytest.raises(ConfigError, match="no frame of later"):
        compare([base, later])


def test_runs_against_different_truth_are_refused(base):
    moved = [replace(frame, truth=truth_at(float(i), 0.5)) for i, frame in enumerate(base.frames)]
    with pytest.raises(ConfigError, match=r"different truth: 0\.50 m apart"):
        compare([base, Run("moved", moved)])


def test_a_frame_twice_in_a_run_is_refused(base):
    with pytest.raises(DatasetError, match="twice"):
        compare([base, Run("twice", [*base.frames, base.frames[0]])])


def test_runs_without_truth_are_compared_by_what_they_localize():
    frames = [replace(frame, truth=None) for frame in run("", errors(1)).frames]
    gaps = [replace(f, answer=None, dropped="no_fix") if i % 3 == 0 else f for i, f in enumerate(frames)]
    found = only(compare([Run("base", frames), Run("gaps", gaps)]))
    assert found["verdict"] == "worse" and list(found["figures"]) == ["localized"]
    assert "position" not in found["because"].lower()


def test_a_run_folder_is_read_with_its_facts(tmp_path, base):
    write_frames(tmp_path / "run" / "frames.csv", base.frames)
    (tmp_path / "run" / "run.json").write_text(json.dumps({"model": "tiny", "configuration": {"prior": "flat"}}))
    write_frames(tmp_path / "table.csv", base.frames)
    folder, table = read_run(tmp_path / "run"), read_run(tmp_path / "table.csv")
    assert folder.name == "run" and folder.facts["model"] == "tiny" and len(folder.frames) == COUNT
    found = only(compare([folder, table]))
    assert found["differs"] == {"model": ["tiny", None], "configuration: prior": ["flat", None]}


@pytest.mark.parametrize("facts", ["[1]", "{"], ids=["a list", "cut"])
def test_damaged_facts_are_named(tmp_path, base, facts):
    write_frames(tmp_path / "frames.csv", base.frames)
    (tmp_path / "run.json").write_text(facts)
    with pytest.raises(DatasetError, match=r"run\.json"):
        read_run(tmp_path)


def test_a_folder_without_frames_is_refused_with_what_is_needed(tmp_path):
    with pytest.raises(ConfigError, match=r"frames\.csv"):
        read_run(tmp_path)


def test_runs_of_the_same_name_are_told_apart(base):
    assert [one.name for one in named_apart([base, base, base])] == ["base", "base (2)", "base (3)"]


def test_comparison_and_page_are_the_same_bytes_every_time(base):
    runs = [base, run("<b>half</b>", errors(1, scale=0.5), facts={"model": "<script>x</script>"})]
    first, second = compare(runs), compare(runs)
    assert to_json(first.summary) == to_json(second.summary)
    page = render_comparison(first)
    assert page == render_comparison(second)
    assert "<b>" not in page and "<script" not in page and "&lt;b&gt;half&lt;/b&gt;: better" in page


def test_the_page_of_a_comparison_without_any_scored_frame_is_whole():
    frames = [replace(frame, truth=None) for frame in run("", errors(1)).frames]
    page = render_comparison(compare([Run("base", frames), Run("other", frames)]))
    assert "other: undecided" in page and "nan" not in page
