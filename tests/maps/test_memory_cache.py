# SPDX-License-Identifier: Apache-2.0
"""What is kept in memory, and what goes first."""

import threading

import pytest

from geodistill_core.errors import ConfigError
from geodistill_core.maps.cache import MemoryCache


def test_values_unused_longest_go_when_the_bytes_are_used_up():
    cache = MemoryCache(100)
    for key in "abc":
        cache.put(key, key.upper(), 33)
    assert cache.get("a") == "A"
    cache.put("d", "D", 33)
    assert [key for key in "abcd" if key in cache] == ["a", "c", "d"]
    stats = cache.stats()
    assert (stats.entries, stats.bytes, stats.max_bytes, stats.hits, stats.misses) == (3, 99, 100, 1, 0)


def test_asking_whether_a_value_is_there_does_not_keep_it():
    cache = MemoryCache(100)
    cache.put("a", 1, 50)
    cache.put("b", 2, 50)
    assert "a" in cache
    cache.put("c", 3, 50)
    assert "a" not in cache


def test_a_replaced_value_gives_its_bytes_back():
    cache = MemoryCache(100)
    cache.put("a", 1, 90)
    cache.put("a", 2, 10)
    cache.put("b", 3, 90)
    assert (cache.get("a"), cache.get("b"), cache.stats().bytes) == (2, 3, 100)


def test_a_value_beyond_the_limit_is_not_kept_and_drives_nothing_out():
    cache = MemoryCache(100)
    cache.put("a", 1, 100)
    cache.put("b", 2, 101)
    assert cache.get("a") == 1
    assert cache.get("b") is None


def test_a_dropped_value_is_gone():
    cache = MemoryCache(100)
    cache.put("a", 1, 100)
    cache.drop("a")
    cache.drop("never there")
    assert cache.get("a") is None
    assert cache.stats().bytes == 0


def test_threads_do_not_upset_the_count():
    cache = MemoryCache(1000)

    def work(seed):
        for number in range(2000):
            cache.put((seed * number) % 37, number, 50)
            cache.get(number % 37)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = cache.stats()
    assert stats.bytes == 50 * stats.entries == 1000


def test_memory_of_no_size_is_refused():
    with pytest.raises(ConfigError, match="0 bytes"):
        MemoryCache(0)


def test_a_cleared_cache_is_empty_and_has_its_room_back():
    cache = MemoryCache(100)
    cache.put("a", 1, 100)
    cache.clear()
    cache.put("b", 2, 100)
    assert (cache.get("a"), cache.get("b"), cache.stats().bytes) == (None, 2, 100)
