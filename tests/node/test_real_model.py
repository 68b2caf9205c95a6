# SPDX-License-Identifier: Apache-2.0
"""The node with the shipped network on real imagery, and with checkpoints and maps that cannot be used."""

import hashlib
import json
import math
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from geodistill_ros.engine import load_engine
from geodistill_ros.parameters import NodeParameters
from ros_world import CONFIGURE, LATITUDE, LONGITUDE, compressed_image

from geodistill_core.maps import RasterSource, write_mbtiles
from geodistill_core.models.checkpoint import SHIPPED
from geodistill_core.types import GeoPoint

SAMPLE = Path(__file__).parents[2] / "../shared/data/vigor_sample"
TINY = SHIPPED / "tiny"
NORTH_DEG = 90.0

needs_model = pytest.mark.skipif(not (TINY / "manifest.json").is_file(), reason="no shipped checkpoint 'tiny'")
needs_sample = pytest.mark.skipif(not SAMPLE.is_dir(), reason="no real sample at ../shared/data/vigor_sample")


@pytest.fixture
def real_world(worlds):
    """A node on the real tile; the fixes lie where the panorama was taken."""

    def make(**parameters):
        meta = json.loads((SAMPLE / "meta.json").read_text())
        known = {"model": "tiny", "map": str(SAMPLE / "satellite"), "heading_yaw_deg": NORTH_DEG, "threads": 1}
        known["runtime"] = "torch"
        world = worlds(open_engine=load_engine, **(known | {"max_image_age_s": 60.0} | parameters))
        world.place = meta["panorama_latitude"], meta["panorama_longitude"]
        return world

    return make


@needs_model
@needs_sample
@pytest.mark.parametrize(("output", "prior"), [("tracked", "flat"), ("likelihood", "flat"), ("per_frame", "gaussian")])
def test_gnss_weighs_the_heat_map_only_where_each_image_is_answered_by_itself(output, prior):
    engine = load_engine(NodeParameters(map=str(SAMPLE / "satellite"), output=output, runtime="torch"))
    try:
        assert engine.localizer.config.prior == prior
        assert engine.track_calibration is engine.localizer.manifest.tracking
    finally:
        engine.close()


@needs_model
@needs_sample
def test_real_panorama_on_real_imagery_gets_a_finite_pose(real_world):
    world = real_world()
    world.start()
    panorama = cv2.imread(str(SAMPLE / "pano.png"))
    jpeg = cv2.imencode(".jpg", cv2.resize(panorama, (1024, 512), interpolation=cv2.INTER_AREA))[1].tobytes()
    world.prepare()
    world.insist(
        lambda: (world.send_fix(), world.send(compressed_image(world.now_ns(), data=jpeg))),
        lambda: world.poses,
        "pose for the real panorama",
    )
    pose = world.poses[0].pose
    at = pose.pose.position
    assert math.hypot(at.x, at.y) < 60.0  # within the search window round the fix, which is the datum
    P = np.array(pose.covariance).reshape(6, 6)
    assert np.isfinite(P).all() and np.linalg.eigvalsh(P).min() > 0


@needs_model
@needs_sample
def test_prior_off_the_map_is_dropped_as_no_map(real_world):
    world = real_world()
    world.place = 0.5, 0.5
    world.start()
    world.prepare()
    world.send(compressed_image(world.now_ns()))
    world.wait_count("dropped.no_map")
    assert world.poses == []


class Poison:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (Path(self.mark),)


def rewrite(path, change):
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def truncated(weights, manifest):
    weights.write_bytes(weights.read_bytes()[:-100])


def flipped(weights, manifest):
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)


def pickled(weights, manifest):
    weights.write_bytes(pickle.dumps(Poison(weights.parent / "executed")))


def pickled_and_vouched_for(weights, manifest):
    pickled(weights, manifest)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    rewrite(manifest, lambda m: m.update(sha256=digest))


def of_another_architecture(weights, manifest):
    rewrite(manifest, lambda m: m.update(architecture="ccvpe_kitti", arguments={}))


def of_no_architecture(weights, manifest):
    rewrite(manifest, lambda m: m.update(architecture="os.system"))


def cut_manifest(weights, manifest):
    manifest.write_text(manifest.read_text()[:200])


DAMAGES = {  # and a word that tells what to do, or what was expected
    truncated: "fetch it again",
    flipped: "fetch it again",
    pickled: "fetch it again",
    pickled_and_vouched_for: "not a safetensors file",
    of_another_architecture: "does not fit",
    of_no_architecture: "fetch the checkpoint again",
    cut_manifest: "not a valid manifest",
    lambda weights, manifest: weights.unlink(): "fetch the checkpoint again",
    lambda weights, manifest: manifest.unlink(): "give a name or the folder's path",
}


@pytest.fixture
def map_file(tmp_path):
    rgb = np.random.default_rng(1).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    source = RasterSource(rgb, GeoPoint(LATITUDE, LONGITUDE), 0.5, "nobody")
    write_mbtiles(tmp_path / "map.mbtiles", source, source.bounds(), 18, attribution="nobody")
    return str(tmp_path / "map.mbtiles")


@needs_model
@pytest.mark.parametrize("damage", DAMAGES)
def test_n33_checkpoint_that_cannot_be_used_is_refused_and_a_good_one_loads_afterwards(
    worlds, tmp_path, map_file, damage
):
    folder = tmp_path / "damaged"
    shutil.copytree(TINY, folder)
    damage(folder / "model.safetensors", folder / "manifest.json")
    world = worlds(open_engine=load_engine, model=str(folder), map=map_file, threads=1, runtime="torch")
    assert not world.change(CONFIGURE)
    assert world.state() == "unconfigured"
    _, status = world.status()
    assert status["level"] == 2 and str(folder) in status["message"] and DAMAGES[damage] in status["message"]
    assert not (folder / "executed").exists()
    assert world.set_parameter("model", "tiny").successful
    assert world.change(CONFIGURE)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"map": ""}, "parameter 'map' is empty"),
        ({"map": "/nowhere/tiles.mbtiles"}, "/nowhere/tiles.mbtiles"),
    ],
)
def test_map_that_cannot_be_opened_is_refused(worlds, parameters, words):
    world = worlds(open_engine=load_engine, **parameters)
    assert not world.change(CONFIGURE)
    assert words in world.status()[1]["message"]
    assert world.state() == "unconfigured"


@needs_sample
def test_unknown_checkpoint_is_refused_with_the_known_ones(real_world):
    world = real_world(model="enormous")
    assert not world.change(CONFIGURE)
    assert "enormous" in world.status()[1]["message"]
