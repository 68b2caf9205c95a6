# SPDX-License-Identifier: Apache-2.0
"""A process that used OpenVINO still hears signals: its handlers run on a stack that exists."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")
ROOT = Path(__file__).parents[2]
PROGRAM = """
import faulthandler, gc, os, signal, sys
from pathlib import Path

import numpy as np
import openvino
from geodistill_core.runtime.openvino_backend import OpenVinoBackend

faulthandler.enable()
library = openvino.opset8
given = library.parameter([1, 2, 8, 8], dtype=np.float32, name="x")
weights = library.constant(np.ones((3, 2, 3, 3), np.float32))
answer = library.convolution(given, weights, [1, 1], [0, 0], [0, 0], [1, 1])
file = Path(sys.argv[1]) / "one.xml"
openvino.save_model(openvino.Model([answer], [given], "one"), str(file))
one, other = (OpenVinoBackend().compile("encode_map", file, "fp32") for _ in range(2))
del one
gc.collect()
del other
gc.collect()
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
os.kill(os.getpid(), signal.SIGUSR1)
print("heard", len(heard))
"""


def test_a_signal_is_heard_after_engines_ended_in_the_order_in_which_they_were_made(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "heard 1\n"), done.stderr
