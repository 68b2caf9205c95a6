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

from geodistill_core.errors import CheckpointError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.manifest import MANIFEST_NAME, WEIGHTS_NAME, Manifest, Probe, read_manifest
from geodistill_core.models.registry import build
from geodistill_core.types import Array, GeoPoint, GroundImage, MapTile

SHIPPED = Path(__file__).resolve().parent.parent / "checkpoints"
_MAX_WEIGHT_BYTES = 4 << 30
_MAX_HEADER_BYTES = 1 << 20
_DTYPES = {torch.float16, torch.bfloat16, torch.float32}
_PROBE_VALUES = 16


def shipped_checkpoints() -> list[str]:
    """Names of the checkpoints inside the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST_NAME}"))


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


def _smooth_picture(rng: np.random.Generator, height: int, width: int) -> Array:
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, height // 16, width // 16)))
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return fine[0].permute(1, 2, 0).round().byte().numpy()


def probe_output(network: AnyNetwork, seed: int) -> tuple[float, ...]:
    """Logits at fixed places for a seeded tile and panorama: catches wrong weights, preprocessing and back ends."""
    rng = np.random.default_rng(seed)
    tile_rgb, panorama = _smooth_picture(rng, 320, 320), _smooth_picture(rng, 512, 1024)
    tile = MapTile(tile_rgb, np.ones((320, 320), bool), GeoPoint(0, 0), network.metres_per_pixel, "probe")
    with torch.inference_mode():
        ground = network.encode_ground(network.prepare_ground(GroundImage.panorama(panorama)))
        logits = network.match(ground, network.encode_map(network.prepare_map(tile)), torch.tensor([[0.0, 0.5]]))
    flat = logits.flatten()
    return tuple(float(v) for v in flat[torch.linspace(0, len(flat) - 1, _PROBE_VALUES).long()])


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
        if tensor.dtype not in _DTYPES or not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{path}: tensor {key} is {tensor.dtype} or holds NaN; expected finite 16- or 32-bit floats"
            )


def load_checkpoint(name_or_path: str | Path) -> tuple[AnyNetwork, Manifest]:
    """A network in evaluation mode with verified weights, and its manifest.

    Raises:
        CheckpointError: the folder, hash, keys, shapes, values or the probe's output are not as promised.
    """
    folder = resolve(name_or_path)
    manifest = read_manifest(folder)
    network = build(manifest.architecture, **manifest.arguments).eval()
    weights = _read_weights(folder / WEIGHTS_NAME, manifest.sha256)
    _check_tensors(weights, network.state_dict(), folder / WEIGHTS_NAME)
    network.load_state_dict({key: tensor.float() for key, tensor in weights.items()}, strict=True)
    deviation = np.abs(np.subtract(probe_output(network, manifest.probe.seed), manifest.probe.expected)).max()
    if not deviation <= manifest.probe.tolerance:
        raise CheckpointError(
            f"{folder}: the probe deviates by {deviation:.2e}, limit {manifest.probe.tolerance:.0e}; "
            "the weights or this build of torch compute other values than the trained network"
        )
    return network, manifest


def save_checkpoint(folder: Path, network: AnyNetwork, description: dict[str, Any]) -> Manifest:
    """Write weights (16-bit) and manifest; hash and probe are computed here. Each file is replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {key: tensor.detach().half().contiguous() for key, tensor in network.state_dict().items()}
    data = save_tensors(halves)
    rounded = build(description["architecture"], **description.get("arguments", {})).eval()
    rounded.load_state_dict({key: tensor.float() for key, tensor in halves.items()}, strict=True)
    probe = Probe(seed=7, expected=probe_output(rounded, 7), tolerance=1e-2)
    full = Manifest.model_validate({**description, "sha256": hashlib.sha256(data).hexdigest(), "probe": probe})
    text = json.dumps(full.model_dump(mode="json"), indent=2, sort_keys=True) + "\n"
    for name, content in ((WEIGHTS_NAME, data), (MANIFEST_NAME, text.encode())):
        temporary = folder / f".{name}.partial"
        temporary.write_bytes(content)
        os.replace(temporary, folder / name)
    return full
