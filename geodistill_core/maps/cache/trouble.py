# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with disks: told apart, and put into words for the operator."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

# The last comes from SQLite quoting damaged text in its own message.
TROUBLE = (OSError, sqlite3.Error, UnicodeDecodeError)


def is_damage(error: Exception) -> bool:
    """The index holds what no index holds; not that it is busy, full, closed or out of reach."""
    meant = isinstance(error, (sqlite3.OperationalError, sqlite3.ProgrammingError))
    return isinstance(error, (sqlite3.DatabaseError, UnicodeDecodeError)) and not meant


def is_full(error: Exception) -> bool:
    """No room on the disk, or no quota left."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)


def explained(error: Exception, folder: Path) -> str:
    """Why tiles are not kept in `folder`, and what to do about it."""
    if is_full(error):
        return f"tiles are not kept: the disk of {folder} is full; free some space, or limit the cache to less"
    if not os.access(folder, os.W_OK):
        return f"tiles are not kept: {folder} cannot be written; make it writable, or name another folder"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"tiles are not kept in {folder}: {reason}; check the disk, or name another folder"
