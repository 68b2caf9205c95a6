# SPDX-License-Identifier: Apache-2.0
"""What the doctor looks at. ROS is not imported: its wheels restart the interpreter on import."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from geodistill_core import __version__
from geodistill_core.errors import GeodistillError
from geodistill_core.evaluation.ros import MESSAGES_AND_CLIENT, NODE, missing_ros

State = Literal["ok", "absent", "broken"]
CORE_MODULES = {
    "torch": "torch",
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "pyproj": "pyproj",
    "rasterio": "rasterio",
    "numba": "numba",
    "rosbags": "rosbags",
    "mcap": "mcap",
    "safetensors": "safetensors",
}
# Fast DDS 3 (Kilted and later) reads the first, Fast DDS 2 (Jazzy) the second.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
LOW_DISK_GB = 2.0
INSTALL_ROS = 'pip install "geodistill[ros]", or source the setup file of an installed ROS 2'


@dataclass(frozen=True, slots=True)
class Check:
    """One line; `core` parts must work, others may be absent; no `remedy` where nothing need be done."""

    name: str
    state: State
    detail: str
    remedy: str = ""
    core: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def all_checks() -> list[Check]:
    """Every check, core first."""
    makers: tuple[Callable[[], Check], ...] = (
        check_package,
        check_machine,
        check_disk,
        check_libraries,
        check_torch,
        check_checkpoints,
        check_training,
        check_ros,
        check_node,
        check_transforms,
        check_profile,
    )
    return [make() for make in makers]


def check_package() -> Check:
    """This package and the interpreter."""
    return Check("geodistill", "ok", f"{__version__} on Python {platform.python_version()}", core=True)


def check_machine() -> Check:
    """Cores and memory."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Check("machine", "ok", f"{platform.machine()}, {os.cpu_count()} cores, {memory_gb:.0f} GB memory")


def check_disk() -> Check:
    """Free space where drives and reports are written."""
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    low = free_gb < LOW_DISK_GB
    remedy = f"under {LOW_DISK_GB:.0f} GB are free here; drives and reports need room" if low else ""
    return Check("disk", "broken" if low else "ok", f"{free_gb:.1f} GB free here", remedy)


def check_libraries() -> Check:
    """The libraries of the core, by version."""
    missing = [name for name in CORE_MODULES if find_spec(name) is None]
    if missing:
        remedy = f"pip install {' '.join(CORE_MODULES[name] for name in missing)}"
        return Check("libraries", "broken", f"missing {', '.join(missing)}", remedy, core=True)
    found = ", ".join(f"{name} {_version(package)}" for name, package in CORE_MODULES.items())
    return Check("libraries", "ok", found, core=True)


def check_torch() -> Check:
    """The back end that runs the network."""
    try:
        import torch
    except (ImportError, OSError) as error:
        remedy = "install torch anew; on machines without a GPU its CPU build is enough"
        return Check("torch", "broken", str(error), remedy, core=True)
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    return Check("torch", "ok", f"{device}, {torch.get_num_threads()} threads", core=True)


def check_checkpoints() -> Check:
    """Every checkpoint inside the package, verified by hash and probe."""
    from geodistill_core.models.checkpoint import load_checkpoint, shipped_checkpoints

    names = shipped_checkpoints()
    if not names:
        remedy = "install the package anew, or give a checkpoint folder with --model"
        return Check("checkpoints", "absent", "none inside the package", remedy)
    for name in names:
        try:
            load_checkpoint(name)
        except GeodistillError as error:
            return Check("checkpoints", "broken", str(error), "install the package anew", core=True)
    return Check("checkpoints", "ok", f"{', '.join(names)} verified", core=True)


def check_training() -> Check:
    """The trainer's verbs."""
    found = find_spec("geodistill_training") is not None
    return Check("training", "ok" if found else "absent", "geodistill train" if found else "not installed")


def check_ros() -> Check:
    """ROS 2 for Python and the messages that the node uses."""
    missing = missing_ros(MESSAGES_AND_CLIENT)
    if missing:
        return Check("ROS 2", "absent", f"missing {', '.join(missing)}", f"for demo and node: {INSTALL_ROS}")
    distribution = os.environ.get("ROS_DISTRO") or f"rclpy {_version('rclpy')} from wheels"
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    return Check("ROS 2", "ok", f"{distribution}, domain {domain}")


def check_node() -> Check:
    """The node's package."""
    if not missing_ros((NODE,)):
        return Check("node", "ok", NODE)
    remedy = "pip install ./ros2_ws/src/geodistill_ros, or build it with colcon"
    return Check("node", "absent", f"{NODE} is not installed", remedy)


def check_transforms() -> Check:
    """tf2, which only an installed ROS has."""
    if find_spec("tf2_ros") is not None:
        return Check("tf2", "ok", "tf2_ros")
    return Check("tf2", "absent", "no wheels exist; the camera mount comes from parameters instead")


def check_profile() -> Check:
    """The Fast DDS profile without which large best-effort images are lost."""
    name = "Fast DDS profile"
    variable = next((v for v in PROFILE_VARIABLES if os.environ.get(v)), None)
    if variable is None:
        remedy = (
            "raw images are lost over DDS without one; the launch files and live replay set it. For other "
            f"processes export {PROFILE_VARIABLES[0]} (see the README)"
        )
        return Check(name, "absent", "not set in this shell", remedy)
    path = os.environ[variable]
    if not Path(path).is_file():
        return Check(name, "broken", f"{path} does not exist", f"correct {variable}")
    return Check(name, "ok", path)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(version unknown)"
