# SPDX-License-Identifier: Apache-2.0
"""Checkpoint files as an attacker, an accident or another habit of saving would make them."""

from __future__ import annotations

import io
import struct
import zipfile

import torch


def state():
    """A small honest state dict."""
    return {"conv.weight": torch.arange(12.0).reshape(3, 4), "conv.bias": torch.ones(3), "bn.steps": torch.tensor(5)}


def entries(obj=None):
    """The zip entries that torch.save writes."""
    buffer = io.BytesIO()
    torch.save(state() if obj is None else obj, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, files, compression=zipfile.ZIP_STORED):
    """A zip of these entries."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def root(files):
    return next(name for name in files if name.endswith("/data.pkl")).removesuffix("data.pkl")


def with_pickle(path, program, obj=None):
    """An honest archive whose pickle is replaced."""
    files = entries(obj)
    files[root(files) + "data.pkl"] = program
    return write(path, files)


def patched_size(path, entry_name, size):
    """The central directory claims another (32-bit) size of an entry, both stored and unpacked."""
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    while True:
        name_length, extra_length, comment_length = struct.unpack_from("<3H", data, at + 28)
        name = bytes(data[at + 46 : at + 46 + name_length]).decode()
        if name.endswith(entry_name):
            struct.pack_into("<2L", data, at + 20, size, size)
            path.write_bytes(data)
            return path
        at += 46 + name_length + extra_length + comment_length


class Pickled:
    """Opcodes of protocol 2, one method each, to write what no honest pickler writes."""

    def __init__(self):
        self.program = bytearray(b"\x80\x02")

    def named(self, module, name):
        self.program += f"c{module}\n{name}\n".encode()
        return self

    def text(self, value):
        data = value.encode()
        self.program += b"X" + struct.pack("<I", len(data)) + data
        return self

    def number(self, value):
        data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
        self.program += b"\x8a" + bytes([len(data)]) + data
        return self

    def raw(self, opcodes):
        self.program += opcodes
        return self

    def tensor(self, numel, offset, size, stride, storage="FloatStorage", key="0"):
        """A tensor over the storage `key` that claims `numel` elements."""
        self.named("torch._utils", "_rebuild_tensor_v2").raw(b"((").text("storage").named("torch", storage).text(key)
        self.text("cpu").number(numel).raw(b"tQ").number(offset)
        for numbers in (size, stride):
            self.raw(b"(")
            for value in numbers:
                self.number(value)
            self.raw(b"t")
        return self.raw(b"\x89").named("collections", "OrderedDict").raw(b")RtR")

    def done(self):
        return bytes(self.program) + b"."


def tensor_program(*claims, **keywords):
    """A pickle of {"conv.weight": one tensor that claims this}."""
    pickled = Pickled().raw(b"}").text("conv.weight").tensor(*claims, **keywords)
    return pickled.raw(b"s").done()
