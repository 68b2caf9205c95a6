# SPDX-License-Identifier: Apache-2.0
"""How the world's inner loops are compiled.

Compiled code is cached beside the sources. The cache notices a change of the file that holds a kernel, not of
kernels that it calls in other files: after editing those, delete `__pycache__/*.nbi`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., object])


def kernel(function: _Function) -> _Function:
    """Compile with numba: released lock, on-disk cache, IEEE division, no fast maths (results do not depend
    on it)."""
    return cast(_Function, njit(cache=True, nogil=True, error_model="numpy")(function))
