# SPDX-License-Identifier: Apache-2.0
"""A network as ONNX files, one for each call, that every back end reads."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.runtime.backend import CallName, deployed
from geodistill_core.runtime.calls import Call, calls_of
from geodistill_core.runtime.lint import OPSET, lint
from geodistill_core.runtime.profile import Profile


def export_onnx(network: AnyNetwork, profile: Profile, folder: Path) -> dict[CallName, Path]:
    """Write encode_map.onnx, encode_ground.onnx and match.onnx into a folder, with static shapes.

    Raises:
        RuntimeBackendError: the exporter is not installed or failed, or a graph holds what TensorRT gets wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {call.name: _write(call, folder / f"{call.name}.onnx") for call in calls_of(network.eval(), profile)}


def _write(call: Call, path: Path) -> Path:
    program = _program(call)
    if problems := lint(program.model_proto):
        raise RuntimeBackendError(
            f"{call.name} cannot be exported: "
            + "; ".join(problems)
            + "; give the network a portable form without them"
        )
    program.save(str(path), external_data=None)
    return path


def _program(call: Call) -> Any:
    for library in ("onnx", "onnxscript"):
        deployed(library)
    with torch.no_grad(), _quiet():
        try:
            program = torch.onnx.export(
                call.module,
                tuple(call.inputs.values()),
                input_names=list(call.inputs),
                output_names=list(call.outputs),
                opset_version=OPSET,
                custom_translation_table={torch.ops.prims.hypot.default: _hypot},
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise RuntimeBackendError(f"{call.name} cannot be exported: {error}") from error
    assert program is not None
    return program


def _hypot(x: Any, y: Any) -> Any:
    from onnxscript import opset18 as op

    return op.Sqrt(op.Add(op.Mul(x, x), op.Mul(y, y)))


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of its own deprecations and versions; its errors are raised all the same."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
