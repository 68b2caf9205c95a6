# SPDX-License-Identifier: Apache-2.0
"""Who else places a frame on /tf: a frame has one parent and one node that says where it lies in it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

LISTEN_FIRST_S = 1.0
FORGET_S = 5.0
_OWN_KEPT = 64


class Authority:
    """Watches one child frame. Another broadcaster keeps us silent until it has been gone for `FORGET_S`."""

    def __init__(self, child: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.child = child
        self._clock_s = clock_s
        self._own: deque[tuple[Any, ...]] = deque(maxlen=_OWN_KEPT)
        self._since_s: float | None = None
        self._heard_s: float | None = None
        self._static = False
        self._parent = ""

    def begin(self) -> None:
        """Listening has begun; nobody is known."""
        self._since_s, self._heard_s, self._static, self._parent = self._clock_s(), None, False, ""
        self._own.clear()

    def sent(self, transform: Any) -> None:
        """We have broadcast this transform, and shall hear it ourselves."""
        self._own.append(_identity(transform))

    def heard(self, message: Any, *, static: bool = False) -> None:
        """Take a `TFMessage`; a static transform is never taken back."""
        for transform in message.transforms:
            if transform.child_frame_id != self.child or _identity(transform) in self._own:
                continue
            self._heard_s, self._static = self._clock_s(), self._static or static
            self._parent = transform.header.frame_id

    def other(self) -> str:
        """Who else broadcasts, in a sentence; empty where nobody does."""
        if self._heard_s is None:
            return ""
        if not self._static and self._clock_s() - self._heard_s > FORGET_S:
            return ""
        how = "a static transform" if self._static else "another node"
        return f"{how} places {self.child!r} in {self._parent!r}: no TF from this node; stop it, or set tf to none"

    def may_broadcast(self) -> bool:
        """Whether we have listened long enough and nobody else speaks."""
        listened = self._since_s is not None and self._clock_s() - self._since_s >= LISTEN_FIRST_S
        return listened and not self.other()


def _identity(transform: Any) -> tuple[Any, ...]:
    t, q, stamp = transform.transform.translation, transform.transform.rotation, transform.header.stamp
    return (transform.header.frame_id, stamp.sec, stamp.nanosec, t.x, t.y, t.z, q.x, q.y, q.z, q.w)
