# SPDX-License-Identifier: Apache-2.0
"""Whether networks run in the form that other engines can read.

In portable form a network does the same sums without what a traced graph cannot hold: branches on values (everything
that might be needed is computed), Fourier transforms and complex numbers (products with cosines and sines instead),
writes in place, and tricks of one processor. The numbers differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PortableForm:
    """`horizon_px` is the first row of a pinhole image that may show ground; rows far above it are left out."""

    horizon_px: int = 0


_FORM: ContextVar[PortableForm | None] = ContextVar("portable_form", default=None)


def portable_form() -> PortableForm | None:
    """The form that is asked for here and now; None in everyday use."""
    return _FORM.get()


def is_portable() -> bool:
    """Whether the portable form is asked for."""
    return _FORM.get() is not None


@contextmanager
def portable(form: PortableForm | None = None) -> Iterator[None]:
    """Within, networks run in portable form."""
    token = _FORM.set(form or PortableForm())
    try:
        yield
    finally:
        _FORM.reset(token)
