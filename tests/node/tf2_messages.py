# SPDX-License-Identifier: Apache-2.0
"""The real tf2_msgs/TFMessage where no wheel has it: generated and compiled by the wheels' own generators."""

import importlib
import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

MODULE = "tf2_msgs_s__rosidl_typesupport_c.so"
LIBRARIES = ("rosidl_generator_c", "rosidl_typesupport_c", "rosidl_typesupport_fastrtps_c", "rosidl_generator_py")
USED = ("geometry_msgs", "std_msgs", "builtin_interfaces")
RUNTIME = (
    *("rosidl_runtime_c", "rosidl_typesupport_c", "rosidl_typesupport_fastrtps_c", "rosidl_typesupport_fastrtps_cpp"),
    *("rcutils", "fastcdr"),
)


def have_tf2_messages(folder):
    """Make `tf2_msgs.msg` importable; skips the test where it can be neither imported nor built."""
    if importlib.util.find_spec("tf2_msgs") is not None:
        return
    prefix = Path(importlib.util.find_spec("geometry_msgs").origin).parents[4]
    if not (prefix / "include" / "geometry_msgs").is_dir():
        pytest.skip("neither tf2_msgs nor the headers to build it are installed")
    build(folder, prefix)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def build(folder, prefix):
    package = folder / "tf2_msgs"
    (package / "msg").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "msg" / "TFMessage.msg").write_text("geometry_msgs/TransformStamped[] transforms\n")
    environment = os.environ | {"AMENT_PREFIX_PATH": str(prefix)}
    command = [sys.executable, __file__, str(package), str(prefix)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    flags = ["-fPIC", f"-I{folder}", f"-I{package}", f"-I{prefix / 'include'}", f"-I{sysconfig.get_path('include')}"]
    flags += [f"-I{importlib.import_module('numpy').get_include()}"]
    flags += [f"-I{path}" for path in (prefix / "include").iterdir() if path.is_dir()]
    objects = []
    for source in (*package.rglob("*.c"), *package.rglob("*.cpp")):
        objects.append(f"{source}.o")
        compiler = ["g++", "-std=c++17"] if source.suffix == ".cpp" else ["gcc"]
        subprocess.run([*compiler, *flags, "-c", str(source), "-o", objects[-1]], check=True)
    linked = [f"-l{name}__{kind}" for name in USED for kind in LIBRARIES] + [f"-l{name}" for name in RUNTIME]
    library = prefix / "lib"
    where = [f"-L{library}", f"-Wl,-rpath,{library}"]
    subprocess.run(["g++", "-shared", "-o", str(package / MODULE), *objects, *where, *linked], check=True)


def generate(package, prefix):
    from rosidl_adapter.msg import convert_msg_to_idl
    from rosidl_generator_c.cli import GenerateC
    from rosidl_generator_py.cli import GeneratePython
    from rosidl_typesupport_c.cli import GenerateCTypesupport
    from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport

    convert_msg_to_idl(package, "tf2_msgs", Path("msg/TFMessage.msg"), package / "msg")
    typesupport = {"typesupport_implementations": ["rosidl_typesupport_fastrtps_c"]}
    for generator in (
        GenerateC("c"),
        GenerateFastRTPSCTypesupport("fastrtps_c"),
        GenerateCTypesupport("c", **typesupport),
        GeneratePython("py", typesupport_implementations=["rosidl_typesupport_c"]),
    ):
        generator.generate("tf2_msgs", [f"{package}:msg/TFMessage.idl"], [str(prefix / "share")], output_path=package)


if __name__ == "__main__":
    generate(*map(Path, sys.argv[1:]))
