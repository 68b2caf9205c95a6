# SPDX-License-Identifier: Apache-2.0
"""What the tile cache keeps, for how long, and what it lets go."""

import os

import pytest

from geodistill_core.errors import ConfigError
from geodistill_core.maps.cache import DiskCache, Validators

MIB = 1 << 20
NONE = Validators()


class Clock:
    """Seconds since the epoch, set by hand."""

    now_s = 1_800_000_000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(tmp_path, clock):
    with DiskCache(tmp_path / "cache", 64 * MIB, clock=clock) as cache:
        yield cache


def files_below(folder):
    return [path for path in (folder / "tiles").rglob("*") if path.is_file()]


def test_a_tile_comes_back_as_it_was_put_in_this_run_and_in_the_next(tmp_path, clock):
    marks = Validators('"abc"', "Wed, 21 Oct 2026 07:28:00 GMT")
    with DiskCache(tmp_path, MIB, clock=clock) as cache:
        cache.put("source", "18/1/2", b"tile", marks, 60.0)
        first = cache.get("source", "18/1/2")
    with DiskCache(tmp_path, MIB, clock=clock) as cache:
        second = cache.get("source", "18/1/2")
        assert cache.stats().entries == 1
    assert first == second
    assert (first.content, first.validators, first.fresh, first.absent) == (b"tile", marks, True, False)
    assert first.stored_s == clock.now_s


def test_sources_do_not_see_each_others_tiles(cache):
    cache.put("one", "18/1/2", b"tile", NONE, 60.0)
    assert cache.get("another", "18/1/2") is None
    assert cache.get("one", "18/1/3") is None
    assert (cache.stats().hits, cache.stats().misses) == (0, 2)


def test_a_tile_is_fresh_until_its_time_is_over_and_is_still_given_after_that(cache, clock):
    cache.put("s", "k", b"tile", NONE, 60.0)
    clock.now_s += 59.9
    assert cache.get("s", "k").fresh
    clock.now_s += 0.2
    assert cache.get("s", "k").content == b"tile"
    assert not cache.get("s", "k").fresh


def test_a_tile_from_the_future_is_not_fresh(cache, clock):
    cache.put("s", "k", b"tile", NONE, 60.0)
    clock.now_s -= 3600.0
    assert not cache.get("s", "k").fresh


def test_a_confirmed_tile_is_fresh_again(cache, clock):
    cache.put("s", "k", b"tile", Validators('"1"'), 60.0)
    clock.now_s += 1000.0
    cache.touch("s", "k", 30.0)
    held = cache.get("s", "k")
    assert (held.fresh, held.stored_s, held.validators) == (True, clock.now_s, Validators('"1"'))
    clock.now_s += 31.0
    assert not cache.get("s", "k").fresh


def test_that_there_is_no_tile_is_remembered(cache, clock):
    cache.put("s", "k", None, NONE, 60.0)
    held = cache.get("s", "k")
    assert (held.absent, held.content, held.fresh) == (True, None, True)
    clock.now_s += 61.0
    assert not cache.get("s", "k").fresh


def test_an_empty_file_is_not_an_absent_tile(cache):
    cache.put("s", "k", b"", NONE, 60.0)
    assert not cache.get("s", "k").absent


def test_a_new_version_takes_the_place_and_the_room_of_the_old_one(cache):
    cache.put("s", "k", b"old" * 1000, NONE, 60.0)
    before = cache.stats().bytes
    cache.put("s", "k", b"new" * 1000, NONE, 60.0)
    assert cache.get("s", "k").content == b"new" * 1000
    assert cache.stats().bytes == before
    assert len(files_below(cache.folder)) == 1
    cache.put("s", "k", None, NONE, 60.0)
    assert files_below(cache.folder) == []


def test_what_was_used_longest_ago_goes_first(tmp_path, clock):
    tile = os.urandom(300_000)
    with DiskCache(tmp_path, MIB, clock=clock) as cache:
        for key in "abc":
            cache.put("s", key, tile, NONE, 60.0)
        cache.get("s", "a")
        clock.now_s = 0.0  # a clock that falls back does not make the new tile the oldest
        cache.put("s", "d", tile, NONE, 60.0)
        assert [key for key in "abcd" if cache.get("s", key)] == ["a", "c", "d"]
        assert cache.stats().evicted == 1


def test_use_in_an_earlier_run_counts(tmp_path, clock):
    tile = os.urandom(300_000)
    with DiskCache(tmp_path, MIB, clock=clock) as cache:
        for key in "abc":
            cache.put("s", key, tile, NONE, 60.0)
        cache.get("s", "a")
    with DiskCache(tmp_path, MIB, clock=clock) as cache:
        cache.put("s", "d", tile, NONE, 60.0)
        assert [key for key in "abcd" if cache.get("s", key)] == ["a", "c", "d"]


def test_the_files_never_take_more_than_the_limit(tmp_path, clock):
    with DiskCache(tmp_path, MIB, clock=clock) as cache:
        for number in range(60):
            cache.put("s", str(number), os.urandom(20_000 + 997 * number), NONE, 60.0)
            on_disk = sum(path.stat().st_size for path in files_below(tmp_path))
            assert on_disk <= cache.stats().bytes <= MIB
        assert cache.get("s", "59")


def test_notes_of_absent_tiles_are_bounded_too(tmp_path, clock):
    with DiskCache(tmp_path, MIB, clock=clock) as cache:
        cache.put("s", "tile", b"x", NONE, 60.0)
        for number in range(2200):  # 512 bytes are charged for each
            cache.put("s", str(number), None, NONE, 60.0)
        assert cache.stats().bytes <= MIB
        assert cache.stats().entries == 2048
        assert files_below(tmp_path) == []


def test_a_limit_that_was_lowered_is_reached(tmp_path, clock):
    with DiskCache(tmp_path, 8 * MIB, clock=clock) as cache:
        for number in range(60):
            cache.put("s", str(number), os.urandom(100_000), NONE, 60.0)
    with DiskCache(tmp_path, MIB, clock=clock) as cache:
        cache.put("s", "new", b"tile", NONE, 60.0)
        assert cache.stats().bytes <= MIB
        assert cache.get("s", "new")


def test_a_file_beyond_the_limit_is_not_kept_and_drives_nothing_out(tmp_path, clock):
    with DiskCache(tmp_path, MIB, clock=clock) as cache:
        cache.put("s", "small", b"tile", NONE, 60.0)
        cache.put("s", "large", bytes(2 * MIB), NONE, 60.0)
        assert cache.get("s", "large") is None
        assert cache.get("s", "small")
        assert cache.stats().unwritten == 1


def test_marks_too_long_to_keep_are_left_out(cache):
    cache.put("s", "k", b"tile", Validators('"' + "x" * 10_000 + '"', "Wed, 21 Oct 2026 07:28:00 GMT"), 60.0)
    assert cache.get("s", "k").validators == Validators(None, "Wed, 21 Oct 2026 07:28:00 GMT")


def test_names_of_files_tell_nothing_of_keys(cache):
    cache.put("../../etc", "../../../passwd", b"tile", NONE, 60.0)
    (path,) = files_below(cache.folder)
    assert path.parent.parent == cache.folder / "tiles"
    assert set(path.name) <= set("0123456789abcdef")
    assert cache.get("../../etc", "../../../passwd").content == b"tile"


def test_a_closed_cache_gives_and_takes_nothing(tmp_path):
    cache = DiskCache(tmp_path, MIB)
    cache.put("s", "k", b"tile", NONE, 60.0)
    cache.close()
    cache.close()
    cache.put("s", "l", b"tile", NONE, 60.0)
    assert cache.get("s", "k") is None
    with DiskCache(tmp_path, MIB) as again:
        assert again.get("s", "k")
        assert again.get("s", "l") is None


def test_a_limit_too_small_to_be_meant_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="1000 bytes is too small; give it 1048576 at least"):
        DiskCache(tmp_path, 1000)
