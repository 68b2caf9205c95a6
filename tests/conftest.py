# SPDX-License-Identifier: Apache-2.0
"""One thread per library: the suite shares two cores with the processes it starts."""

import os

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
