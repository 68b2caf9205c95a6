# SPDX-License-Identifier: Apache-2.0
"""Tiles that tell whether they are whole, caches of them, and processes that die."""

import hashlib
import multiprocessing
import os
import random
import signal

from geodistill_core.maps.cache import DiskCache, Validators

MIB = 1 << 20
NONE = Validators()
KEYS = [f"18/{number}/7" for number in range(20)]


def tile_of(key, version=0, size=12_000):
    """Bytes that tell their key, and whether they are whole."""
    body = random.Random(f"{key} {version}").randbytes(size) + key.encode()
    return hashlib.sha256(body).digest() + body


def is_whole(key, content):
    return hashlib.sha256(content[32:]).digest() == content[:32] and content.endswith(key.encode())


def filled(folder, keys=KEYS):
    with DiskCache(folder, 16 * MIB) as cache:
        for key in keys:
            cache.put("s", key, tile_of(key), NONE, 1e6)
    return folder


def found(cache, keys=KEYS):
    """Keys whose tiles are there; every tile that is there is the one that was put."""
    held = {key: cache.get("s", key) for key in keys}
    assert all(is_whole(key, tile.content) for key, tile in held.items() if tile)
    return [key for key, tile in held.items() if tile]


def in_another_process(work):
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


def killed(work):
    """Do it in another process that then dies without a word."""

    def work_and_die():
        kept = work()  # noqa: F841 - nothing may be closed
        os.kill(os.getpid(), signal.SIGKILL)

    process = in_another_process(work_and_die)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
