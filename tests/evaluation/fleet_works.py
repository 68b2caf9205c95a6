# SPDX-License-Identifier: Apache-2.0
"""What fleets do in tests; importable by the processes that do it."""

import os
import signal
import time

from geodistill_core.errors import BagError, ConfigError


def leave_a_mark(job):
    """Writes a file; a bag whose content is `kept` counts as done before."""
    job.folder.mkdir(parents=True)
    (job.folder / "mark").write_text(job.bag.read_text())
    return job.bag.read_text() == "kept"


def do_as_told(job):
    """Ends as the bag's content says."""
    told = job.bag.read_text()
    if told == "damaged":
        raise BagError(f"{job.bag} is \x1b[31mdamaged")
    if told == "config":
        raise ConfigError(f"{job.bag} lacks a topic")
    if told == "bug":
        raise IndexError("list index out of range")
    if told == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if told == "exit":
        os._exit(7)
    if told == "slow":
        time.sleep(60)
    return leave_a_mark(job)


def own_process(job):
    """Notes the process it ran in."""
    leave_a_mark(job)
    (job.folder / "pid").write_text(str(os.getpid()))
    return False
