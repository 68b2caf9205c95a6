# SPDX-License-Identifier: Apache-2.0
"""Floats in, floats out; arrays in, arrays out."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", float, NDArray[Any])


def float64_pair(first: Any, second: Any) -> tuple[Any, Any]:
    """Both arguments as float64 arrays of their common broadcast shape; two floats as what they are, soon computed."""
    if isinstance(first, float) and isinstance(second, float):
        return float(first), float(second)
    a, b = np.broadcast_arrays(np.asarray(first, np.float64), np.asarray(second, np.float64))
    return a, b


def holds(condition: Any) -> bool:
    """Whether a comparison of floats, or of arrays everywhere, is true."""
    return condition if isinstance(condition, bool) else bool(np.all(condition))


def unbox(value: Any) -> Any:
    """A 0-d array as the float it holds, anything else unchanged."""
    return float(value) if isinstance(value, float) or np.ndim(value) == 0 else value


def modulo(value: Number, half: float) -> Number:
    """The equivalent value in [-half, half); NaN and infinity give NaN."""
    if isinstance(value, float):
        one = (float(value) + half) % (2.0 * half) - half
        return -half if one >= half else one
    with np.errstate(invalid="ignore"):
        wrapped = np.mod(np.asarray(value, np.float64) + half, 2.0 * half) - half
    # The modulo of a tiny negative number rounds up to the full circle.
    return unbox(np.where(wrapped >= half, -half, wrapped))  # type: ignore[no-any-return]
