# SPDX-License-Identifier: Apache-2.0
"""Asking a server politely, boundedly and safely: what may be asked, what may come back, and when to stop asking."""

from geodistill_core.maps.fetch.fetcher import Fetcher
from geodistill_core.maps.fetch.results import Absent, Cause, Fetched, FetchError, Health, Unchanged
from geodistill_core.maps.validators import Validators

__all__ = ["Absent", "Cause", "FetchError", "Fetched", "Fetcher", "Health", "Unchanged", "Validators"]
