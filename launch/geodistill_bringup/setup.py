# SPDX-License-Identifier: Apache-2.0
"""Install launch files, parameters and layouts; there is no Python in this package."""

from glob import glob

from setuptools import setup

PACKAGE = "geodistill_bringup"
FOLDERS = ("launch", "config", "security", "rviz", "foxglove")

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Launch files, parameters, RViz and Foxglove layouts for geodistill_ros.",
    license="Apache-2.0",
    packages=[],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *((f"share/{PACKAGE}/{folder}", glob(f"{folder}/*")) for folder in FOLDERS),
    ],
    zip_safe=False,
)
