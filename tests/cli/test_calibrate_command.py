# SPDX-License-Identifier: Apache-2.0
"""`geodistill eval … --calibrate`: a new checkpoint, what it tells, and what it refuses."""

from __future__ import annotations

import json

import pytest

from geodistill_core.models.checkpoint import load_checkpoint, resolve
from geodistill_core.models.manifest import read_manifest
from tests.twins.small import CITY, vigor_tree

SYNTH = ("eval", "synth", "--split", "validation", "--pairs", 50, "--risk", 0.2, "--date", "2026-11-22")


def test_a_calibration_is_fitted_told_and_stored_in_a_new_checkpoint(geodistill, tmp_path):
    shipped, folder = read_manifest(resolve("tiny")), tmp_path / "new"
    ran = geodistill(*SYNTH, "--calibrate", folder, "--json", "-")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    _, manifest = load_checkpoint(folder)
    found = manifest.calibration
    numbers = {name: value for name, value in found.model_dump().items() if isinstance(value, float)}
    assert {name: told["calibration"][name] for name in numbers} == pytest.approx(numbers)
    assert (found.samples, found.date, found.risk) == (50, "2026-11-22", 0.2)
    assert found.fitted_on == "SynthCity 1, validation styles, level standard, from seed 10000"
    assert found.nll_after <= found.nll_before
    assert told["after"]["nll_mean"] <= told["before"]["nll_mean"]
    assert told["before"]["temperature"] == pytest.approx(shipped.calibration.temperature)
    assert told["after"]["nees"]["frames"] == 50 and told["held_out"]["nees"]["frames"] == 25
    assert told["after"]["protection"]["lateral"]["violations"] <= 0.2 * 50
    assert {one["by"] for one in told["after"]["strata"]} >= {"confidence", "prior error", "road"}
    assert manifest.sha256 == shipped.sha256
    assert read_manifest(resolve("tiny")) == shipped
    evaluated_as_told(geodistill, folder, told)


def evaluated_as_told(geodistill, folder, told):
    """The evaluation of the new checkpoint goes through the localizer; the fit has only kept heat maps."""
    few = ("eval", "synth", "--split", "validation", "--pairs", 50)
    found = json.loads(geodistill(*few, "--model", folder, "--json", "-").out)
    assert found["sharpness_m2"] == pytest.approx(told["after"]["sharpness_m2"], rel=1e-3)
    assert found["nees"]["mean"] == pytest.approx(told["after"]["nees"]["mean"], rel=1e-3)
    assert found["coverage"] == told["after"]["coverage"]
    # one frame's error is the protection level itself, so that rounding decides about it
    shares = [one["protection"]["lateral"]["share"] for one in (found, told["after"])]
    assert shares[0] == pytest.approx(shares[1], abs=1.5 / 50)
    assert found["heatmap"]["nll_mean"] == pytest.approx(told["after"]["nll_mean"], rel=1e-4)


def test_the_table_shows_before_after_and_the_held_out_half(geodistill, tmp_path):
    ran = geodistill(*SYNTH, "--calibrate", tmp_path / "new")
    assert ran.code == 0, ran.err
    for words in ("before", "after", "held-out half", "temperature", "mean NEES", "protection factors", "risk of 0.2"):
        assert words in ran.out


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--pairs", 20), 2, "20 samples are too few"),
        (("--pairs", 298, "--risk", 0.01), 2, "take at least 299, or state a larger --risk"),
        (("--risk", 0), 2, "outside (0, 1)"),
        (("--date", "yesterday"), 2, "not YYYY-MM-DD"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_before_anything_is_computed(geodistill, tmp_path, options, code, said):
    ran = geodistill(*SYNTH, "--calibrate", tmp_path / "new", *options)
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert not (tmp_path / "new").exists()


def test_a_shipped_checkpoint_is_never_overwritten(geodistill):
    before = (resolve("tiny") / "manifest.json").read_bytes()
    ran = geodistill(*SYNTH, "--calibrate", resolve("tiny"))
    assert ran.code != 0 and "not empty" in ran.err
    assert (resolve("tiny") / "manifest.json").read_bytes() == before


def test_data_sets_are_calibrated_on_the_vehicles_question(geodistill, monkeypatch, tmp_path):
    monkeypatch.setattr("geodistill_core.evaluation.recalibration.fit.LEAST_SAMPLES", 4)
    root = vigor_tree(tmp_path / "vigor")
    asked = ("eval", "vigor", root, "--city", CITY, "--risk", 0.6, "--calibrate", tmp_path / "new")
    refused = geodistill(*asked)
    assert refused.code == 2 and "--protocol vehicle" in refused.err
    vehicle = (*asked, "--protocol", "vehicle", "--heading-range-deg", 20, "--date", "2026-11-22", "--json", "-")
    # the pictures of this tree are noise
    blind = geodistill(*vehicle)
    assert blind.code == 4 and "the network tells nothing" in blind.err and not (tmp_path / "new").exists()
    monkeypatch.setattr("geodistill_core.evaluation.recalibration.fit._temperature", lambda inside: 2.0)
    ran = geodistill(*vehicle)
    assert ran.code == 0, ran.err
    found = read_manifest(tmp_path / "new").calibration
    assert (found.samples, found.temperature) == (5, 2.0)
    assert found.fitted_on == "vigor same-area test, corrected labels, asked as a vehicle"


def test_a_model_without_calibration_says_so_and_widens_what_it_claims(geodistill, checkpoint):
    ran = geodistill("eval", "synth", "--level", "easy", "--pairs", 1, "--model", checkpoint)
    assert "untrained carries no calibration" in ran.err and "4 times as large" in ran.err
    assert "no calibration" not in geodistill("eval", "synth", "--level", "easy", "--pairs", 1).err
