# SPDX-License-Identifier: Apache-2.0
"""A fixed number of threads for the network: sums in floating point depend on how they are divided."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from geodistill_core.errors import ConfigError

MAX_THREADS = 256


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within, torch computes on `count` threads whatever the machine has; raises ConfigError outside 1..256.

    One thread gives the same bytes on machines with other CPU counts, and is the fastest on a busy one.
    """
    if not 1 <= count <= MAX_THREADS:
        raise ConfigError(f"threads {count} is outside 1..{MAX_THREADS}")
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
