# SPDX-License-Identifier: Apache-2.0
"""Drives on a Ray cluster, or on a private one on this machine.

Bags, maps and the output folder must be at the same paths on every machine of the cluster; results do not
travel through Ray.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Generator, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.fleet.jobs import DriveJob, Fate, Runner, Work, fate_of

LOCAL = "local"
_SHARE = "all machines must see bags, maps and the output folder at the same paths"
_REACH_S = 5.0
# on a busy machine Ray may give up on its own processes before they have started
_LOCAL_STARTS = 2


def on_ray(address: str, count: int | None = None) -> Runner:
    """What runs the drives on the cluster at `address` (`auto`, `HOST:PORT`, `ray://HOST:PORT`), or with
    `local` on one that lives as long as the run; `count` limits how many run at a time.

    Raises:
        ConfigError: Ray is not installed; or, once it runs, no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError('--ray needs Ray: `pip install "geodistill[fleet]"`, or use --jobs') from error
    return partial(_run, ray, address, count)


def _run(
    ray: ModuleType, address: str, count: int | None, work: Work, jobs: Sequence[DriveJob]
) -> Generator[Fate, None, None]:
    _connect(ray, address, count)
    try:
        # a drive that fails fails again; only lost machines are worth another try
        remote = ray.remote(num_cpus=1, max_retries=1)(_remote_fate)
        left, running = list(reversed(jobs)), dict[Any, DriveJob]()
        while left or running:
            while left and (count is None or len(running) < count):
                running[remote.remote(work, left[-1])] = left[-1]
                left.pop()
            (ended, *_), _ = ray.wait(list(running))
            yield _fate(ray, ended, running.pop(ended))
    finally:
        ray.shutdown()


def _connect(ray: ModuleType, address: str, count: int | None) -> None:
    # nothing is reported to anybody
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        options |= {"num_cpus": count, "include_dashboard": False}
    for left in reversed(range(_LOCAL_STARTS if address == LOCAL else 1)):
        try:
            _reach(address)
            ray.init(address=address, **options)
            return
        except Exception as error:  # Ray raises bare ones, too
            ray.shutdown()
            if not left:
                raise ConfigError(
                    f"no Ray cluster answers at {address!r}: {_why(error)}; start one, or use --jobs"
                ) from error


def _reach(address: str) -> None:
    """Ray itself tries for minutes; raises OSError."""
    if found := re.fullmatch(r"(?:ray://)?(.+):(\d{1,5})", address):
        socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=_REACH_S).close()


def _why(error: BaseException) -> str:
    if "InvalidAuthToken" in f"{error} {error.__cause__}":
        return "it asks for a token (set RAY_AUTH_MODE=token and the cluster's RAY_AUTH_TOKEN)"
    return _line(error, 0)


def _remote_fate(work: Work, job: DriveJob) -> Fate:
    if not job.bag.exists():
        return Fate(job.name, f"{job.bag.name} is not on the machine that was to run it; {_SHARE}")
    return fate_of(work, job)


def _fate(ray: ModuleType, ended: Any, job: DriveJob) -> Fate:
    """The drive's fate; that its machine was lost, or writes where we do not see it, is one, too."""
    try:
        fate: Fate = ray.get(ended)
    except ray.exceptions.RayTaskError as error:
        # our own errors are fates already: this is what keeps a worker from running us at all
        return Fate(job.name, f"its worker cannot run it: {_line(error, -1)}; install the same geodistill there")
    except ray.exceptions.RayError as error:
        return Fate(job.name, f"its worker was lost: {_line(error, 0)}; run again")
    if fate.problem is None and not job.folder.is_dir():
        return Fate(job.name, f"its results were written where this machine does not see them; {_SHARE}")
    return fate


def _line(error: BaseException, which: int) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[which].rstrip(".")
