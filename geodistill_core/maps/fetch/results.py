# SPDX-License-Identifier: Apache-2.0
"""What a request can end in: content, no change, nothing there, or an error with a cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from geodistill_core.errors import MapError
from geodistill_core.maps.validators import Validators

Cause = Literal[
    "offline",
    "refused",
    "too_large",
    "not_an_image",
    "timeout",
    "rate_limited",
    "server",
    "forbidden",
    "cancelled",
]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Content that passed every check.

    `max_age_s` is how long the server vouches for it (None: it did not say; 0: ask again each time);
    `may_store` is False where the server forbids keeping a copy (`Cache-Control: no-store`).
    """

    content: bytes = field(repr=False)
    etag: str | None
    last_modified: str | None
    max_age_s: float | None
    media_type: str
    may_store: bool = True

    @property
    def validators(self) -> Validators:
        """What to send along when asking whether it has changed."""
        return Validators(self.etag, self.last_modified)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The copy that belongs to the validators is still right, for `max_age_s` more (None: not said)."""

    max_age_s: float | None


@dataclass(frozen=True, slots=True)
class Absent:
    """The server has no imagery there; do not ask again for `max_age_s`."""

    max_age_s: float


class FetchError(MapError):
    """A request failed. `cause` says how; asking again for the same is pointless for `retry_after_s` seconds."""

    def __init__(self, cause: Cause, message: str, retry_after_s: float = 60.0) -> None:
        super().__init__(message)
        self.cause: Cause = cause
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Health:
    """How the server has been answering: for `since_s` seconds `state`, because of `cause` (None: all is well).

    `counters` holds totals: requests, fetched, unchanged, absent, retries, bytes, one for each cause of failure, and
    hurried: requests whose caller gave too little time for the server to be blamed.
    """

    state: Literal["online", "degraded", "offline"]
    cause: Cause | None
    since_s: float
    counters: Mapping[str, int]
