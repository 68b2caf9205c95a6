# SPDX-License-Identifier: Apache-2.0
"""Two processes of `torchrun` on a CPU do what one does, and the loss of one ends the job with a message."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from geodistill_training.engine.world import open_world
from noise_cities import write_cities
from two_ranks import OBJECTIVES, gradients

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def torchrun(*arguments):
    """`torchrun --nproc-per-node 2` over `two_ranks.py`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join(str(path) for path in (ROOT, ROOT / "training", HERE))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    script = [str(HERE / "two_ranks.py"), *(str(argument) for argument in arguments)]
    return subprocess.run([*command, *script], env=environment, capture_output=True, text=True, timeout=150)


@pytest.fixture(scope="module")
def cities(tmp_path_factory):
    return write_cities(tmp_path_factory.mktemp("cities"), cities=2)


@pytest.fixture(scope="module")
def uninterrupted(cities, tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks")
    done = torchrun("all", cities, out)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_of_two_ranks_equal_those_of_one_process_with_the_same_global_batch(uninterrupted, cities, objective):
    alone = gradients(cities, open_world())[objective]
    together = torch.load(uninterrupted / "gradients.pt", weights_only=True)[objective]
    assert alone.keys() == together.keys()
    assert max(float(g.abs().max()) for g in alone.values()) > 1e-3
    for key, gradient in alone.items():
        assert float((gradient - together[key]).abs().max()) <= 1e-6, key


def test_a_rank_that_is_killed_ends_the_job_with_a_message_and_a_resumed_run_is_exact(uninterrupted, cities):
    died = torchrun("die", cities, uninterrupted)
    assert died.returncode != 0
    assert "process 0 of 2 lost another process of the job" in died.stderr
    assert "continues from the last snapshot" in died.stderr
    done = torchrun("finish", cities, uninterrupted)
    assert done.returncode == 0, done.stderr[-3000:]
    ends = [torch.load(uninterrupted / run / "snapshot.pt", weights_only=True) for run in ("whole", "cut")]
    assert [end["step"] for end in ends] == [5, 5]
    networks = [end["learned"]["network"] for end in ends]
    assert all(torch.equal(networks[0][key], networks[1][key]) for key in networks[0])
    assert ends[0]["watched"]["history"] == ends[1]["watched"]["history"]
