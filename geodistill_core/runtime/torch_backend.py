# SPDX-License-Identifier: Apache-2.0
"""Torch itself on a CUDA device: each call captured once as a CUDA graph, inputs through pinned memory.

A graph replays hundreds of kernels with one launch. Convolutions and products of the encoders may compute in a lower
precision by autocast; the match keeps fp32, its sums would not bear less.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.runtime.backend import CallName, CompiledCall, Named, Precision
from geodistill_core.runtime.calls import Call, calls_of
from geodistill_core.runtime.device_call import DeviceCall
from geodistill_core.runtime.profile import Profile

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
_WARM_UPS = 3
_LOW: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def captured_calls(
    network: AnyNetwork, profile: Profile, precision: Precision, device: str = "cuda"
) -> dict[CallName, CompiledCall]:
    """The network's calls on a device, which keeps a copy of its weights; on the CPU without graphs, for tests.

    Raises:
        RuntimeBackendError: the precision is none of torch's, or the device ran out of memory or failed.
    """
    if precision not in PRECISIONS:
        raise RuntimeBackendError(f"torch computes in {', '.join(PRECISIONS)}, not in {precision}; name another")
    try:
        twin = copy.deepcopy(network)
        calls = calls_of(twin, profile)
        shapes = {call.name: _output_shapes(call) for call in calls}
        twin.to(device)  # the calls with it; the network at hand stays where it is
        return {call.name: _captured(call, shapes[call.name], precision, torch.device(device)) for call in calls}
    except RuntimeError as error:
        raise RuntimeBackendError(f"torch cannot run the network on {device}: {error}") from error


def _output_shapes(call: Call) -> dict[str, tuple[int, ...]]:
    with torch.no_grad():
        answers = call.module(*call.inputs.values())
    return {name: tuple(answer.shape) for name, answer in zip(call.outputs, answers, strict=True)}


def _captured(
    call: Call, outputs: Mapping[str, tuple[int, ...]], precision: Precision, device: torch.device
) -> CompiledCall:
    low = None if call.name == "match" else _LOW.get(precision)
    return DeviceCall(
        {name: tuple(tensor.shape) for name, tensor in call.inputs.items()},
        outputs,
        lambda buffers, stream: _replay(call, buffers, low, device),
        device=device,
        to_host=call.name == "match",
    )


def _replay(call: Call, buffers: Named, low: torch.dtype | None, device: torch.device) -> Callable[[], None]:
    def compute() -> None:
        with torch.inference_mode(), _autocast(device, low):
            answers: tuple[Tensor, ...] = call.module(*(buffers[name] for name in call.inputs))
            for name, answer in zip(call.outputs, answers, strict=True):
                buffers[name].copy_(answer)

    if device.type != "cuda":
        return compute
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            compute()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    # other threads may use the device meanwhile
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        compute()
    return graph.replay


def _autocast(device: torch.device, low: torch.dtype | None) -> AbstractContextManager[object]:
    return nullcontext() if low is None else torch.autocast(device.type, low)
