# SPDX-License-Identifier: Apache-2.0
"""X02, X05, X07: engines of another machine, builds without end or memory, processes that want the same engine."""

import multiprocessing
import os
import sys
from dataclasses import replace

import pytest

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.runtime.cache import ENTRY_NAME, EngineCache, EngineKey
from geodistill_core.runtime.child import run_build

KEY = EngineKey("a" * 64, "strip", "tensorrt", "bf16", "GPU 9.0", (("driver", "580.1"), ("tensorrt", "10.13")))


def quiet(text):
    pass


@pytest.mark.parametrize(
    "here",
    [
        replace(KEY, device="GPU 8.7"),
        replace(KEY, versions=(("driver", "590.4"), ("tensorrt", "10.13"))),
        replace(KEY, versions=(("driver", "580.1"), ("tensorrt", "11.4"))),
    ],
    ids=["another GPU", "another driver", "another TensorRT"],
)
def test_x02_an_engine_of_another_gpu_driver_or_library_is_never_loaded_and_is_removed(tmp_path, here):
    said, loaded = [], []
    cache = EngineCache(tmp_path, said.append)
    for key, content in ((KEY, "there"), (here, "here")):
        cache.get(
            key,
            lambda folder, content=content: (folder / "engine").write_text(content),
            lambda folder: loaded.append((folder / "engine").read_text()),
        )
    assert loaded == ["there", "here"]
    assert len(list(tmp_path.rglob(ENTRY_NAME))) == 1
    assert "was for another device, driver or library and is removed" in said[-1]


def test_x05_a_build_over_its_limit_is_ended_with_its_progress_and_a_hint(tmp_path):
    program = f"import os, time; print(os.getpid(), file=open({str(tmp_path / 'pid')!r}, 'w'), flush=True); "
    program += "print('tactics 3 of 9', flush=True); time.sleep(3600)"
    seconds = iter([0.0, *[1.0] * 20, 901.0])
    with pytest.raises(RuntimeBackendError, match=r"limit of 900 s.*--build-only"):
        run_build([sys.executable, "-c", program], limit_s=900, say=quiet, clock=lambda: next(seconds))
    if (tmp_path / "pid").exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


def test_x05_a_build_that_the_system_kills_is_explained_as_want_of_memory():
    program = "import os, signal; print('fusing layers', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(RuntimeBackendError, match=r"killed at: fusing layers; most likely memory ran out"):
        run_build([sys.executable, "-c", program], limit_s=600, say=quiet)


def _wanting(folder, ready, built):
    def build(destination):
        with built.get_lock():
            built.value += 1
        (destination / "engine").write_text(str(os.getpid()))

    ready.wait()
    EngineCache(folder, quiet).get(KEY, build, lambda entry: (entry / "engine").read_text())


def test_x07_of_processes_that_want_the_same_engine_one_builds_and_the_others_wait(tmp_path):
    fork = multiprocessing.get_context("fork")
    ready, built = fork.Barrier(4), fork.Value("i", 0)
    wanting = [fork.Process(target=_wanting, args=(tmp_path, ready, built)) for _ in range(4)]
    for process in wanting:
        process.start()
    for process in wanting:
        process.join()
    assert [process.exitcode for process in wanting] == [0] * 4
    assert built.value == 1


def test_x07_who_waits_says_so_and_takes_what_was_built(tmp_path):
    fork = multiprocessing.get_context("fork")
    said, building, done = [], fork.Event(), fork.Event()

    def slow(destination):
        building.set()
        done.wait()
        (destination / "engine").write_text("theirs")

    other = fork.Process(target=lambda: EngineCache(tmp_path, quiet).get(KEY, slow, lambda entry: None))
    other.start()
    building.wait()

    def heard(text):
        said.append(text)
        done.set()

    def never(destination):
        raise AssertionError("built twice")

    assert EngineCache(tmp_path, heard).get(KEY, never, lambda entry: (entry / "engine").read_text()) == "theirs"
    other.join()
    assert "waiting for it" in said[0]
