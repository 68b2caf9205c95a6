# SPDX-License-Identifier: Apache-2.0
"""The manifest of a network that nobody trained."""

from geodistill_core.models.manifest import Manifest, Probe


def manifest_of(name):
    return Manifest(
        name=name,
        architecture="tiny",
        inputs={},
        metres_per_pixel=0.25,
        preprocessing="none",
        training={},
        calibration=None,
        sha256="0" * 64,
        probe=Probe(seed=0, expected=(0.0,) * 8, tolerance=0.1),
        licence="Apache-2.0",
    )
