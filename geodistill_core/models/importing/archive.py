# SPDX-License-Identifier: Apache-2.0
"""Is this zip file what `torch.save` writes? Read from its directory and its pickle's text; nothing is unpickled."""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path

from geodistill_core.errors import CheckpointError

_MAX_ENTRIES = 20_000
_MAX_DIRECTORY_BYTES = 8 << 20
_MAX_PICKLE_BYTES = 4 << 20
_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_GLOBALS = {
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {name}Storage" for name in _STORAGES),
}
# what training loops leave beside the weights: a mean error computed by numpy
NUMPY_SCALARS = ("numpy.core.multiarray scalar", "numpy._core.multiarray scalar", "numpy dtype")
_ALLOWED = _GLOBALS | {*NUMPY_SCALARS, "_codecs encode"}
_UNKNOWN_GLOBAL_OPCODES = {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}


class _Sipped(io.FileIO):
    """A file of which no more than a directory's limit is read at once, whatever the file claims about itself."""

    def read(self, size: int | None = -1, /) -> bytes:
        """At most the limit; more, when asked for by number, is an error."""
        if size is not None and size > _MAX_DIRECTORY_BYTES:
            raise CheckpointError(
                f"the zip directory claims {size} bytes, limit {_MAX_DIRECTORY_BYTES}; the file is damaged or hostile"
            )
        return super().read(_MAX_DIRECTORY_BYTES if size is None or size < 0 else size) or b""


def check_archive(path: Path) -> set[int]:
    """Accept what `torch.save` writes: stored entries inside the file, and a pickle of plain tensors.

    Returns the sizes (bytes) of the storages that the file holds.

    Raises:
        CheckpointError: the directory is damaged, an entry claims more than the file holds or is compressed, or the
            pickle names anything that a state dict does not need.
    """
    try:
        with _Sipped(path) as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            pickle_entry = _check_entries(path, entries)
            program = archive.read(pickle_entry)
            order = pickle_entry.filename.removesuffix("data.pkl") + "byteorder"
            if order in archive.namelist() and archive.read(order) != b"little":
                raise CheckpointError(
                    f"{path} was written on a big-endian machine; save it again on a little-endian one"
                )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path} is not a readable zip file ({error}); fetch it again") from error
    _check_pickle(path, program)
    return {entry.file_size for entry in entries if "/data/" in entry.filename}


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    """The pickle's entry, after every entry has been checked."""
    size = path.stat().st_size
    if not 0 < len(entries) <= _MAX_ENTRIES:
        raise CheckpointError(f"{path} has {len(entries)} zip entries, expected 1..{_MAX_ENTRIES}")
    for entry in entries:
        _check_entry(path, entry, size)
    claimed = sum(entry.file_size for entry in entries)
    if claimed > size or min(entry.header_offset for entry in entries) != 0:
        raise CheckpointError(
            f"{path}: zip entries of {claimed} bytes overlap or lie behind other data; fetch it again"
        )
    names = {entry.filename.casefold(): entry for entry in entries}
    if len(names) != len(entries):
        raise CheckpointError(f"{path} holds two zip entries of one name; save the state dict again")
    if any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError(f"{path} is a TorchScript program; save its state_dict() instead")
    pickles = [entry for name, entry in names.items() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].file_size > _MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"{path} holds {len(pickles)} data.pkl (expected one of at most {_MAX_PICKLE_BYTES} bytes); "
            "it was not written by torch.save"
        )
    return pickles[0]


def _check_entry(path: Path, entry: zipfile.ZipInfo, size: int) -> None:
    if entry.header_offset + entry.file_size > size or entry.compress_size != entry.file_size:
        raise CheckpointError(
            f"{path}: zip entry {entry.filename[:80]!r} claims {entry.file_size} bytes in {entry.compress_size}, "
            f"the file has {size}; it is damaged or hostile"
        )
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        raise CheckpointError(
            f"{path}: zip entry {entry.filename[:80]!r} is compressed or encrypted; torch.save does neither"
        )


def _check_pickle(path: Path, program: bytes) -> None:
    """Every global that the pickle names is one of a state dict's."""
    try:
        for opcode, argument, _ in pickletools.genops(program):
            name = argument if opcode.name == "GLOBAL" else opcode.name
            if opcode.name in _UNKNOWN_GLOBAL_OPCODES or (opcode.name == "GLOBAL" and argument not in _ALLOWED):
                raise CheckpointError(
                    f"{path}: its pickle uses {str(name)[:80]!r}, which no state dict needs; it was not run. "
                    "Ask the author for the bare state dict, or for safetensors"
                )
    except ValueError as error:
        raise CheckpointError(f"{path}: its pickle is damaged ({error}); fetch it again") from error
