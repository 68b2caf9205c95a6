# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are either the old ones or the new ones, whatever happens while they are written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from geodistill_core.errors import TrainingError


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file in one step: written beside it, forced to the disk, and renamed.

    Raises:
        TrainingError: the disk is full or cannot be written to; the old file is as it was.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unwritten(path, len(data), error) from error


def write_folder(path: Path, write: Callable[[Path], object]) -> Path:
    """A new folder that `write` fills, complete or not there.

    Raises:
        TrainingError: the disk is full or cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        write(temporary)
        for file in temporary.iterdir():
            _sync(file)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise _unwritten(path, 0, error) from error
    return path


def point_to(link: Path, target: Path) -> None:
    """Make a link point to another folder, in one step.

    Raises:
        TrainingError: it cannot be written; it points to what it did before.
    """
    pointer = link.with_name(f".{link.name}.partial")
    try:
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(os.path.relpath(target, link.parent), target_is_directory=True)
        os.replace(pointer, link)
        _sync(link.parent)
    except OSError as error:
        raise _unwritten(link, 0, error) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritten(path: Path, size: int, error: OSError) -> TrainingError:
    free = shutil.disk_usage(path.parent).free
    wanted = f", {size / 1e6:.1f} MB wanted" if size else ""
    return TrainingError(
        f"{path} cannot be written ({error.strerror or error}; {free / 1e6:.1f} MB free{wanted}); what was there "
        "before is intact: make room and start the same command again"
    )
