# SPDX-License-Identifier: Apache-2.0
"""Keys of imagery services: read from the environment when a request is made, shown as `***` everywhere else."""

from __future__ import annotations

import logging
import os
from typing import NoReturn
from urllib.parse import quote, quote_plus

from geodistill_core.errors import ConfigError

_MASK = "***"
_SHORTEST = 4


class Secret:
    """A key. `repr`, `str` and formats are `***`; it can be neither pickled nor copied into JSON."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    @classmethod
    def from_environment(cls, variable: str) -> Secret:
        """The key in an environment variable, read now.

        Raises:
            ConfigError: the variable is not set, or holds no key.
        """
        value = os.environ.get(variable, "").strip()
        if len(value) < _SHORTEST or not value.isprintable():
            state = "is not set" if not value else f"holds no printable key of {_SHORTEST} or more characters"
            raise ConfigError(
                f"the environment variable {variable} {state}, and the source needs its key there: "
                f"export {variable}=..."
            )
        return cls(value)

    def reveal(self) -> str:
        """The key itself: for the request, and for nothing else."""
        return self._value

    def mask(self, text: str) -> str:
        """`text` with the key, plain or URL-encoded, replaced by `***`."""
        for form in {self._value, quote(self._value, safe=""), quote_plus(self._value), quote(self._value)}:
            text = text.replace(form, _MASK)
        return text

    def __repr__(self) -> str:
        return _MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")


class MaskingFilter(logging.Filter):
    """Masks a key in the log records of libraries that print the addresses they fetch."""

    def __init__(self, secret: Secret) -> None:
        super().__init__()
        self._secret = secret

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter.filter`; no record is dropped."""
        record.msg, record.args = self._secret.mask(record.getMessage()), ()
        return True
