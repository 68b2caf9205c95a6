# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile files are refused with a reason: nothing in them runs, nothing they claim is allocated."""

import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from geodistill_core.errors import CheckpointError
from geodistill_core.models.importing.foreign import open_foreign
from tests.models.importing import hostile

FORTY_GB = 40 << 30


def read_all(path):
    found = open_foreign(path)
    return found.values(found.tensors)


class Touch:
    """Unpickles by creating a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def payload_in_the_archive(path, marker):
    return hostile.with_pickle(path, pickle.dumps({"w": Touch(marker)}, protocol=2))


def payload_of_a_newer_protocol(path, marker):
    return hostile.with_pickle(path, pickle.dumps({"w": Touch(marker)}, protocol=4))


def payload_beside_the_weights(path, marker):
    torch.save({"model_state_dict": hostile.state(), "epoch": Touch(marker)}, path)
    return path


def payload_as_a_plain_pickle(path, marker):
    path.write_bytes(pickle.dumps({"w": Touch(marker)}))
    return path


def payload_in_the_legacy_format(path, marker):
    torch.save({"w": Touch(marker)}, path, _use_new_zipfile_serialization=False)
    return path


def payload_through_eval(path, marker):
    program = hostile.Pickled().named("builtins", "eval").text(f"__import__('os').mkdir({str(marker)!r})").raw(b"\x85R")
    return hostile.with_pickle(path, program.done())


PAYLOADS = [
    payload_in_the_archive,
    payload_of_a_newer_protocol,
    payload_beside_the_weights,
    payload_as_a_plain_pickle,
    payload_in_the_legacy_format,
    payload_through_eval,
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda f: f.__name__)
def test_a_payload_is_refused_and_not_run(tmp_path, payload):
    path, marker = payload(tmp_path / "model.pth", tmp_path / "ran"), tmp_path / "ran"
    with pytest.raises(CheckpointError):
        read_all(path)
    assert not marker.exists()


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda f: f.__name__)
def test_a_payload_that_slips_past_the_look_at_its_pickle_does_not_run_either(tmp_path, payload, monkeypatch):
    monkeypatch.setattr("geodistill_core.models.importing.archive._check_pickle", lambda path, program: None)
    test_a_payload_is_refused_and_not_run(tmp_path, payload)


def test_the_payload_of_these_tests_would_run_if_it_were_unpickled(tmp_path):
    pickle.loads(pickle.dumps(Touch(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def test_a_refused_pickle_is_named_by_what_it_wanted_to_call(tmp_path):
    with pytest.raises(CheckpointError, match=r"posix mkdir.*was not run"):
        open_foreign(payload_in_the_archive(tmp_path / "model.pth", tmp_path / "ran"))


def test_a_legacy_file_is_refused_with_the_way_to_convert_it(tmp_path):
    torch.save(hostile.state(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"torch\.save"):
        open_foreign(tmp_path / "old.pth")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_truncated_file_is_refused(tmp_path, share, suffix):
    path = tmp_path / f"model.{suffix}"
    if suffix == "pth":
        torch.save(hostile.state(), path)
    else:
        save_file(hostile.state(), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CheckpointError):
        read_all(path)


def storage_of_40_gb(path):
    return hostile.with_pickle(path, hostile.tensor_program(FORTY_GB // 4, 0, (FORTY_GB // 4,), (1,)))


def tensor_of_40_gb_in_a_small_storage(path):
    return hostile.with_pickle(path, hostile.tensor_program(12, 0, (FORTY_GB // 4,), (1,)))


def tensor_that_is_dropped_again(path):
    claim = hostile.Pickled().tensor(12, 0, (FORTY_GB // 4,), (1,)).raw(b"0}").text("conv.weight")
    return hostile.with_pickle(path, claim.tensor(12, 0, (3, 4), (4, 1)).raw(b"s").done())


def buffer_of_40_gb(path):
    claim = hostile.Pickled().raw(b"}").text("w").named("builtins", "bytearray").number(FORTY_GB).raw(b"\x85Rs")
    return hostile.with_pickle(path, claim.done())


def zip_entry_of_4_gb(path):
    return hostile.patched_size(hostile.write(path, hostile.entries()), "data/0", (4 << 30) - 2)


def compressed_bomb(path):
    files = hostile.entries()
    files[hostile.root(files) + "data/0"] = bytes(200 << 20)
    return hostile.write(path, files, zipfile.ZIP_DEFLATED)


def directory_of_3_gb(path):
    size = 3 << 30
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, size - 100, 100, 0))
    return path


def safetensors_header_of_40_gb(path):
    path.write_bytes(struct.pack("<Q", FORTY_GB) + b"{" + bytes(100))
    return path


def safetensors_tensor_of_40_gb(path):
    entry = {"dtype": "F32", "shape": [FORTY_GB // 4], "data_offsets": [0, FORTY_GB]}
    header = json.dumps({"conv.weight": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(48))
    return path


def file_of_40_gb(path):
    with hostile.write(path, hostile.entries()).open("r+b") as file:
        file.truncate(FORTY_GB)
    return path


CLAIMS = [
    storage_of_40_gb,
    tensor_of_40_gb_in_a_small_storage,
    tensor_that_is_dropped_again,
    buffer_of_40_gb,
    zip_entry_of_4_gb,
    compressed_bomb,
    directory_of_3_gb,
    safetensors_header_of_40_gb,
    safetensors_tensor_of_40_gb,
    file_of_40_gb,
]

READ_WITHIN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from geodistill_core.errors import CheckpointError
from geodistill_core.models.importing.foreign import open_foreign

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[1:]:
    try:
        found = open_foreign(Path(path))
        found.values(found.tensors)
        print("accepted")
    except CheckpointError as error:
        print("out of memory" if "memory" in str(error) or "allocate" in str(error) else "refused")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_what_a_file_claims_is_refused_within_64_mb(tmp_path):
    files = [str(claim(tmp_path / claim.__name__)) for claim in CLAIMS]
    told = subprocess.run(
        [sys.executable, "-c", READ_WITHIN_LITTLE_MEMORY, *files],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert dict(zip(files, told.stdout.splitlines(), strict=True)) == dict.fromkeys(files, "refused")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda f: f.__name__)
def test_a_file_that_claims_more_than_it_holds_is_refused(tmp_path, claim):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError):
        read_all(claim(tmp_path / "model.pth"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


GEOMETRIES = {
    "a negative offset": (12, -4, (3,), (1,)),
    "a negative stride": (12, 11, (3,), (-1,)),
    "a negative size": (12, 0, (-3,), (1,)),
    "a giant stride": (12, 0, (3,), (1 << 40,)),
    "a reach beyond its storage": (12, 6, (12,), (1,)),
    "a storage of negative size": (-12, 0, (3,), (1,)),
    "a storage that reaches into its neighbours": (40, 0, (40,), (1,)),
    "strides of another rank": (12, 0, (3, 4), (1,)),
}


@pytest.mark.parametrize("what", sorted(GEOMETRIES))
def test_a_tensor_is_refused_that_has(tmp_path, what):
    path = hostile.with_pickle(tmp_path / "model.pth", hostile.tensor_program(*GEOMETRIES[what]))
    with pytest.raises(CheckpointError):
        read_all(path)


OBJECTS = {
    "a nested dict": {"net": hostile.state()},
    "a number": {**hostile.state(), "epoch": 3},
    "a text": {**hostile.state(), "name": "x"},
    "a key that is no text": {3: torch.ones(3)},
    "a sparse tensor": {"w": torch.eye(3).to_sparse()},
    "a list": [torch.ones(3)],
    "nothing": {},
    "a wrapped number": {"model_state_dict": 3},
    "a whole module": torch.nn.Linear(3, 3),
}


@pytest.mark.parametrize("what", sorted(OBJECTS))
def test_what_is_not_a_flat_dict_of_tensors_is_refused(tmp_path, what):
    torch.save(OBJECTS[what], tmp_path / "model.pth")
    with pytest.raises(CheckpointError):
        read_all(tmp_path / "model.pth")


def test_two_entries_of_one_name_are_refused_even_if_only_their_case_differs(tmp_path):
    files = hostile.entries()
    files[hostile.root(files) + "DATA.PKL"] = b"\x80\x02}."
    with pytest.raises(CheckpointError, match="two zip entries"):
        open_foreign(hostile.write(tmp_path / "model.pth", files))


def test_a_torchscript_program_is_refused(tmp_path):
    files = hostile.entries()
    files[hostile.root(files) + "constants.pkl"] = b"\x80\x02)."
    with pytest.raises(CheckpointError, match="TorchScript"):
        open_foreign(hostile.write(tmp_path / "model.pth", files))


def test_an_archive_behind_other_data_is_refused(tmp_path):
    path = hostile.write(tmp_path / "model.pth", hostile.entries())
    path.write_bytes(b"PK\x03\x04" + bytes(26) + path.read_bytes())
    with pytest.raises(CheckpointError):
        open_foreign(path)


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent.pth"):
        with pytest.raises(CheckpointError, match="is not a file"):
            open_foreign(path)
