# SPDX-License-Identifier: Apache-2.0
"""The node's executable with the fake engine; FAKE_LOAD and FAKE_INFERENCE may be `hang`, the latter also `slow`."""

import os
import sys
import threading
from collections import deque

from geodistill_ros.node import main


def open_engine(settings):
    from geodistill_ros.engine import Engine
    from ros_world import FakeLocalizer

    if os.environ.get("FAKE_LOAD") == "hang":
        threading.Event().wait()
    localizer = FakeLocalizer()
    localizer.seen = deque(maxlen=1)  # memory is measured
    if os.environ.get("FAKE_INFERENCE"):
        seconds = {"hang": None, "slow": 0.1}[os.environ["FAKE_INFERENCE"]]
        localizer.before = lambda *_: threading.Event().wait(seconds)
    return Engine(localizer, lambda: None, True, {"model": settings.model})


if __name__ == "__main__":
    sys.exit(main(engine_factory=open_engine))
