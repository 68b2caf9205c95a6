# SPDX-License-Identifier: Apache-2.0
"""Reading what data sets are made of: lists of lines, arrays, pictures. Every failure names the file and a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from geodistill_core.errors import DatasetError
from geodistill_core.types import Array

Row = TypeVar("Row")


def read_lines(path: Path, remedy: str) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1.

    Raises:
        DatasetError: the file is missing, not text, or holds no line; the message ends with `remedy`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}; {remedy}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not a text file ({error}); {remedy}") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise DatasetError(f"{path} holds no line; {remedy}")
    return lines


def read_rows(path: Path, remedy: str, parse: Callable[[str, str], Row]) -> tuple[list[Row], dict[str, str]]:
    """What `parse(line, where)` makes of each line, and what it says of those that cannot be used, by `NAME:LINE`.

    Raises:
        DatasetError: the file cannot be read, or none of its lines can be used; the message ends with `remedy`.
    """
    rows: list[Row] = []
    rejected: dict[str, str] = {}
    for number, line in read_lines(path, remedy):
        try:
            rows.append(parse(line, f"{path}, line {number}"))
        except DatasetError as error:
            rejected[f"{path.name}:{number}"] = str(error)
    if not rows:
        raise DatasetError(f"{path} holds no usable line; {remedy}")
    return rows, rejected


def read_picture_bytes(path: Path) -> Array:
    """A file's content [N] uint8.

    Raises:
        DatasetError: the file is missing.
    """
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read: {error.strerror or error}; copy it again from the data set"
        ) from error


def read_array(path: Path, remedy: str) -> Array:
    """A `.npy` file; object arrays are refused, since they would run code.

    Raises:
        DatasetError: the file is missing or no such array; the message ends with `remedy`.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} is no readable .npy array ({error}); {remedy}") from error
    if not isinstance(loaded, np.ndarray):
        raise DatasetError(f"{path} is an archive of arrays, not one array; {remedy}")
    return loaded


def read_rgb(path: Path) -> Array:
    """A picture as H x W x 3 uint8 RGB; what its name ends in does not matter.

    Raises:
        DatasetError: the file is missing, truncated or no picture.
    """
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} cannot be read as a picture ({error}); copy it again from the data set") from error
