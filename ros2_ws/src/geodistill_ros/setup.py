# SPDX-License-Identifier: Apache-2.0
"""Install the node for colcon (ament_python) and pip alike."""

from setuptools import setup

PACKAGE = "geodistill_ros"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Lifecycle node: camera and noisy GNSS in, pose with covariance on satellite imagery out.",
    license="Apache-2.0",
    packages=[PACKAGE, f"{PACKAGE}.replay"],
    package_data={PACKAGE: ["config/*.xml", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/config", [f"{PACKAGE}/config/fastdds.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    entry_points={"console_scripts": ["localizer = geodistill_ros.node:main"]},
)
