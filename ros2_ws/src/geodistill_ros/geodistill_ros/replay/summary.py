# SPDX-License-Identifier: Apache-2.0
"""The account of a live replay: every published image is answered, or counted with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geodistill_ros.replay.control import NodeStatus

NOT_RECEIVED = "transport"


def summarize(
    published: Sequence[tuple[int, float]],
    received_s: Mapping[int, float],
    status: NodeStatus,
    lateness_ms: Sequence[float],
) -> dict[str, Any]:
    """Counts, drops by reason, latency from publishing an image to receiving its pose.

    `dropped.transport` are images that never reached the node's callback; `unaccounted` must be 0.
    """
    latency_ms = {stamp: (received_s[stamp] - sent_s) * 1e3 for stamp, sent_s in published if stamp in received_s}
    dropped = {
        name.removeprefix("dropped."): int(value)
        for name, value in status.values.items()
        if name.startswith("dropped.")
    }
    not_received = len(published) - status.count("images.received")
    if not_received:
        dropped[NOT_RECEIVED] = not_received
    return {
        "published": len(published),
        "received": status.count("images.received"),
        "answered": len(latency_ms),
        "dropped": dropped,
        "unaccounted": len(published) - len(latency_ms) - sum(dropped.values()),
        "latency_ms": quantiles(list(latency_ms.values())),
        "lateness_ms": quantiles(lateness_ms),
        "frames": [{"stamp_ns": stamp, "latency_ms": latency_ms.get(stamp)} for stamp, _ in published],
        "counters": dict(sorted(status.values.items())),
    }


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p90, p99 and the largest value; None without values."""
    if not values:
        return {"p50": None, "p90": None, "p99": None, "max": None}
    p50, p90, p99, largest = np.percentile(values, (50, 90, 99, 100))
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "max": float(largest)}
