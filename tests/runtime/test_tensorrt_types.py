# SPDX-License-Identifier: Apache-2.0
"""The TensorRT back end against the type stubs of its Python API, which tell calls that do not exist."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIGURATION = """
[mypy]
strict = True
warn_unused_ignores = False
python_version = 3.11
explicit_package_bases = True
[mypy-tensorrt.*,tensorrt_bindings.*]
ignore_errors = True
[mypy-tensorrt_libs.*,tensorrt_stubs.*]
ignore_missing_imports = True
[mypy-onnx.*]
follow_imports = skip
"""
# What the stubs' generator wrote and Python does not read: a parameter named `in`, a default before none.
REPAIRS = ((" in: ", " in_: "), ("channel_axis: int) ->", "channel_axis: int = ...) ->"))


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Run mypy over a file, with the stubs at hand."""
    try:
        files = metadata.files("tensorrt-stubs")
    except metadata.PackageNotFoundError:
        pytest.skip("tensorrt-stubs is not installed (pip install --no-deps tensorrt-stubs)")
    folder = tmp_path_factory.mktemp("stubs")
    for file in files:
        if file.suffix == ".pyi":
            text = file.read_text(encoding="utf-8")
            for written, meant in REPAIRS:
                text = text.replace(written, meant)
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
    (folder / "mypy.ini").write_text(CONFIGURATION)

    def check(path):
        options = [
            "--config-file",
            folder / "mypy.ini",
            "--cache-dir",
            folder / "cache",
            "--no-error-summary",
            "--follow-imports=silent",
        ]
        environment = {"MYPYPATH": f"{folder}:{ROOT}", "PATH": ""}
        command = [sys.executable, "-m", "mypy", *options, path]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stdout

    return check


@pytest.mark.timeout(600)
def test_the_back_end_calls_what_tensorrt_offers_with_the_types_it_takes(checked):
    assert checked(ROOT / "geodistill_core/runtime/tensorrt_backend.py") == ""


@pytest.mark.timeout(600)
def test_a_call_that_tensorrt_does_not_offer_is_found(checked, tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import tensorrt as trt\n\ntrt.Builder(trt.Logger()).create_netwrk()\n")
    assert 'has no attribute "create_netwrk"' in checked(wrong)
