# SPDX-License-Identifier: Apache-2.0
"""`geodistill replay --track`: the recorded drive through the tracker, in this process."""

import csv
import json

import pytest

from geodistill_core.bags.reader import read_drive
from geodistill_core.evaluation.live.node_options import node_output
from geodistill_core.evaluation.replay import ReplayPlan
from geodistill_core.evaluation.tracked_frames import TrackedFrames
from geodistill_core.tracking.tracked import TrackedLocalizer
from geodistill_core.tracking.tracker import Tracker
from geodistill_core.types import Estimate


@pytest.fixture
def tracked(geodistill, drive, checkpoint, tmp_path):
    ran = geodistill("replay", drive.bag, "--track", "--model", checkpoint, "-o", tmp_path / "out")
    assert ran.code in (0, 3), ran.err
    return tmp_path / "out"


def test_answers_carry_the_state_of_the_track_and_the_run_says_what_it_is(tracked):
    rows = list(csv.DictReader((tracked / "frames.csv").open()))
    answered = [row for row in rows if row["status"]]
    assert answered and {row["status"] for row in answered} <= {"acquiring", "tracking", "degraded"}
    assert json.loads((tracked / "run.json").read_text())["configuration"]["output"] == "tracked"


def test_two_tracked_replays_leave_the_same_bytes(geodistill, drive, checkpoint, tracked, tmp_path):
    geodistill("replay", drive.bag, "--track", "--model", checkpoint, "-o", tmp_path / "again")
    for name in ("metrics.json", "frames.csv", "estimate.tum", "results.mcap"):
        assert (tracked / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_replay_and_node_share_one_path(drive, checkpoint):
    """The poses are those of TrackedLocalizer, which is what the node calls."""
    reader, localizer = read_drive(drive.bag), ReplayPlan(str(checkpoint), track=True).localizer(drive.map)
    assert localizer.config.prior == "flat"
    path = TrackedLocalizer(localizer, Tracker(calibration=localizer.manifest.tracking))
    expected = [path.locate(f.image, f.frame_prior, f.sensors)[1] for f in reader.frames()]
    frames = TrackedFrames(localizer)
    for frame, pose in zip(reader.frames(frames.expecting), expected, strict=True):
        found, claimed = frames.locate(frame)
        assert isinstance(found, Estimate) and claimed.state is pose.state
        assert (found.latitude, found.longitude, found.yaw_enu_rad) == (pose.latitude, pose.longitude, pose.yaw_enu_rad)
        assert (found.covariance == pose.covariance).all()


@pytest.mark.parametrize(
    ("plan", "output"),
    [
        (ReplayPlan(track=True), "tracked"),
        (ReplayPlan(), "per_frame"),
        (ReplayPlan(prior="flat"), "likelihood"),
        (ReplayPlan(prior="flat", track=True), "tracked"),
    ],
)
def test_live_replay_asks_the_node_for_the_same_output(plan, output):
    assert node_output(plan) == output


def test_drive_goes_on_where_gnss_ends_because_the_track_says_where_to_look(drive, checkpoint):
    reader, localizer = read_drive(drive.bag), ReplayPlan(str(checkpoint), track=True).localizer(drive.map)
    frames, last_ns = TrackedFrames(localizer), reader.survey.image_stamps_ns[3]
    asked = []

    def expecting(stamp_ns, sensors):
        if stamp_ns > last_ns:
            sensors._fixes.readings.clear()  # the receiver has fallen silent
        asked.append(frames.expecting(stamp_ns, sensors))
        return asked[-1]

    found = [(frame, frames.locate(frame)) for frame in reader.frames(expecting)]
    assert len(found) == 8 and found[-1][0].frame_prior.fix is None
    assert found[-1][0].frame_prior.prior is asked[-1]
