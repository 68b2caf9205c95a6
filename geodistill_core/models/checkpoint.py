# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders: safetensors and a manifest, verified by hash, strict keys and a probe; no pickle anywhere."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.manifest import MANIFEST_NAME, WEIGHTS_NAME, Calibration, Manifest, Probe, read_manifest
from geodistill_core.models.probe import probe_deviation, probe_output
from geodistill_core.models.registry import build

SHIPPED = Path(__file__).resolve().parent.parent / "checkpoints"
_MAX_WEIGHT_BYTES = 4 << 30
_MAX_HEADER_BYTES = 1 << 20
_FLOATS = {torch.float16, torch.bfloat16, torch.float32}
_PROBE_SEED = 7
_PROBE_TOLERANCE = 1e-2


def shipped_checkpoints() -> list[str]:
    """Names of the checkpoints inside the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST_NAME}"))


def checkpoints_in(folder: Path) -> list[Path]:
    """The folder itself if it is a checkpoint, otherwise the checkpoints right inside it.

    Raises:
        CheckpointError: there is none.
    """
    found = [folder] if (folder / MANIFEST_NAME).is_file() else [p.parent for p in folder.glob(f"*/{MANIFEST_NAME}")]
    if not found:
        raise CheckpointError(
            f"{folder} neither is a checkpoint nor holds any: no {MANIFEST_NAME} in it or right below"
        )
    return sorted(found)


def resolve(name_or_path: str | Path) -> Path:
    """The folder of a shipped checkpoint's name or of a path.

    Raises:
        CheckpointError: neither exists.
    """
    for folder in (SHIPPED / str(name_or_path), Path(name_or_path)):
        if (folder / MANIFEST_NAME).is_file():
            return folder
    shipped = ", ".join(shipped_checkpoints()) or "none"
    raise CheckpointError(
        f"no checkpoint {str(name_or_path)!r}: neither a shipped one ({shipped}) nor a folder with {MANIFEST_NAME}; "
        "give a name or the folder's path"
    )


def _read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    if not path.is_file() or path.stat().st_size > _MAX_WEIGHT_BYTES:
        raise CheckpointError(f"{path} is missing or larger than {_MAX_WEIGHT_BYTES} bytes; fetch the checkpoint again")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise CheckpointError(
            f"{path} has SHA-256 {found[:12]}, the manifest says {sha256[:12]}; the file is damaged: fetch it again"
        )
    if len(data) < 8 or int.from_bytes(data[:8], "little") > _MAX_HEADER_BYTES:
        raise CheckpointError(f"{path} is not a safetensors file with a header up to {_MAX_HEADER_BYTES} bytes")
    try:
        return dict(load_tensors(data))
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error


def _check_tensors(found: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    missing, unexpected = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    shapes = [
        f"{k} {tuple(found[k].shape)} instead of {tuple(wanted[k].shape)}"
        for k in wanted.keys() & found.keys()
        if found[k].shape != wanted[k].shape
    ]
    if missing or unexpected or shapes:
        raise CheckpointError(
            f"{path} does not fit: missing {missing[:5]}, unexpected {unexpected[:5]}, shapes {shapes[:5]}"
        )
    for key, tensor in found.items():
        allowed = _FLOATS if wanted[key].is_floating_point() else {wanted[key].dtype}
        if tensor.dtype not in allowed or not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{path}: tensor {key} is {tensor.dtype} or holds NaN; expected finite values of "
                f"{', '.join(sorted(str(dtype) for dtype in allowed))}"
            )


def load_checkpoint(name_or_path: str | Path) -> tuple[AnyNetwork, Manifest]:
    """A network in evaluation mode with verified weights, and its manifest.

    Raises:
        CheckpointError: the folder, hash, keys, shapes, values or the probe's output are not as promised.
    """
    folder = resolve(name_or_path)
    manifest = read_manifest(folder)
    try:
        network = build(manifest.architecture, **manifest.arguments).eval()
    except ConfigError as error:
        raise CheckpointError(f"{folder / MANIFEST_NAME}: {error}; fetch the checkpoint again") from error
    weights = _read_weights(folder / WEIGHTS_NAME, manifest.sha256)
    _check_tensors(weights, network.state_dict(), folder / WEIGHTS_NAME)
    network.load_state_dict(weights, strict=True)
    deviation = probe_deviation(probe_output(network, manifest.probe.seed), manifest.probe.expected)
    if not deviation <= manifest.probe.tolerance:
        raise CheckpointError(
            f"{folder}: the probe deviates by {deviation:.2e}, limit {manifest.probe.tolerance:.0e}; "
            "the weights or this build of torch compute other values than the trained network"
        )
    return network, manifest


def save_checkpoint(
    folder: Path, network: AnyNetwork, description: dict[str, Any], dtype: torch.dtype = torch.float16
) -> Manifest:
    """Write weights (floats as `dtype`) and manifest; hash and probe are computed here. Files are replaced atomically.

    Raises:
        CheckpointError: the network's answer to the probe is not finite.
    """
    weights = {key: _stored(tensor, dtype) for key, tensor in network.state_dict().items()}
    data = save_tensors(weights)
    rounded = build(description["architecture"], **description.get("arguments", {})).eval()
    rounded.load_state_dict(weights, strict=True)
    expected = probe_output(rounded, _PROBE_SEED)
    if not np.isfinite(expected).all():
        raise CheckpointError("the network's answer to the probe is not finite; its weights are not usable")
    probe = Probe(seed=_PROBE_SEED, expected=expected, tolerance=_PROBE_TOLERANCE)
    full = Manifest.model_validate({**description, "sha256": hashlib.sha256(data).hexdigest(), "probe": probe})
    _write(folder, data, full)
    return full


def check_new(folder: Path) -> None:
    """Raises CheckpointError where something lies already, so that no checkpoint is ever overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} is not empty; name a new folder for the checkpoint")


def save_recalibrated(name_or_path: str | Path, folder: Path, calibration: Calibration) -> Manifest:
    """Write a checkpoint's weights, byte for byte, with another calibration to a new folder.

    Raises:
        CheckpointError: there is no such checkpoint, or the folder is not new.
    """
    source = resolve(name_or_path)
    check_new(folder)
    manifest = read_manifest(source).model_copy(update={"calibration": calibration, "tracking": None})
    _write(folder, (source / WEIGHTS_NAME).read_bytes(), manifest)
    return manifest


def _write(folder: Path, weights: bytes, manifest: Manifest) -> None:
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((WEIGHTS_NAME, weights), (MANIFEST_NAME, text.encode())):
        temporary = folder / f".{name}.partial"
        temporary.write_bytes(content)
        os.replace(temporary, folder / name)


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return (tensor.detach().to(dtype) if tensor.is_floating_point() else tensor).contiguous()
