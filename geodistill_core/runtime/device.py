# SPDX-License-Identifier: Apache-2.0
"""What a compiled network depends on beside the network: the device, its driver, and the libraries."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib import metadata
from pathlib import Path

import torch

PACKAGE = Path(__file__).resolve().parent.parent
_DRIVER_FILES = (Path("/proc/driver/nvidia/version"), Path("/etc/nv_tegra_release"))
_CPUINFO = Path("/proc/cpuinfo")
_FAST_BF16 = {"amx_bf16", "bf16"}
_DISTRIBUTIONS = {
    "tensorrt": ("tensorrt", "onnx"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "onnx"),
    "torch": (),
}


def has_gpu() -> bool:
    """Whether torch finds a CUDA device."""
    return torch.cuda.is_available()


def processor() -> str:
    """The CPU's name."""
    return _of_processor("model name") or platform.machine()


def fast_in_bf16() -> bool:
    """Whether the CPU multiplies faster in bf16 than in fp32: Intel's vectors take longer for it, AMD's do not."""
    features = {*_of_processor("flags").split(), *_of_processor("Features").split()}
    by_vectors = "avx512_bf16" in features and _of_processor("vendor_id") == "AuthenticAMD"
    return by_vectors or not _FAST_BF16.isdisjoint(features)


def _of_processor(field: str) -> str:
    """What Linux tells of the first CPU; nothing elsewhere."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def device_name(runtime: str) -> str:
    """What a rung of the ladder computes on, by name; GPUs with their compute capability."""
    if runtime == "tensorrt" or (runtime == "torch" and has_gpu()):
        major, minor = torch.cuda.get_device_capability()
        return f"{torch.cuda.get_device_name()} ({major}.{minor})"
    return processor()


def versions(runtime: str) -> tuple[tuple[str, str], ...]:
    """(name, version) of the libraries that a build passes through, of the driver, and of this package's networks."""
    found = {name: _version(name) for name in ("geodistill", "torch", *_DISTRIBUTIONS[runtime])}
    if runtime == "tensorrt":
        found["driver"] = _driver()
        found["cuda"] = str(torch.version.cuda)
    return (*sorted(found.items()), ("networks", _sources()))


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # a module without one, as on a Jetson
        return "unknown"


def _driver() -> str:
    """The driver's version, of the kernel's module where that tells."""
    for path in _DRIVER_FILES:
        if path.is_file():
            return path.read_text(encoding="utf-8", errors="replace").splitlines()[0].strip()
    return "unknown"


@functools.cache
def _sources() -> str:
    """A hash of the code that makes graphs: a changed network is another network, whatever version it says."""
    digest = hashlib.sha256()
    for path in sorted([*(PACKAGE / "models").rglob("*.py"), *(PACKAGE / "runtime").rglob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
