# SPDX-License-Identifier: Apache-2.0
"""Records of tensors, whatever a network's features are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from torch import Tensor

_Record = TypeVar("_Record")


def every_tensor(record: _Record, function: Callable[[Tensor], Tensor]) -> _Record:
    """The record with `function` applied to every tensor in it, through dataclasses, tuples, lists and dictionaries."""
    return _applied(record, function)  # type: ignore[no-any-return]


def _applied(record: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(record, Tensor):
        return function(record)
    if is_dataclass(record) and not isinstance(record, type):
        return replace(record, **{f.name: _applied(getattr(record, f.name), function) for f in fields(record)})
    if isinstance(record, dict):
        return {key: _applied(value, function) for key, value in record.items()}
    if isinstance(record, tuple) and hasattr(record, "_fields"):
        return type(record)(*(_applied(value, function) for value in record))
    if isinstance(record, list | tuple):
        return type(record)(_applied(value, function) for value in record)
    return record
