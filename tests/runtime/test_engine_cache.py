# SPDX-License-Identifier: Apache-2.0
"""Compiled networks on disk: found again, whole or not at all, and only where they fit."""

import os
from dataclasses import replace

import pytest

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.runtime.cache import ENTRY_NAME, EngineCache, EngineKey

KEY = EngineKey("a" * 64, "strip", "tensorrt", "bf16", "GPU 9.0", (("driver", "580.1"), ("tensorrt", "10.13")))


class Compiler:
    """Writes an engine with a number that tells how often it was asked."""

    def __init__(self):
        self.built = 0

    def build(self, folder):
        self.built += 1
        (folder / "match.engine").write_text(f"engine {self.built}")

    def load(self, folder):
        return (folder / "match.engine").read_text()


@pytest.fixture
def compiler():
    return Compiler()


@pytest.fixture
def said():
    return []


@pytest.fixture
def cache(tmp_path, said):
    return EngineCache(tmp_path / "engines", said.append)


def entries(cache):
    return sorted(path.parent for path in cache.folder.glob(f"*/*/{ENTRY_NAME}"))


def test_what_was_built_once_is_loaded_the_next_time(cache, compiler):
    assert [cache.get(KEY, compiler.build, compiler.load) for _ in range(2)] == ["engine 1"] * 2
    assert EngineCache(cache.folder).get(KEY, compiler.build, compiler.load) == "engine 1"


@pytest.mark.parametrize("part", ["model", "profile", "backend", "precision"])
def test_networks_profiles_back_ends_and_precisions_live_side_by_side(cache, compiler, part):
    other = replace(KEY, **{part: "other"})
    for key in (KEY, other, KEY, other):
        cache.get(key, compiler.build, compiler.load)
    assert compiler.built == 2
    assert len(entries(cache)) == 2


def test_a_build_that_fails_leaves_nothing_and_is_tried_again(cache, compiler):
    def fail(folder):
        (folder / "match.engine").write_text("half an engine")
        raise RuntimeBackendError("no room")

    with pytest.raises(RuntimeBackendError, match="no room"):
        cache.get(KEY, fail, compiler.load)
    assert [path for path in cache.folder.rglob("*") if path.name.endswith(".engine")] == []
    assert cache.get(KEY, compiler.build, compiler.load) == "engine 1"


def test_what_a_killed_build_left_behind_is_removed(cache, compiler):
    cache.get(KEY, compiler.build, compiler.load)
    left = entries(cache)[0].with_name(".building-0123")
    left.mkdir()
    (left / "match.engine").write_text("half an engine")
    (entries(cache)[0] / "match.engine").unlink()
    cache.get(KEY, compiler.build, compiler.load)
    assert not left.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "match.engine").write_text("engine l"),
        lambda entry: (entry / "match.engine").unlink(),
        lambda entry: (entry / "another").write_text(""),
        lambda entry: (entry / ENTRY_NAME).unlink(),
        lambda entry: (entry / ENTRY_NAME).write_text("{"),
        lambda entry: (entry / ENTRY_NAME).write_text("[]"),
    ],
    ids=["changed", "gone", "more", "no entry", "half an entry", "no object"],
)
def test_damaged_entries_are_deleted_and_built_anew(cache, compiler, said, damage):
    cache.get(KEY, compiler.build, compiler.load)
    damage(entries(cache)[0])
    assert cache.get(KEY, compiler.build, compiler.load) == "engine 2"
    assert "built anew" in said[-1]
    assert len(entries(cache)) == 1


def test_an_engine_that_its_library_refuses_is_built_anew_once(cache, compiler):
    def refuse(folder):
        raise RuntimeBackendError("not an engine of this version")

    cache.get(KEY, compiler.build, compiler.load)
    with pytest.raises(RuntimeBackendError, match="of this version"):
        cache.get(KEY, compiler.build, refuse)
    assert compiler.built == 2


def test_a_cache_that_cannot_be_written_still_serves(cache, compiler, monkeypatch):
    cache.get(KEY, compiler.build, compiler.load)
    (entries(cache)[0].parent / ".lock").unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cache.get(KEY, compiler.build, compiler.load) == "engine 1"
    assert not (entries(cache)[0].parent / ".lock").exists()


def test_a_folder_that_is_none_is_named(tmp_path, compiler):
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeBackendError, match=r"file cannot be used.*name a folder"):
        EngineCache(tmp_path / "file").get(KEY, compiler.build, compiler.load)
