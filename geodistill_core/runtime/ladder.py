# SPDX-License-Identifier: Apache-2.0
"""Which back end runs a network: the best of those that are there and pass the parity gate, or the one named.

`auto` tries TensorRT, ONNX Runtime, OpenVINO and torch in this order; where torch has a GPU, the back ends of the
processor are left out. On processors that are fast in bf16, OpenVINO, which has them use it, comes before ONNX Runtime.
One that turns out slower than torch on this machine is not taken. What was not taken is told with its reason, wherever
the choice is told.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from geodistill_core.errors import ConfigError, RuntimeBackendError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.manifest import Manifest
from geodistill_core.runtime import device
from geodistill_core.runtime.backend import CALLS, SAFER, Backend, Precision, compile_calls, deployed
from geodistill_core.runtime.build import BUILT_NAME, model_hash, start_build
from geodistill_core.runtime.cache import EngineCache, EngineKey, Say, default_cache_folder
from geodistill_core.runtime.child import BuildStoppedError
from geodistill_core.runtime.network import CompiledNetwork
from geodistill_core.runtime.pace import SLOWEST, times_as_long
from geodistill_core.runtime.profile import Profile

Rung = Literal["tensorrt", "onnxruntime", "openvino", "torch"]
Runtime = Literal["auto", "tensorrt", "onnxruntime", "openvino", "torch"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
PRECISIONS = ("auto", *get_args(Precision))

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """A back end by name, or `auto`; a precision, or `auto`: bf16 on GPUs and for OpenVINO on processors that are fast
    in it, otherwise fp32.

    Engines are kept below `cache` (None: the user's cache folder); a build may take `build_limit_s`.
    """

    runtime: Runtime = "torch"
    precision: Precision | Literal["auto"] = "auto"
    cache: Path | None = None
    build_limit_s: float = 1800.0

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise ConfigError(f"runtime {self.runtime!r} is none of {', '.join(RUNTIMES)}")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision {self.precision!r} is none of {', '.join(PRECISIONS)}")
        if not 1.0 <= self.build_limit_s <= 86400.0:
            raise ConfigError(f"build_limit_s {self.build_limit_s:g} is outside 1..86400 s")

    @staticmethod
    def named(name: str, **others: Any) -> RuntimeOptions:
        """The options that a name such as `openvino` or `openvino:int8` stands for; raises ConfigError for others."""
        runtime, _, precision = name.partition(":")
        return RuntimeOptions(runtime, precision or "auto", **others)  # type: ignore[arg-type]

    @property
    def plain(self) -> bool:
        """Whether the network itself will do: torch on a processor, which nothing is compiled for."""
        return self.runtime == "torch" and self.precision in ("auto", "fp32") and not device.has_gpu()


@dataclass(frozen=True, slots=True)
class Choice:
    """What a network runs on, and why others were not taken: (back end, reason)."""

    runtime: str = "torch"
    precision: str = "fp32"
    device: str = field(default_factory=device.processor)
    refused: tuple[tuple[str, str], ...] = ()

    def facts(self) -> dict[str, str]:
        """For diagnostics and reports."""
        return {
            "runtime": self.runtime,
            "runtime.precision": self.precision,
            "runtime.device": self.device,
            **{f"runtime.not_{name}": why for name, why in self.refused},
        }


@dataclass(frozen=True, slots=True)
class Work:
    """A network to be compiled: what it is, for which shapes, and who hears of it. `stop` ends a build."""

    network: AnyNetwork
    manifest: Manifest
    profile: Profile
    options: RuntimeOptions
    say: Say = log.info
    stop: threading.Event = field(default_factory=threading.Event)


class _Running(NamedTuple):
    """A network, the precision that it computes with, and the precisions that did not pass the gate, with reasons."""

    network: AnyNetwork
    precision: Precision
    refused: Mapping[str, str] = {}


def compiled(work: Work) -> tuple[AnyNetwork, Choice]:
    """The network on a back end, and the choice.

    Raises:
        RuntimeBackendError: the back end that was named cannot be used.
        BuildStoppedError: the work was stopped.
    """
    refused: list[tuple[str, str]] = []
    for rung in order(work.options.runtime):
        try:
            running = _RUNGS[rung](work)
        except BuildStoppedError:
            raise
        except RuntimeBackendError as error:
            if work.options.runtime != "auto" or rung == "torch":
                raise
            work.say(f"{rung} is not taken: {error}")
            refused.append((rung, str(error)))
        else:
            refused += [(f"{rung}.{precision}", why) for precision, why in running.refused.items()]
            return running.network, Choice(rung, running.precision, device.device_name(rung), tuple(refused))
    raise AssertionError("torch is the last rung")


def order(runtime: Runtime) -> tuple[Rung, ...]:
    """The rungs in the order in which they are tried."""
    if runtime != "auto":
        return (runtime,)
    if device.has_gpu():
        return ("tensorrt", "torch")
    if device.fast_in_bf16():
        return ("tensorrt", "openvino", "onnxruntime", "torch")
    return ("tensorrt", "onnxruntime", "openvino", "torch")


def _wanted(work: Work, automatic: Precision) -> Precision:
    return automatic if work.options.precision == "auto" else work.options.precision


def _compiled_by(name: str, work: Work) -> _Running:
    """A network out of the cache, built if need be."""
    chosen = backend(name)
    precision = _wanted(work, "bf16" if "bf16" in chosen.precisions else "fp32")
    if precision not in chosen.precisions:
        raise RuntimeBackendError(f"{name} has {', '.join(chosen.precisions)}, not {precision} here; name one of these")
    options = work.options
    key = EngineKey(
        model_hash(work.network, work.manifest),
        work.profile.key(),
        name,
        precision,
        device.device_name(name),
        device.versions(name),
    )
    build = partial(start_build, work.network, work.manifest, work.profile, name, precision)
    running = EngineCache(options.cache or default_cache_folder(), work.say).get(
        key,
        partial(build, limit_s=options.build_limit_s, say=work.say, stop=work.stop),
        partial(_loaded, chosen, work),
    )
    if options.runtime == "auto" and chosen.on_processor:
        _check_pace(name, work, running)
    return running


def _check_pace(name: str, work: Work, running: _Running) -> None:
    ratio = times_as_long(work.network, running.network, work.profile)
    if ratio > SLOWEST:
        raise RuntimeBackendError(
            f"{name} in {running.precision} takes {ratio:.1f} times as long as torch on this processor (limit "
            f"{SLOWEST:g}); name it to have it all the same"
        )


def _loaded(chosen: Backend, work: Work, folder: Path) -> _Running:
    try:
        built = json.loads((folder / BUILT_NAME).read_text())
        precision, refused = built["precision"], dict(built["refused"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RuntimeBackendError(f"{folder / BUILT_NAME} cannot be read: {error}") from error
    calls = compile_calls(work.network, chosen, {call: folder / f"{call}.onnx" for call in CALLS}, precision)
    fallback = work.options.runtime == "auto"
    return _Running(CompiledNetwork(work.network, work.profile, calls, eager_fallback=fallback), precision, refused)


def backend(name: str, say: Say = lambda text: None) -> Backend:
    """A back end that reads ONNX files, by name.

    Raises:
        RuntimeBackendError: its library or its device is not there.
    """
    if name == "tensorrt":
        from geodistill_core.runtime.tensorrt_backend import TensorRTBackend

        found = TensorRTBackend(say=say)
        if not device.has_gpu():
            raise RuntimeBackendError("torch finds no CUDA device for TensorRT; check the driver and torch's build")
        return found
    if name == "onnxruntime":
        from geodistill_core.runtime.onnxruntime_backend import OnnxRuntimeBackend

        deployed("onnxruntime")
        return OnnxRuntimeBackend()
    from geodistill_core.runtime.openvino_backend import OpenVinoBackend

    deployed("openvino")
    return OpenVinoBackend()


def _torch(work: Work) -> _Running:
    """Torch itself: the network as it is on a processor, captured graphs on a GPU."""
    precision = _wanted(work, "bf16" if device.has_gpu() else "fp32")
    if not device.has_gpu():
        if precision != "fp32":
            raise RuntimeBackendError(f"torch computes in fp32 on processors, not in {precision}; name fp32 or auto")
        return _Running(work.network, precision)
    from geodistill_core.runtime.build import gate
    from geodistill_core.runtime.torch_backend import captured_calls

    refused: dict[str, str] = {}
    tried: Precision | None = precision
    while tried is not None:
        calls = captured_calls(work.network, work.profile, tried)
        fallback = work.options.runtime == "auto"
        network = CompiledNetwork(work.network, work.profile, calls, eager_fallback=fallback)
        parity = gate(work.network, network, work.manifest, work.profile)
        if parity.holds:
            return _Running(network, tried, refused)
        refused[tried] = str(parity)
        tried = SAFER.get(tried)
    differences = "; ".join(f"{precision}: {why}" for precision, why in refused.items())
    raise RuntimeBackendError(f"torch on {device.device_name('torch')} differs from the processor: {differences}")


_RUNGS: Mapping[Rung, Callable[[Work], _Running]] = {
    "tensorrt": partial(_compiled_by, "tensorrt"),
    "onnxruntime": partial(_compiled_by, "onnxruntime"),
    "openvino": partial(_compiled_by, "openvino"),
    "torch": _torch,
}
