# SPDX-License-Identifier: Apache-2.0
"""Floats in, floats out; arrays in, arrays out."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", float, NDArray[Any])


def float64_pair(first: Any, second: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both arguments as float64 arrays of their common broadcast shape."""
    a, b = np.broadcast_arrays(np.asarray(first, np.float64), np.asarray(second, np.float64))
    return a, b


def unbox(value: Any) -> Any:
    """A 0-d array as the float it holds, any other array unchanged."""
    return float(value) if np.ndim(value) == 0 else value
