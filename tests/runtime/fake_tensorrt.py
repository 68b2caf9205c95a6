# SPDX-License-Identifier: Apache-2.0
"""A module `tensorrt` for machines without one: the calls of versions 10 and 11 that the back end makes, recorded.

What it builds is the ONNX file itself, which ONNX Runtime computes at the memory addresses that it was told.
"""

import ctypes
import enum
import types

import numpy as np
import onnx
import onnxruntime

MAGIC = b"plan "


def fake_tensorrt(version="10.13.0.35", *, refuses=None):
    """The module; `calls` lists what was called on it. `refuses` names a call that fails."""
    trt = types.ModuleType("tensorrt")
    trt.__version__, trt.calls = version, []

    class Severity(enum.IntEnum):
        INTERNAL_ERROR, ERROR, WARNING, INFO = range(4)

    class Logger:
        def __init__(self):
            pass

    Logger.Severity = Severity

    class Monitor:
        def __init__(self):
            pass

    Flag = enum.IntEnum("Flag", {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1} if version.startswith("10") else {"X": 3})

    class ParserError:
        def desc(self):
            return "no importer for operator Fft"

    class Config:
        progress_monitor = None

        def set_memory_pool_limit(self, pool, size):
            trt.calls.append(f"workspace {size}")

        def clear_flag(self, flag):
            trt.calls.append(f"clear {flag}")

    class Network:
        model = None

    class Builder:
        def __init__(self, logger):
            self.logger = logger

        def create_network(self, flags=0):
            trt.calls.append(f"create_network {flags}")
            return Network()

        def create_builder_config(self):
            return Config()

        def build_serialized_network(self, network, config):
            trt.calls.append("build")
            config.progress_monitor.phase_start("tactics", None, 2)
            assert config.progress_monitor.step_complete("tactics", 0)
            config.progress_monitor.phase_finish("tactics")
            if refuses == "build":
                self.logger.log(Severity.WARNING, "slow")
                self.logger.log(Severity.ERROR, "out of device memory")
                return None
            return memoryview(MAGIC + network.model)

    class Parser:
        num_errors = 1

        def __init__(self, network, logger):
            self.network = network

        def parse(self, model):
            self.network.model = bytes(model)
            return refuses != "parse"

        def get_error(self, index):
            return ParserError()

    class Context:
        def __init__(self, session):
            self.session, self.address = session, {}

        def set_tensor_address(self, name, memory):
            self.address[name] = memory
            return refuses != "address"

        def execute_async_v3(self, stream):
            trt.calls.append(f"execute on {stream}")
            at = {value.name: self._at(value) for value in [*self.session.get_inputs(), *self.session.get_outputs()]}
            given = {value.name: at[value.name] for value in self.session.get_inputs()}
            for value, found in zip(self.session.get_outputs(), self.session.run(None, given), strict=True):
                at[value.name][...] = found
            return refuses != "execute"

        def _at(self, value):
            floats = ctypes.cast(self.address[value.name], ctypes.POINTER(ctypes.c_float))
            return np.ctypeslib.as_array(floats, value.shape)

    class Engine:
        def __init__(self, model):
            self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
            self.inputs = {value.name: value for value in self.session.get_inputs()}
            self.values = {**self.inputs, **{value.name: value for value in self.session.get_outputs()}}
            self.num_io_tensors = len(self.values)

        def get_tensor_name(self, index):
            return list(self.values)[index]

        def get_tensor_shape(self, name):
            return self.values[name].shape

        def get_tensor_mode(self, name):
            return "input" if name in self.inputs else "output"

        def get_tensor_dtype(self, name):
            return self.values[name].type

        def create_execution_context(self):
            return Context(self.session)

    class Runtime:
        def __init__(self, logger):
            self.logger = logger

        def deserialize_cuda_engine(self, plan):
            trt.calls.append("deserialize")
            if not plan.startswith(MAGIC):
                self.logger.log(Severity.ERROR, "magic tag does not match")
                return None
            onnx.load_from_string(plan[len(MAGIC) :])
            return Engine(plan[len(MAGIC) :])

    trt.ILogger, trt.IProgressMonitor, trt.NetworkDefinitionCreationFlag = Logger, Monitor, Flag
    trt.Builder, trt.OnnxParser, trt.Runtime = Builder, Parser, Runtime
    trt.MemoryPoolType = types.SimpleNamespace(WORKSPACE="workspace")
    trt.BuilderFlag = types.SimpleNamespace(TF32="TF32")  # what both versions have
    trt.TensorIOMode = types.SimpleNamespace(INPUT="input")
    trt.DataType = types.SimpleNamespace(FLOAT="tensor(float)")
    return trt
