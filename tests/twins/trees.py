# SPDX-License-Identifier: Apache-2.0
"""The twins of both data sets, rendered once for a test run, and copies that a test may damage."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from pathlib import Path

from tests.twins.kitti import Driven, write_kitti_twin
from tests.twins.vigor import Placed, write_vigor_twin


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that vanishes with the process."""
    return tempfile.TemporaryDirectory(prefix="geodistill-twins-")


@functools.cache
def vigor_tree() -> tuple[Path, list[Placed]]:
    """Two panoramas a city; see `write_vigor_twin`."""
    root = Path(_folder().name) / "vigor"
    return root, write_vigor_twin(root)


@functools.cache
def kitti_tree() -> tuple[Path, list[Driven]]:
    """Two frames a list; see `write_kitti_twin`."""
    root = Path(_folder().name) / "kitti"
    return root, write_kitti_twin(root)


def copy_of(tree: Path, to: Path) -> Path:
    """A copy that shares unchanged files with the tree: replace a file, never write into it."""
    return Path(shutil.copytree(tree, to / tree.name, copy_function=os.link))


def replace_file(path: Path, content: bytes | str) -> None:
    """Put something else in a file's place."""
    path.unlink()
    path.write_bytes(content.encode() if isinstance(content, str) else content)
