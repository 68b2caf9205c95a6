# SPDX-License-Identifier: Apache-2.0
"""F10: damaged, foreign, read-only, full and huge caches."""

import contextlib
import os
import random
import sqlite3
import subprocess
import time

import pytest
from kept_tiles import KEYS, MIB, NONE, filled, found, killed, tile_of

from geodistill_core.maps.cache import DiskCache


def tile_files(folder):
    return sorted(path for path in (folder / "tiles").rglob("*") if path.is_file())


@contextlib.contextmanager
def small_disk(folder, size):
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


# F10: files


def test_f10_a_damaged_file_is_noted_once_however_often_it_is_asked_for(tmp_path):
    cut(tile_files(filled(tmp_path))[0])
    with DiskCache(tmp_path, 16 * MIB) as cache:
        for _ in range(5):
            assert len(found(cache)) == len(KEYS) - 1
        assert (cache.stats().damaged, len(cache._broken)) == (1, 1)


def test_f10_what_was_read_is_not_noted_without_end_where_nothing_is_written(tmp_path, monkeypatch):
    filled(tmp_path)
    monkeypatch.setattr("geodistill_core.maps.cache.disk._NOTED", 3)
    with DiskCache(tmp_path, 16 * MIB) as cache:
        for key in KEYS:
            assert cache.get("s", key) is not None
        assert [key for _, key in cache._used] == KEYS[-3:]


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


def empty(path):
    path.write_bytes(b"")


def alter(path):
    content = bytearray(path.read_bytes())
    content[6000] ^= 1
    path.write_bytes(content)


def put_another_file_there(path):
    path.write_bytes(b"<html>Sign in to the network</html>".ljust(path.stat().st_size))


def put_another_tile_there(path):
    other = next(other for other in tile_files(path.parents[2]) if other != path)
    path.write_bytes(other.read_bytes())


def delete(path):
    path.unlink()


def put_a_pipe_there(path):
    path.unlink()
    os.mkfifo(path)


def put_a_link_there(path):
    path.unlink()
    path.symlink_to("/etc/hostname")


def put_a_folder_there(path):
    path.unlink()
    path.mkdir()


DAMAGE = [
    cut, empty, alter, put_another_file_there, put_another_tile_there, delete,
    put_a_pipe_there, put_a_link_there, put_a_folder_there,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_f10_a_damaged_file_is_a_miss_is_counted_and_its_entry_goes(tmp_path, damage):
    filled(tmp_path)
    damage(tile_files(tmp_path)[3])
    with DiskCache(tmp_path, 16 * MIB) as cache:
        kept = found(cache)
        assert len(kept) == len(KEYS) - 1
        assert cache.stats().damaged == 1
        (lost,) = set(KEYS) - set(kept)
        cache.put("s", "another", b"tile", NONE, 1e6)
        assert cache.stats().entries == len(KEYS)  # one less, one more
        if damage is not put_a_folder_there:
            cache.put("s", lost, tile_of(lost), NONE, 1e6)
            assert found(cache) == KEYS
        assert cache.stats().bytes == sum(len(tile_of(key)) for key in found(cache)) + 4 + 512 * cache.stats().entries


def test_f10_files_of_others_are_left_alone(tmp_path):
    filled(tmp_path)
    strangers = [tmp_path / "notes.txt", tmp_path / "tiles" / "README", tile_files(tmp_path)[0].with_name("photo.jpg")]
    for path in strangers:
        path.write_bytes(b"mine")
        os.utime(path, (0, 0))
    with DiskCache(tmp_path, 16 * MIB) as cache:
        assert found(cache) == KEYS
        for number in range(256 * 16):
            cache.put("s", str(number), None, NONE, 1e6)
    assert all(path.read_bytes() == b"mine" for path in strangers)


def test_f10_files_that_no_entry_names_are_deleted_when_nobody_can_be_writing_them(tmp_path):
    filled(tmp_path)
    shard = tile_files(tmp_path)[0].parent
    old, young, unfinished = shard / ("0" * 32), shard / ("1" * 32), shard / ".partial-abc"
    for path in (old, young, unfinished):
        path.write_bytes(b"left behind")
    for path in (old, unfinished, *tile_files(tmp_path)):
        if path != young:
            os.utime(path, (time.time() - 7200,) * 2)
    with DiskCache(tmp_path, 16 * MIB) as cache:
        for number in range(256 * 16):
            cache.put("s", str(number), None, NONE, 1e6)
        assert found(cache) == KEYS
    assert (old.exists(), young.exists(), unfinished.exists()) == (False, True, False)


# F10: the index


def test_f10_an_index_that_is_no_index_gives_way_and_is_kept_aside(tmp_path):
    filled(tmp_path)
    for foreign in (b"not a database at all" * 1000, b"", b"SQLite format 3\x00" + bytes(5000)):
        (index,) = tmp_path.glob("index-*.sqlite")
        index.write_bytes(foreign)
        with DiskCache(tmp_path, 16 * MIB) as cache:
            assert found(cache) == []
            assert cache.stats().degraded is None
        with DiskCache(filled(tmp_path), 16 * MIB) as cache:
            assert found(cache) == KEYS
    assert (tmp_path / "index.damaged").read_bytes() == foreign
    assert len(list(tmp_path.glob("index-*"))) == 1


def test_f10_somebody_elses_database_is_not_touched(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "index-1.sqlite")) as database:
        database.execute("CREATE TABLE entry (mine TEXT)")
        database.execute("INSERT INTO entry VALUES ('precious')")
        database.commit()
    with DiskCache(filled(tmp_path), 16 * MIB) as cache:
        assert found(cache) == KEYS
    with contextlib.closing(sqlite3.connect(tmp_path / "index.damaged")) as database:
        assert database.execute("SELECT mine FROM entry").fetchall() == [("precious",)]


@pytest.mark.parametrize("seed", [*range(12), 57])
def test_f10_an_index_with_altered_bytes_gives_no_wrong_tile_and_heals(tmp_path, seed):
    filled(tmp_path)
    draw, index = random.Random(seed), tmp_path / "index-1.sqlite"
    content = bytearray(index.read_bytes())
    for _ in range(1 if seed % 2 else 200):
        content[draw.randrange(len(content))] = draw.randrange(256)
    index.write_bytes(content[: draw.randrange(len(content))] if seed % 5 == 0 else content)
    with DiskCache(tmp_path, 16 * MIB) as cache:
        found(cache)
        cache.stats()
        for _ in range(4):  # damage may show late, and costs then what was written before
            for key in KEYS:
                cache.put("s", key, tile_of(key), NONE, 1e6)
            if found(cache) == KEYS:
                break
        else:
            pytest.fail("the cache did not heal")
        assert cache.stats().degraded is None


# F10: the folder


def test_f10_a_read_only_cache_is_read_says_so_and_recovers(tmp_path):
    with small_disk(tmp_path / "disk", "4m") as disk:
        filled(disk / "cache")
        remount(disk, "ro")
        with DiskCache(disk / "cache", 16 * MIB) as cache:
            assert found(cache) == KEYS
            cache.put("s", "new", tile_of("new"), NONE, 1e6)
            assert cache.get("s", "new") is None
            assert cache.stats().unwritten == 1
            assert "cannot be written; make it writable" in cache.stats().degraded
            assert found(cache) == KEYS
            remount(disk, "rw")
            cache.put("s", "new", tile_of("new"), NONE, 1e6)
            assert found(cache, [*KEYS, "new"]) == [*KEYS, "new"]
            assert cache.stats().degraded is None


def test_f10_a_read_only_cache_whose_writer_was_killed_is_read(tmp_path):
    with small_disk(tmp_path / "disk", "4m") as disk:
        killed(lambda: (DiskCache(disk, 16 * MIB), filled(disk)))
        assert (disk / "index-1.sqlite-wal").exists()
        remount(disk, "ro")
        with DiskCache(disk, 16 * MIB) as cache:
            assert found(cache) == KEYS


def test_f10_a_folder_that_cannot_be_made_means_no_cache_and_no_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with DiskCache(tmp_path / "file" / "cache", 16 * MIB) as cache:
        assert str(tmp_path / "file") in cache.stats().degraded
        cache.put("s", "k", b"tile", NONE, 60.0)
        cache.touch("s", "k", 60.0)
        assert cache.get("s", "k") is None
        (tmp_path / "file").unlink()
        cache.put("s", "k", b"tile", NONE, 60.0)
        assert cache.get("s", "k").content == b"tile"
        assert cache.stats().degraded is None


def test_f10_a_folder_deleted_meanwhile_is_made_again(tmp_path):
    with DiskCache(filled(tmp_path / "cache"), 16 * MIB) as cache:
        subprocess.run(["rm", "-r", str(tmp_path / "cache")], check=True)
        assert found(cache) == []
        cache.put("s", "k", tile_of("k"), NONE, 1e6)
        assert found(cache, ["k"]) == ["k"]
    with DiskCache(tmp_path / "cache", 16 * MIB) as cache:
        assert found(cache, ["k"]) == ["k"]


def test_f10_a_disk_smaller_than_the_limit_keeps_the_tiles_used_last(tmp_path):
    keys = [str(number) for number in range(300)]
    with small_disk(tmp_path / "disk", "2m") as disk, DiskCache(disk, 64 * MIB) as cache:
        for key in keys:
            cache.put("s", key, tile_of(key), NONE, 1e6)
            assert found(cache, [key]) == [key]
        kept = found(cache, keys)
        assert kept[-50:] == keys[-50:]
        stats = cache.stats()
        assert stats.evicted >= 300 - len(kept) > 100
        assert (stats.unwritten, stats.damaged, stats.degraded) == (0, 0, None)


def test_f10_a_full_disk_is_said_and_recovers(tmp_path):
    with small_disk(tmp_path / "disk", "2m") as disk, DiskCache(disk / "cache", 64 * MIB) as cache:
        with contextlib.suppress(OSError), (disk / "log").open("wb", buffering=0) as log:
            while log.write(bytes(4096)) == 4096:
                pass
        cache.put("s", "k", tile_of("k"), NONE, 1e6)
        assert cache.get("s", "k") is None
        assert cache.stats().unwritten == 1
        assert f"the disk of {disk / 'cache'} is full; free some space" in cache.stats().degraded
        (disk / "log").unlink()
        cache.put("s", "k", tile_of("k"), NONE, 1e6)
        assert found(cache, ["k"]) == ["k"]
        assert cache.stats().degraded is None


def test_f10_a_cache_of_a_million_entries_opens_at_once(tmp_path):
    filled(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "index-1.sqlite")) as database:
        trigger = database.execute("SELECT sql FROM sqlite_master WHERE name = 'entry_comes'").fetchone()[0]
        database.execute("DROP TRIGGER entry_comes")
        database.execute(
            "WITH RECURSIVE count (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < 1000000) "
            "INSERT INTO entry SELECT 's', '19/' || n || '/7', NULL, 0, NULL, NULL, 0, 1e12, 0 FROM count"
        )
        database.execute("UPDATE total SET entries = entries + 1000000, bytes = bytes + 512 * 1000000")
        database.execute(trigger)
        database.commit()
    begun_s = time.perf_counter()
    with DiskCache(tmp_path, 1 << 30) as cache:
        assert cache.stats().entries == 1_000_000 + len(KEYS)
        assert found(cache) == KEYS
        assert cache.get("s", "19/777777/7").absent
        cache.put("s", "new", tile_of("new"), NONE, 1e6)
        assert time.perf_counter() - begun_s < 2.0
