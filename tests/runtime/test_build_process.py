# SPDX-License-Identifier: Apache-2.0
"""Compiling in a process of its own: its progress is told, its end is understood."""

import sys
import threading

import pytest

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.runtime.child import BuildStoppedError, run_build


def python(program):
    return [sys.executable, "-c", program]


def quiet(text):
    pass


def test_a_build_that_ends_well_raises_nothing(tmp_path):
    run_build(python(f"open({str(tmp_path / 'engine')!r}, 'w').close()"), limit_s=60, say=quiet)
    assert (tmp_path / "engine").exists()


def test_what_a_failed_build_printed_last_is_in_the_error():
    with pytest.raises(RuntimeBackendError, match=r"failed \(4\): layer 7 does not fit"):
        run_build(python("import sys; print('layer 7 does not fit'); sys.exit(4)"), limit_s=60, say=quiet)


def test_a_crash_is_told_from_a_failure():
    with pytest.raises(RuntimeBackendError, match=r"crashed \(signal 11\)"):
        run_build(python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), limit_s=60, say=quiet)


def test_progress_is_told_with_the_last_line_printed():
    said, asked = [], threading.Event()
    seconds = iter(range(0, 1000, 11))
    program = "print('tactics 3 of 9', flush=True); input()"

    def say(text):
        said.append(text)
        if "tactics 3 of 9" in text:
            asked.set()

    with pytest.raises(BuildStoppedError):
        run_build(python(program), limit_s=1e6, say=say, stop=asked, clock=lambda: next(seconds))
    assert "compiling for 11 s" in said[0]
    assert "tactics 3 of 9" in said[-1]


def test_a_build_that_nobody_wants_any_more_is_ended():
    stop = threading.Event()
    stop.set()
    with pytest.raises(BuildStoppedError):
        run_build(python("import time; time.sleep(3600)"), limit_s=60, say=quiet, stop=stop)
