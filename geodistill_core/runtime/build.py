# SPDX-License-Identifier: Apache-2.0
"""Build an engine: export, compile, and pass the parity gate, in the precision asked for or the next safer one.

`python -m geodistill_core.runtime.build FOLDER` does it in a process of its own, for `start_build`, which leaves the
weights and the order in the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from geodistill_core.errors import GeodistillError, RuntimeBackendError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.manifest import Manifest
from geodistill_core.models.registry import build as build_network
from geodistill_core.runtime.backend import SAFER, Backend, Precision, compile_calls
from geodistill_core.runtime.cache import Say
from geodistill_core.runtime.calibration import Frame, synth_frames
from geodistill_core.runtime.child import run_build
from geodistill_core.runtime.export import export_onnx
from geodistill_core.runtime.network import CompiledNetwork
from geodistill_core.runtime.parity import Parity, check
from geodistill_core.runtime.profile import Profile
from geodistill_core.runtime.quantize import quantize

BUILT_NAME = "built.json"
_ORDER_NAME, _WEIGHTS_NAME = "order.json", "weights.safetensors"
_NICE = 5


def model_hash(network: AnyNetwork, manifest: Manifest) -> str:
    """Identifies the computation: architecture, arguments and every weight."""
    digest = hashlib.sha256(json.dumps([manifest.architecture, manifest.arguments], sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def start_build(
    network: AnyNetwork,
    manifest: Manifest,
    profile: Profile,
    backend_name: str,
    precision: Precision,
    folder: Path,
    *,
    limit_s: float,
    say: Say,
    stop: threading.Event | None = None,
) -> None:
    """Fill a folder with the ONNX files, engines and `built.json` of a network, in a process of its own.

    Raises:
        RuntimeBackendError: it fails, takes too long or too much memory, or no precision passes the gate.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / _WEIGHTS_NAME)
    order = {
        "manifest": manifest.model_dump(mode="json"),
        "profile": asdict(profile),
        "backend": backend_name,
        "precision": precision,
    }
    (folder / _ORDER_NAME).write_text(json.dumps(order))
    say(f"compiling {manifest.name} for {backend_name}, {precision}; this is done once on a machine")
    run_build([sys.executable, "-m", __name__, str(folder)], limit_s=limit_s, say=say, stop=stop)
    for name in (_ORDER_NAME, _WEIGHTS_NAME):
        (folder / name).unlink()


def build(
    network: AnyNetwork,
    manifest: Manifest,
    profile: Profile,
    backend: Backend,
    precision: Precision,
    folder: Path,
    frames: Iterable[Frame] | None = None,
) -> dict[str, Any]:
    """Export, compile and compare; what was built, which also lies in `built.json`.

    The ranges of int8 are taken from `frames` (None: SynthCity's).

    Raises:
        RuntimeBackendError: the network cannot be exported or compiled, or no precision passes the gate.
    """
    paths = export_onnx(network, profile, folder)
    refused: dict[str, str] = {}
    tried: Precision | None = precision
    while tried is not None:
        if tried in backend.precisions:
            print(f"{backend.name}, {tried}", flush=True)
            if tried == "int8":
                seen = synth_frames(network, profile) if frames is None else frames
                quantize(paths, seen, symmetric=backend.name == "tensorrt")
            elif next(reversed(refused), "") == "int8":
                paths = export_onnx(network, profile, folder)
            calls = compile_calls(network, backend, paths, tried)
            parity = gate(network, CompiledNetwork(network, profile, calls), manifest, profile, tried)
            if parity.holds:
                built = {"precision": tried, "parity": asdict(parity), "refused": refused}
                (folder / BUILT_NAME).write_text(json.dumps(built, indent=2))
                return built
            refused[tried] = str(parity)
            print(f"{tried} differs too much: {parity}", flush=True)
        tried = SAFER.get(tried)
    differences = "; ".join(f"{name}: {text}" for name, text in refused.items())
    raise RuntimeBackendError(f"{backend.name} gives other poses than torch ({differences}); name another runtime")


def gate(
    network: AnyNetwork,
    compiled: AnyNetwork,
    manifest: Manifest,
    profile: Profile,
    precision: Precision = "fp32",
) -> Parity:
    """How far a compiled network is from the one it stands for, on the probes of its profile."""
    from geodistill_core.runtime.probes import probes

    temperature = manifest.calibration.temperature if manifest.calibration else 1.0
    return check(network, compiled, probes(network, profile), temperature, precision)


def _ordered(folder: Path) -> None:
    from geodistill_core.runtime.ladder import backend

    order = json.loads((folder / _ORDER_NAME).read_text())
    manifest = Manifest.model_validate(order["manifest"])
    network = build_network(manifest.architecture, **manifest.arguments).eval()
    network.load_state_dict(load_file(folder / _WEIGHTS_NAME), strict=True)
    told = order["profile"]
    profile = Profile(**{**told, "ground_px": tuple(told["ground_px"])})
    chosen = backend(order["backend"], say=lambda text: print(text, flush=True))
    build(network, manifest, profile, chosen, order["precision"], folder)


def _end_with_parent() -> None:
    """The parent holds the other end of standard input, and its end is the build's."""
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    """See the module."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    try:
        _ordered(Path(sys.argv[1]))
    except GeodistillError as error:
        print(error, flush=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
