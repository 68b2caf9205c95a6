# SPDX-License-Identifier: Apache-2.0
"""What a server gave to ask later whether a tile has changed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Validators:
    """The `ETag` and `Last-Modified` headers of an answer, as they came; None where the server sent none."""

    etag: str | None = None
    last_modified: str | None = None
