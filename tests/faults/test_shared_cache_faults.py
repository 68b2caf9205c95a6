# SPDX-License-Identifier: Apache-2.0
"""F11: processes that share a cache, and are killed while they write."""

import contextlib
import os
import random
import signal
import sqlite3
import time

import pytest
from kept_tiles import KEYS, MIB, NONE, filled, found, in_another_process, killed, tile_of

from geodistill_core.maps.cache import DiskCache


def write_for_ever(folder, seed):
    draw = random.Random(seed)
    with DiskCache(folder, MIB) as cache:  # holds 80 of these, so that tiles go all the time
        while True:
            key = f"18/{draw.randrange(120)}/7"
            cache.put("s", key, tile_of(key, draw.random()), NONE, 1e6)


def test_f11_no_torn_tile_is_read_while_two_processes_write_and_are_killed(tmp_path):
    draw, seen = random.Random(11), 0
    keys = [f"18/{number}/7" for number in range(120)]
    with DiskCache(tmp_path, MIB) as cache:
        for round_number in range(12):
            writers = [in_another_process(lambda seed=seed: write_for_ever(tmp_path, seed)) for seed in range(2)]
            until_s = time.monotonic() + draw.uniform(0.05, 0.35)
            while time.monotonic() < until_s:
                seen += len(found(cache, draw.sample(keys, 10)))
            for writer in writers:
                os.kill(writer.pid, signal.SIGKILL)
                writer.join()
            cache.put("s", "after", tile_of("after", round_number), NONE, 1e6)
            assert found(cache, ["after"]) == ["after"]
        found(cache, keys)
        stats = cache.stats()
    assert seen > 50
    assert stats.degraded is None
    assert stats.bytes <= MIB


MOMENTS = {
    "before_the_file_has_its_name": (os, "replace"),
    "before_the_file_is_on_the_disk": (os, "fsync"),
    "before_the_entry_is_written": (DiskCache, "_change"),
    "before_the_old_file_is_deleted": (os, "unlink"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_f11_a_writer_killed_at_the_worst_moment_leaves_the_old_tile_or_the_new_one(tmp_path, moment, monkeypatch):
    filled(tmp_path)

    def write():
        cache = DiskCache(tmp_path, 16 * MIB)
        monkeypatch.setattr(*MOMENTS[moment], lambda *arguments, **_: os.kill(os.getpid(), signal.SIGKILL))
        cache.put("s", KEYS[0], tile_of(KEYS[0], "new"), NONE, 1e6)

    killed(write)
    monkeypatch.undo()
    with DiskCache(tmp_path, 16 * MIB) as cache:
        assert found(cache) == KEYS
        cache.put("s", KEYS[0], tile_of(KEYS[0], "newer"), NONE, 1e6)
        assert cache.get("s", KEYS[0]).content == tile_of(KEYS[0], "newer")
        assert cache.stats().entries == len(KEYS)


def test_f11_a_writer_killed_within_its_transaction_leaves_everything_as_it_was(tmp_path):
    filled(tmp_path)

    def write():
        cache = DiskCache(tmp_path, 16 * MIB)
        cache._keeper.change(lambda change: (change.shrink(0, 10), os.kill(os.getpid(), signal.SIGKILL)))

    killed(write)
    with DiskCache(tmp_path, 16 * MIB) as cache:
        assert found(cache) == KEYS


def test_f11_eight_processes_may_create_one_cache_at_once(tmp_path):
    def work(number):
        with DiskCache(tmp_path / "new", 16 * MIB) as cache:
            cache.put("s", f"18/{number}/7", tile_of(f"18/{number}/7"), NONE, 1e6)
            os._exit(0 if cache.stats().unwritten == 0 and cache.stats().degraded is None else 1)

    processes = [in_another_process(lambda number=number: work(number)) for number in range(8)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    with DiskCache(tmp_path / "new", 16 * MIB) as cache:
        assert found(cache) == KEYS[:8]


def test_f11_reading_does_not_wait_for_a_writer_that_holds_the_index(tmp_path):
    filled(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "index-1.sqlite")) as writer, DiskCache(tmp_path, MIB) as cache:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM entry")
        begun_s = time.perf_counter()
        assert found(cache) == KEYS
        assert time.perf_counter() - begun_s < 1.0
        writer.rollback()
