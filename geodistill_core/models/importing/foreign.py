# SPDX-License-Identifier: Apache-2.0
"""Foreign checkpoint files: first only their tensors' names, shapes and types, then the values that were accepted.

Nothing in a file is executed, and nothing of a size that a file claims is allocated: shapes are read onto the meta
device, values from pages of the file itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from geodistill_core.errors import CheckpointError
from geodistill_core.models.importing.archive import NUMPY_SCALARS, check_archive

_MAX_FILE_BYTES = 4 << 30
_MAX_HEADER_BYTES = 4 << 20
_WRAPPER = "model_state_dict"
_PARALLEL = "module."
_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
}


class _Ignored:
    """Takes the place of numpy's scalars beside the weights."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A checkpoint that was not written here.

    `tensors` are on the meta device, under their published keys without the prefix that DataParallel adds; `beside`
    names what the file holds beside the state dict.
    """

    path: Path
    container: str
    beside: tuple[str, ...]
    parallel: bool
    tensors: dict[str, Tensor]

    @property
    def outer(self) -> str:
        """How the state dict is wrapped, in words."""
        prefix = f", every key prefixed {_PARALLEL!r}" if self.parallel else ""
        beside = f"{_WRAPPER} beside {', '.join(self.beside)}" if self.beside else "bare state dict"
        return f"{self.container}, {beside}{prefix}"

    def values(self, keys: Iterable[str]) -> dict[str, Tensor]:
        """The tensors of these keys, backed by pages of the file.

        Raises:
            CheckpointError: the file does not hold what it promised.
        """
        prefix = _PARALLEL if self.parallel else ""
        if self.container == "safetensors":
            with _safetensors(self.path) as file:
                return {key: file.get_tensor(prefix + key) for key in keys}
        state, _ = _unwrapped(self.path, _load(self.path, mmap=True))
        return {key: state[prefix + key] for key in keys}

    def sha256(self) -> str:
        """Hash of the whole file."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


def open_foreign(path: Path) -> ForeignFile:
    """What a `.pth`, `.pt` or `.safetensors` file holds, without its values.

    Raises:
        CheckpointError: the file is too large, damaged, hostile, or not a state dict.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give the path of a .pth, .pt or .safetensors checkpoint")
    size = path.stat().st_size
    if size > _MAX_FILE_BYTES:
        raise CheckpointError(f"{path} has {size} bytes, limit {_MAX_FILE_BYTES}; save the state dict alone")
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(b"PK\x03\x04"):
        sizes = check_archive(path)
        state, beside = _unwrapped(path, _load(path, map_location="meta"))
        _check_storages(path, state, sizes)
        return _described(path, "torch zip", beside, state)
    if head[8:] == b"{":
        return _described(path, "safetensors", (), _safetensors_shapes(path, int.from_bytes(head[:8], "little")))
    raise CheckpointError(
        f"{path} is neither a zip written by torch.save nor a safetensors file; a checkpoint from before PyTorch 1.6 "
        "must be converted where it can be trusted: "
        "torch.save(torch.load(OLD, weights_only=True, map_location='cpu'), NEW)"
    )


def _described(path: Path, container: str, beside: tuple[str, ...], state: dict[str, Tensor]) -> ForeignFile:
    parallel = bool(state) and all(key.startswith(_PARALLEL) for key in state)
    tensors = {key.removeprefix(_PARALLEL): tensor for key, tensor in state.items()} if parallel else state
    return ForeignFile(path, container, beside, parallel, tensors)


def _load(path: Path, **how: Any) -> Any:
    ignored = [(_Ignored, name.replace(" ", ".")) for name in NUMPY_SCALARS]
    try:
        with torch.serialization.safe_globals(ignored):  # type: ignore[arg-type]
            return torch.load(path, weights_only=True, **how)
    except Exception as error:  # a damaged pickle can raise anything at all
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} does not hold a readable state dict ({reason}); fetch it again") from error


def _unwrapped(path: Path, loaded: Any) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict, and the names of what stands beside it."""
    beside: tuple[str, ...] = ()
    if isinstance(loaded, dict) and _WRAPPER in loaded:
        beside = tuple(sorted(str(key)[:80] for key in loaded if key != _WRAPPER))
        loaded = loaded[_WRAPPER]
    if not isinstance(loaded, dict) or not loaded:
        raise CheckpointError(f"{path} holds a {type(loaded).__name__}, expected a state dict; save model.state_dict()")
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise CheckpointError(
                f"{path}: entry {str(key)[:80]!r} is a {type(value).__name__}, expected a dense tensor; "
                "save model.state_dict() alone"
            )
    return loaded, beside


def _check_storages(path: Path, state: dict[str, Tensor], sizes: set[int]) -> None:
    """No tensor lies in a storage, or reaches beyond one, that the file does not hold."""
    for key, tensor in state.items():
        claimed = tensor.untyped_storage().nbytes()
        if tensor.numel() and claimed not in sizes:
            raise CheckpointError(
                f"{path}: tensor {key[:80]!r} claims a storage of {claimed} bytes, the file holds none of that size; "
                "it is damaged or hostile"
            )


def _safetensors(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file ({error}); fetch it again") from error


def _safetensors_shapes(path: Path, header_bytes: int) -> dict[str, Tensor]:
    if header_bytes > _MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{path}: its header claims {header_bytes} bytes, limit {_MAX_HEADER_BYTES}; the file is damaged or hostile"
        )
    shapes = {}
    with _safetensors(path) as file:
        for key in file.keys():  # noqa: SIM118 - not a mapping
            part = file.get_slice(key)
            if part.get_dtype() not in _SAFETENSORS_DTYPES:
                raise CheckpointError(f"{path}: tensor {key[:80]!r} is {part.get_dtype()}, expected floats or integers")
            dtype = _SAFETENSORS_DTYPES[part.get_dtype()]
            shapes[key] = torch.empty(part.get_shape(), dtype=dtype, device="meta")
    return shapes
