# SPDX-License-Identifier: Apache-2.0
"""The encoders in int8 by post-training calibration; the match, and what lies between convolutions, keeps fp32.

So do the first convolution, which reads pixels, and the last, which writes features: there rounding costs most.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geodistill_core.runtime.backend import CallName, deployed
from geodistill_core.runtime.calibration import Frame
from geodistill_core.runtime.network import tensors_of

_ENCODERS: tuple[CallName, ...] = ("encode_map", "encode_ground")


def quantize(paths: Mapping[CallName, Path], frames: Iterable[Frame], *, symmetric: bool) -> None:
    """Replace the encoders' ONNX files by such with int8 convolutions (per channel), their ranges taken from frames.

    `symmetric` activations have no zero point, as TensorRT wants them; processors compute unsigned ones, and
    OpenVINO computes signed ones wrongly.

    Raises:
        RuntimeBackendError: ONNX Runtime, which quantises, is not installed.
    """
    deployed("onnxruntime")
    seen = list(frames)
    for call in _ENCODERS:
        sources = [tiles if call == "encode_map" else ground for ground, tiles in seen]
        feeds = [{name: tensor.numpy() for name, tensor in tensors_of(source).items()} for source in sources]
        _quantize(paths[call], feeds, symmetric)


def _quantize(path: Path, feeds: list[dict[str, np.ndarray]], symmetric: bool) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, _quiet():
        prepared = Path(scratch) / path.name
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(path),
            _reader(prepared, feeds),
            nodes_to_exclude=_outermost(prepared),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True},
        )


def _outermost(path: Path) -> list[str]:
    import onnx

    convolutions = [node.name for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    return [convolutions[0], convolutions[-1]]


def _reader(path: Path, feeds: list[dict[str, np.ndarray]]) -> Any:
    """The frames as the quantiser asks for them: one by one, inputs of the graph only."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader

    names = [value.name for value in onnx.load(path, load_external_data=False).graph.input]

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        def __init__(self) -> None:
            self.left = iter(feeds)

        def get_next(self) -> dict[str, np.ndarray] | None:
            feed = next(self.left, None)
            return None if feed is None else {name: feed[name] for name in names}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises of what has been done already."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
