# SPDX-License-Identifier: Apache-2.0
"""One thread per library, since the suite shares two cores with the processes it starts; no test has a stopwatch; and
Ctrl-C works.

A shell that starts the suite in the background makes it, and every process it starts, deaf to SIGINT.
"""

import os
import signal

from hypothesis import settings

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_configure():
    """OpenCV's own threads would not live on in the processes that tests fork; it reads no variable."""
    import cv2

    cv2.setNumThreads(1)
