# SPDX-License-Identifier: Apache-2.0
"""The tracking benchmark's figures, from frames whose errors and claims are made by hand."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from simulated import answer_off, truth_at

from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.evaluation.bench.tracking import TrackingBenchOptions
from geodistill_core.evaluation.bench.tracking_calibration import (
    fit_axis,
    fit_student,
    fit_track_calibration,
    read_calibration,
)
from geodistill_core.evaluation.bench.tracking_frames import TrackedFrame, scored, write_frames
from geodistill_core.evaluation.bench.tracking_jobs import in_order
from geodistill_core.evaluation.bench.tracking_metrics import (
    apart,
    autocorrelation,
    chi_square_mean_bounds,
    claim_figures,
    drive_figures,
    independent_distance_m,
    sub_samplings,
)
from geodistill_core.evaluation.bench.tracking_mount import MountError, mount_figures
from geodistill_core.evaluation.calibration import ellipse_level
from geodistill_core.localization.protection import ProtectionLevel

SIGMA = np.array([0.5, 0.5, 0.02])


def frame(way_m=0.0, east_m=0.0, north_m=0.0, yaw_rad=0.0, state="tracking", sigma=SIGMA, **fields):
    """Heading east, so that north is to the left: `north_m` is lateral and `east_m` longitudinal."""
    truth = truth_at()
    values = {
        "stamp_ns": 1_000_000_000 + round(way_m * 1e8),
        "way_m": way_m,
        "truth": truth,
        "state": state,
        "tracked": answer_off(truth, east_m, north_m, yaw_rad, np.diag(np.square(sigma))),
        "degrees_of_freedom": None,
        "protection": ProtectionLevel(1.0, 2.0, 0.01),
        "suspect": "",
        "single": None,
        "gnss_error_m": None,
        "spread_sq": tuple(np.square(sigma)),
        "innovation_sq": (0.0, 0.0, 0.0),
        "tracker_ms": 4.0,
    }
    return TrackedFrame(**(values | fields))


def random_drive(seed, count=400, step_m=40.0, sigma=SIGMA, truly=1.0, keep=0.0):
    """Errors of `truly` times the claimed sigma; each keeps a share `keep` of the last one's."""
    rng = np.random.default_rng(seed)
    error, frames = rng.normal(size=3), []
    for k in range(count):
        error = keep * error + math.sqrt(1.0 - keep**2) * rng.normal(size=3)
        frames.append(frame(step_m * k, *(truly * sigma * error), sigma=sigma))
    return frames


def test_lateral_is_across_the_vehicle_and_longitudinal_along_it():
    figures = drive_figures([frame(0.0, east_m=3.0, north_m=0.0), frame(1.0, east_m=3.0, north_m=4.0)])
    assert figures["lateral_error_m"]["max"] == pytest.approx(4.0, abs=1e-6)
    assert figures["longitudinal_error_m"]["median"] == pytest.approx(3.0, abs=1e-6)
    assert figures["position_error_m"]["max"] == pytest.approx(5.0, abs=1e-6)


def test_errors_are_those_of_the_followed_track_and_the_worst_is_that_while_tracking():
    frames = [
        frame(0.0, east_m=30.0, state="acquiring"),
        frame(10.0, east_m=1.0),
        frame(20.0, east_m=7.0, state="degraded"),
        frame(30.0, state="lost", tracked=None, protection=None),
    ]
    figures = drive_figures(frames)
    assert figures["frames"] == 4 and figures["followed"] == 2 and figures["distance_m"] == 30.0
    assert figures["position_error_m"]["max"] == pytest.approx(7.0, abs=1e-6)
    assert figures["worst_while_tracking_m"] == pytest.approx(1.0, abs=1e-6)
    assert figures["states"] == {"acquiring": 0.25, "tracking": 0.25, "degraded": 0.25, "lost": 0.25}
    assert figures["first_tracking_s"] == pytest.approx(1.0)


def test_the_single_images_errors_stand_beside_the_tracks():
    truth = truth_at()
    frames = [frame(0.0), frame(10.0, single=answer_off(truth, 6.0, 8.0), gnss_error_m=12.0)]
    figures = drive_figures(frames)
    assert figures["single_error_m"]["median"] == pytest.approx(10.0, abs=1e-6)
    assert figures["single_error_m"]["frames"] == 1 and figures["gnss_error_m"]["max"] == 12.0


def test_a_drive_that_was_never_followed_has_no_errors_and_no_first_tracking():
    figures = drive_figures([frame(0.0, state="acquiring"), frame(1.0, state="waiting_prior", tracked=None)])
    assert figures["position_error_m"]["median"] is None
    assert figures["worst_while_tracking_m"] is None and figures["first_tracking_s"] is None


def test_frames_apart_are_counted_from_the_last_one_taken_and_a_standing_vehicle_adds_none():
    drive = scored([frame(way) for way in (0.0, 0.0, 4.0, 9.0, 11.0, 11.0, 19.0, 21.5)])
    assert [one.frame.way_m for one in apart(drive, 10.0)] == [0.0, 11.0, 21.5]


def test_autocorrelation_of_a_wave_is_its_cosine():
    way = np.arange(0.0, 4000.0, 1.0)
    drive = scored([frame(s, east_m=math.sin(s / 10.0), north_m=math.sin(s / 10.0)) for s in way])
    lags = np.array([0.0, 10.0, 31.0])
    assert autocorrelation([drive], lags) == pytest.approx(np.cos(lags / 10.0), abs=0.03)


def test_an_error_that_a_whole_drive_shares_is_correlated_at_every_distance():
    drive = scored([frame(s, east_m=0.4, north_m=0.0) for s in np.arange(0.0, 600.0, 2.0)])
    assert independent_distance_m([drive]) == (100.0, pytest.approx(1.0, abs=1e-6))


def test_errors_forgotten_over_a_few_metres_are_independent_after_thirty():
    drives = [scored(random_drive(seed, 800, 2.0, keep=0.8)) for seed in range(4)]
    distance_m, left = independent_distance_m(drives)
    assert distance_m == 30.0 and abs(left) < 0.2


def test_errors_remembered_over_fifty_metres_need_a_longer_distance():
    keep = math.exp(-2.0 / 25.0)
    distance_m, left = independent_distance_m([scored(random_drive(s, 2000, 2.0, keep=keep)) for s in range(4)])
    assert 35.0 <= distance_m <= 50.0 and left < 0.2


@pytest.mark.parametrize("count", [20, 50, 200, 1000])
def test_bounds_of_a_mean_chi_square_are_those_of_the_exact_distribution(count):
    exact = stats.chi2.ppf([0.025, 0.975], 3 * count) / count
    assert chi_square_mean_bounds(count, 3) == pytest.approx(tuple(exact), abs=2e-3)


def test_honest_claims_pass_and_tenfold_or_tenth_sigmas_do_not():
    found = {scale: claim_figures([scored(random_drive(1, truly=scale))], 0.01)["nees"] for scale in (1.0, 0.1, 10.0)}
    low, high = found[1.0]["bounds"]
    assert low < found[1.0]["mean"] < high
    assert found[0.1]["mean"] < low and found[10.0]["mean"] > high
    assert found[1.0]["by_axis"]["yaw"] == pytest.approx(1.0, abs=0.25)


def test_coverage_counts_the_truths_within_the_position_ellipse():
    radius = math.sqrt(-2.0 * math.log(0.05)) * 0.5
    frames = [frame(40.0 * k, east_m=radius * (0.99 if k < 9 else 1.01)) for k in range(10)]
    claims = claim_figures([scored(frames)], 0.01)
    # errors of this drive are alike, so that every third frame counts: of 20 sub-samplings the first holds the frames
    # 0, 3, 6 and 9, eight hold 1, 4 and 7, eight 2, 5 and 8, three 3, 6 and 9; only frame 9 is outside of its ellipse
    assert (claims["independent"]["frames"], claims["independent"]["sub_samplings"]) == (3, 20)
    assert claims["coverage"]["0.95"]["share"] == pytest.approx(57 / 61) and claims["coverage"]["0.99"]["share"] == 1.0
    assert claims["one_sub_sampling"]["coverage_95"] == [pytest.approx(2 / 3), 1.0]


def test_the_hpd_curve_of_honest_claims_is_the_diagonal_and_that_of_wide_ones_is_not():
    honest = claim_figures([scored(random_drive(3, 2000))], 0.01)["hpd_deviation"]
    wide = claim_figures([scored(random_drive(3, 2000, truly=0.3))], 0.01)["hpd_deviation"]
    assert honest["independent"] < 0.05 < 0.3 < wide["independent"]


def test_the_hpd_curve_is_that_of_the_tails_that_were_claimed():
    rng = np.random.default_rng(4)
    tails = np.sqrt(3.0 / rng.chisquare(5.0, 2000))  # Student's t with 5 degrees of freedom and variance one
    drive = [
        frame(40.0 * k, *(SIGMA * tails[k] * rng.normal(size=3)), degrees_of_freedom=5.0) for k in range(len(tails))
    ]
    found = claim_figures([scored(drive)], 0.01)["hpd_deviation"]
    assert max(found["independent"], found["metre_apart"]) < 0.03 < 0.07 < found["as_gaussian"]


def test_figures_are_those_of_all_sub_samplings_and_bounds_those_of_one():
    drives = [scored(random_drive(seed, 400, 2.0, keep=0.8)) for seed in range(3)]
    distance_m, _ = independent_distance_m(drives)
    samples = sub_samplings(drives, distance_m)
    claims = claim_figures(drives, 0.01)
    count = claims["independent"]["frames"]
    assert len(samples) == distance_m / 5.0 and count == pytest.approx(3 * 800 / distance_m, rel=0.05)
    means = [np.mean([one.errors.nees for one in sample]) for sample in samples]
    assert claims["nees"]["mean"] == pytest.approx(np.mean(means), rel=0.02)
    assert claims["nees"]["bounds"] == pytest.approx(chi_square_mean_bounds(count, 3))
    assert claims["one_sub_sampling"]["nees"] == pytest.approx([min(means), max(means)])


def test_sharpness_is_the_area_of_the_ellipse():
    claims = claim_figures([scored([frame(40.0 * k) for k in range(5)])], 0.01)
    area = math.pi * -2.0 * math.log(0.05) * 0.25
    assert claims["sharpness"]["ellipse_95_sq_m"]["median"] == pytest.approx(area)


def test_a_protection_level_is_violated_by_errors_to_either_side_of_its_own_axis():
    frames = [frame(0.0, east_m=1.9, north_m=-1.1), frame(40.0, east_m=-2.1), frame(80.0), frame(120.0)]
    protection = claim_figures([scored(frames)], 0.01)["protection"]
    assert protection["lateral"]["violated"] == 0.25 and protection["longitudinal"]["violated"] == 0.25


def test_nothing_followed_gives_no_claims_and_no_error():
    claims = claim_figures([[]], 0.01)
    assert claims["nees"]["mean"] is None and claims["protection"]["lateral"]["violated"] is None


def test_an_axis_is_fitted_to_how_much_larger_its_errors_are():
    rng = np.random.default_rng(5)
    spread = rng.uniform(0.1, 0.5, 4000)
    error = 1.7 * spread * rng.normal(size=4000)
    scale, _ = fit_axis(error, spread**2, np.full(4000, 1e-6), 0.0, 0.001, np.ones(4000))
    assert scale == pytest.approx(1.7, rel=0.08)


@pytest.mark.parametrize(("dof", "near"), [(4.0, (3.0, 5.0)), (8.0, (6.0, 10.0)), (1e6, (30.0, 100.0))])
def test_errors_with_heavy_tails_are_told_from_gaussian_ones_and_their_covariance_is_found(dof, near):
    rng = np.random.default_rng(7)
    spread = rng.uniform((0.1, 0.1, 0.01), (0.5, 0.5, 0.03), (3000, 3))
    shape = np.diag([1.7, 1.0, 0.8]) ** 2 * (dof - 2.0) / dof
    errors = spread * stats.multivariate_t(shape=shape, df=dof, seed=8).rvs(3000)
    scales, _, found = fit_student(errors, spread**2, np.full((3000, 3), 1e-6))
    assert near[0] <= found <= near[1]
    # a tenth where fourth moments are few: the covariance is known no better from 3 000 errors
    assert scales == pytest.approx([1.7, 1.0, 0.8], rel=0.1)


def test_few_outliers_do_not_widen_what_is_claimed_for_the_middle_of_all_errors():
    rng = np.random.default_rng(9)
    spread = rng.uniform((0.1, 0.1, 0.01), (0.5, 0.5, 0.03), (3000, 3))
    errors = spread * rng.normal(size=(3000, 3))
    errors[::100] *= 20.0
    scales, _, dof = fit_student(errors, spread**2, np.full((3000, 3), 1e-6))
    squares = np.square(errors / spread / scales)[:, :2].sum(axis=1)
    levels = [ellipse_level(s, dof) for s in squares]
    # a Gaussian of the same second moments (2.2 times as wide) would hold nearly all in its middle half
    assert np.mean(np.array(levels) < 0.5) == pytest.approx(0.5, abs=0.07)


def test_an_error_that_only_the_innovations_tell_of_is_fitted_to_them():
    rng = np.random.default_rng(6)
    innovation = rng.uniform(0.5, 2.0, 4000)
    error = 0.4 * innovation * rng.normal(size=4000)
    _, share = fit_axis(error, np.full(4000, 1e-6), innovation**2, 0.0, 0.001, np.ones(4000))
    assert share == pytest.approx(0.4, rel=0.08)


def test_a_fitted_calibration_tells_its_axes_apart_and_holds_its_level():
    sigma = np.array([0.4, 0.2, 0.03])
    drives = [random_drive(seed, 600, 2.0, sigma=sigma) for seed in range(4)]
    # heading east: along is east. Errors along are twice the spread that the particles had, those across once.
    halved = [[replace(one, spread_sq=(0.2**2, 0.2**2, 0.03**2)) for one in drive] for drive in drives]
    fitted = fit_track_calibration(halved, "by hand")
    assert fitted.scale_along == pytest.approx(2.0, rel=0.12) and fitted.scale_across == pytest.approx(1.0, rel=0.12)
    assert fitted.scale_yaw == pytest.approx(1.0, rel=0.12)
    assert fitted.drives == 4 and fitted.samples == 2400 and fitted.risk == 0.01
    # the level holds all but half a per cent of normal errors: 2.81 sigma
    assert fitted.protection_lateral == pytest.approx(2.81, rel=0.12)
    assert fitted.protection_longitudinal == pytest.approx(2.81, rel=0.12)


def test_too_few_frames_to_fit_on_are_refused():
    with pytest.raises(DatasetError, match="too few"):
        fit_track_calibration([[frame(0.0)]], "by hand")


def test_a_written_calibration_is_read_back_and_another_file_is_refused(tmp_path):
    fitted = fit_track_calibration([random_drive(1, 100, 2.0)], "by hand")
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(fitted.model_dump()))
    assert read_calibration(path) == fitted
    path.write_text("{}")
    with pytest.raises(ConfigError, match="no calibration of a track: scale_along: Field required; write") as refused:
        read_calibration(path)
    assert "\n" not in str(refused.value)


def test_the_csv_holds_a_line_a_frame_with_signed_errors_and_blanks_where_there_is_no_pose(tmp_path):
    lost = frame(20.0, tracked=None, protection=None, state="lost")
    write_frames(tmp_path / "a" / "drive.csv", [frame(10.0, north_m=-0.5), lost])
    with (tmp_path / "a" / "drive.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert float(first["lateral_m"]) == pytest.approx(-0.5, abs=1e-4) and first["state"] == "tracking"
    assert float(first["nees"]) == pytest.approx(1.0, abs=1e-3) and first["protection_longitudinal_m"] == "2.0000"
    assert second["seconds"] == "1.000" and second["error_m"] == "" and second["tracker_ms"] == "4.0000"


def mounting(*errors):
    """Errors after each frame, a second apart, with frames whose track is off by as many metres as their number."""
    frames = [frame(10.0 * k, east_m=float(k)) for k in range(len(errors))]
    return mount_figures([MountError(f.stamp_ns, *e) for f, e in zip(frames, errors, strict=True)], frames)


def test_a_mounting_is_found_once_height_and_pitch_stay_within_their_limits():
    wrong, pitched, right = (0.2, 2.0), (0.01, 0.4), (-0.029, -0.29)
    found = mounting(wrong, right, pitched, right, right)
    assert found["recovered_after_frames"] == 4 and found["within_limits"]
    assert found["position_error_before_m"]["max"] == pytest.approx(2.0, abs=1e-6)
    assert found["position_error_after_m"]["median"] == pytest.approx(3.5, abs=1e-6)


def test_a_mounting_that_is_lost_again_was_not_found():
    found = mounting((0.0, 0.0), (0.04, 0.0))
    assert found["recovered_after_frames"] is None and not found["within_limits"]
    assert found["height_error_share"] == 0.04


def test_a_mounting_found_after_more_frames_than_allowed_is_over_the_limit():
    found = mounting(*[(0.2, 0.0)] * 150, (0.0, 0.0))
    assert found["recovered_after_frames"] == 151 and not found["within_limits"]


def doubled(number, count):
    count()
    return 2 * number


@pytest.mark.parametrize("jobs", [1, 2])
def test_work_is_answered_in_order_and_counted_whatever_the_number_of_processes(jobs):
    counted = []
    assert in_order(doubled, [1, 2, 3], jobs, lambda: counted.append(1)) == [2, 4, 6]
    assert len(counted) == 3


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"jobs": 0}, {"drives": 0}])
def test_options_of_no_meaning_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrackingBenchOptions(**wrong)
