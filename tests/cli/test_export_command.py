# SPDX-License-Identifier: Apache-2.0
"""`geodistill export`: files that pass the gate, and orders that cannot be carried out."""

import json

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def test_export_writes_the_three_calls_and_says_how_far_they_are_from_torch(geodistill, checkpoint, tmp_path):
    ran = geodistill(
        "export", checkpoint, "--to", "onnx", "--tile-extent-m", "64", "-o", tmp_path / "out", "--json", "-"
    )
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert {"encode_map.onnx", "encode_ground.onnx", "match.onnx"} <= set(told["files"])
    assert told["precision"] == "fp32" and told["position_m"] < 0.05 and told["tile_px"] == 256


def test_int8_takes_its_ranges_from_a_recorded_drive(geodistill, checkpoint, drive, tmp_path):
    import onnx

    ran = geodistill(
        "export", checkpoint, "--precision", "int8", "--calibrate", drive.bag, "--tile-extent-m", "64", "-o", tmp_path,
        "--json", "-",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    nodes = {node.op_type for node in onnx.load(tmp_path / "encode_ground.onnx").graph.node}
    assert ("QuantizeLinear" in nodes) == (told["precision"] == "int8")
    assert told["precision"] == "int8" or told["refused"], told


def test_a_drive_with_too_few_images_does_not_calibrate(geodistill, checkpoint, drive, tmp_path, monkeypatch):
    monkeypatch.setattr("geodistill_core.runtime.calibration._LEAST", 100)
    ran = geodistill(
        "export", checkpoint, "--precision", "int8", "--calibrate", drive.bag, "--tile-extent-m", "64", "-o", tmp_path
    )
    assert ran.code == 2 and "at least 100" in ran.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--to", "coreml", "-o", "out"), "coreml"),
        (("--precision", "int4", "-o", "out"), "int4"),
        (("--camera", "fisheye", "-o", "out"), "fisheye"),
        (("--precision", "bf16", "-o", "out"), "fp32, int8"),
        ((), "--build-only"),
        (("-o", "out", "--build-only"), "--build-only"),
    ],
    ids=["target", "precision", "camera", "precision of a back end", "no folder", "folder and cache"],
)
def test_what_cannot_be_exported_is_refused_by_name(geodistill, checkpoint, arguments, told):
    ran = geodistill("export", checkpoint, *arguments)
    assert ran.code == 2 and told in ran.err
