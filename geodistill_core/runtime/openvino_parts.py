# SPDX-License-Identifier: Apache-2.0
"""A graph in two parts, so that what rounding harms most may be computed more precisely than the rest.

The second part holds the last convolutions, which write features, and what normalises their inputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

RESULT = "/sink_port_0"
"""What follows an output's name in a model's results."""
_COMPUTING = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"}


def in_parts(openvino: Any, onnx: Path) -> tuple[Any, Any] | None:
    """The models up to the last convolutions' inputs and from there on; None where either would repeat the whole.

    The second has the inputs of the whole, and further ones that are named as the first's outputs.
    """
    first, second = (openvino.Core().read_model(str(onnx)) for _ in range(2))
    operations = second.get_ordered_ops()
    last = _last(operations)
    cuts = list({name: None for name in (_origin(convolution, operations) for convolution in last)})
    by_name = {operation.get_friendly_name(): operation for operation in operations}
    for name in cuts:
        _cut(openvino, second, by_name[name], name)
    before, left = _computing(operations), _computing(second.get_ordered_ops())
    if not cuts or len(before) == len(last) or len(left) > len(last):
        return None
    by_name = {operation.get_friendly_name(): operation for operation in first.get_ordered_ops()}
    results = [openvino.opset8.result(by_name[name].output(0)) for name in cuts]
    for result, name in zip(results, cuts, strict=True):
        result.set_friendly_name(name + RESULT)
    return openvino.Model(results, first.get_parameters(), "first"), second


def _computing(operations: list[Any]) -> list[Any]:
    return [operation for operation in operations if operation.get_type_name() in _COMPUTING]


def _cut(openvino: Any, model: Any, operation: Any, name: str) -> None:
    """Make an operation's result an input of the model."""
    result = operation.output(0)
    given = openvino.opset8.parameter(list(result.shape), np.float32, name=name)
    for reader in list(result.get_target_inputs()):
        reader.replace_source_output(given.output(0))
    model.add_parameters([given])


def _last(operations: list[Any]) -> list[Any]:
    """The convolutions and products whose results go into no other."""
    followed: set[str] = set()
    for operation in reversed(operations):
        readers = [reader.get_node() for output in operation.outputs() for reader in output.get_target_inputs()]
        if any(x.get_type_name() in _COMPUTING or x.get_friendly_name() in followed for x in readers):
            followed.add(operation.get_friendly_name())
    return [x for x in _computing(operations) if x.get_friendly_name() not in followed]


def _origin(convolution: Any, operations: list[Any]) -> str:
    """The name of the one result that a convolution's input is made from without other convolutions.

    Of several on the way to it the first, so that all between is computed with the convolution.
    """
    place = {operation.get_friendly_name(): number for number, operation in enumerate(operations)}
    fixed = _fixed(operations)
    origin = convolution.input_value(0).get_node().get_friendly_name()
    read = {origin}
    while True:
        latest = operations[max(place[name] for name in read)]
        if len(read) == 1:
            (origin,) = read
        if latest.get_type_name() in {*_COMPUTING, "Parameter"}:
            return str(origin)
        sources = {value.get_node().get_friendly_name() for value in latest.input_values()}
        read = (read - {latest.get_friendly_name()}) | (sources - fixed)


def _fixed(operations: list[Any]) -> set[str]:
    """Names of what no input changes."""
    fixed: set[str] = set()
    for operation in operations:
        sources = {value.get_node().get_friendly_name() for value in operation.input_values()}
        if operation.get_type_name() == "Constant" or (sources and sources <= fixed):
            fixed.add(operation.get_friendly_name())
    return fixed
