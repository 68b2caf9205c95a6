# SPDX-License-Identifier: Apache-2.0
"""What the camera delivers, for the diagnostics: encoding, age, how much a picture says, whether it stands still."""

from __future__ import annotations

import zlib
from typing import Any

from geodistill_core.bags.images import BlankImageError, ImageError, ImageReason, entropy_bits, thumbnail
from geodistill_core.types import Array
from geodistill_ros.conversions import rgb_of


class ImageWatch:
    """Decodes images and remembers what they were like; one thread decodes, any may ask."""

    def __init__(self) -> None:
        self.frozen_s = 0.0
        self.unsupported = ""
        self._facts: dict[str, str] = {}
        self._seen: Array | None = None
        self._picture: int | None = None
        self._since_ns = 0

    def arrived(self, stamp_ns: int, now_ns: int) -> None:
        """An image with this stamp came in at this time of the node's clock."""
        self._facts["image.stamp_age_s"] = f"{(now_ns - stamp_ns) * 1e-9:.3f}"

    def decode(self, msg: Any, stamp_ns: int, *, panorama: bool) -> Array:
        """`rgb_of`, watched; raises ImageError."""
        self._facts["image.encoding"] = str(getattr(msg, "encoding", None) or getattr(msg, "format", ""))
        try:
            rgb = rgb_of(msg, panorama=panorama)
        except ImageError as error:
            self.unsupported = str(error) if error.reason is ImageReason.ENCODING else ""
            if isinstance(error, BlankImageError):
                self._seen = error.seen
            raise
        self.unsupported = ""
        self._seen = thumbnail(rgb).copy()
        self._compare(self._seen, stamp_ns)
        return rgb

    def values(self) -> dict[str, str]:
        """The keys of the diagnostics."""
        seen = self._seen
        entropy = {} if seen is None else {"image.entropy": f"{entropy_bits(seen):.2f}"}
        return {**self._facts, **entropy, "image.frozen_s": f"{self.frozen_s:.3f}"}

    def _compare(self, seen: Array, stamp_ns: int) -> None:
        """How long the same picture has been coming, by its stamps: a live sensor's noise never repeats."""
        picture = zlib.crc32(seen.data)
        if picture != self._picture or stamp_ns < self._since_ns:
            self._picture, self._since_ns = picture, stamp_ns
        self.frozen_s = (stamp_ns - self._since_ns) * 1e-9
