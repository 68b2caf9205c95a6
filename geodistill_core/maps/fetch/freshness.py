# SPDX-License-Identifier: Apache-2.0
"""What headers say about time: how long an answer holds, how long to stay away."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

_LONGEST_AGE_S = 366 * 86400.0
LONGEST_PAUSE_S = 3600.0
_DIRECTIVE = re.compile(r'([a-z-]+)(?:\s*=\s*"?(\d{1,12})"?)?')


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except (TypeError, ValueError, IndexError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def _now(headers: dict[str, str]) -> datetime:
    """The server's time: the clock of this computer may be wrong before it has a GNSS fix."""
    return _date(headers.get("date")) or datetime.now(timezone.utc)


def _directives(headers: dict[str, str]) -> dict[str, str | None]:
    return dict(_DIRECTIVE.findall(headers.get("cache-control", "").lower()))


def may_store(headers: dict[str, str]) -> bool:
    """Whether a copy may be kept."""
    return "no-store" not in _directives(headers)


def max_age_s(headers: dict[str, str]) -> float | None:
    """Seconds that a copy holds from now, by `Cache-Control`, else `Expires`; None where neither is said."""
    directives = _directives(headers)
    if "no-cache" in directives or "no-store" in directives:
        return 0.0
    said = directives.get("max-age")
    if said:
        age = headers.get("age", "")
        left = float(said) - (float(age) if age.isdecimal() and len(age) < 12 else 0.0)
    elif "expires" in headers:
        expires = _date(headers["expires"])
        left = (expires - _now(headers)).total_seconds() if expires else 0.0
    else:
        return None
    return min(max(left, 0.0), _LONGEST_AGE_S)


def retry_after_s(headers: dict[str, str]) -> float | None:
    """Seconds to stay away by `Retry-After`, at most an hour; None where it says nothing usable."""
    said = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,12}(\.\d+)?", said):
        seconds = float(said)
    else:
        date = _date(said)
        seconds = (date - _now(headers)).total_seconds() if date else math.nan
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_PAUSE_S)
