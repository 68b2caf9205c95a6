# SPDX-License-Identifier: Apache-2.0
"""The node's executable on caches in FAKE_CACHES: it builds or loads an engine, then writes tiles without end.

With FAKE_BUILD=hang the build stops half way; FAKE_BUILD=never makes a build an error, as the engine should be there.
"""

import os
import random
import sys
import threading
from pathlib import Path

from fake_node import open_engine as open_fake
from geodistill_ros.node import main

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.maps.cache import DiskCache, Validators
from geodistill_core.runtime.cache import EngineCache, EngineKey

KEY = EngineKey("model", "profile", "stub", "fp32", "device", (("stub", "1"),))
ENGINE = b"whole" * 100_000
CACHE_BYTES = 4 << 20


def tile(number):
    return random.Random(number).randbytes(20_000)


def build(folder):
    if os.environ.get("FAKE_BUILD") == "never":
        raise RuntimeBackendError("the engine of the last run is not there")
    half = len(ENGINE) // 2
    (folder / "engine").write_bytes(ENGINE[:half])
    if os.environ.get("FAKE_BUILD") == "hang":
        (folder.parent / "half").touch()
        threading.Event().wait()
    (folder / "engine").write_bytes(ENGINE)


def load(folder):
    return (folder / "engine").read_bytes()


def write_tiles(folder):
    cache = DiskCache(folder, CACHE_BYTES)
    while True:
        for number in range(300):  # more than fit, so that tiles come and go
            cache.put("source", str(number), tile(number), Validators(), 1e6)


def open_engine(settings):
    folder = Path(os.environ["FAKE_CACHES"])
    assert EngineCache(folder / "engines").get(KEY, build, load) == ENGINE
    threading.Thread(target=write_tiles, args=(folder / "tiles",), daemon=True).start()
    return open_fake(settings)


if __name__ == "__main__":
    sys.exit(main(engine_factory=open_engine))
