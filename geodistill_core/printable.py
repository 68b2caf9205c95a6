# SPDX-License-Identifier: Apache-2.0
"""Text from recordings at the terminal: topics, frame names and messages may hold what would steer it."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """The text with everything but letters, signs, spaces and line breaks shown as a question mark."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" or unicodedata.category(c) == "Zs" else "?" for c in text)
