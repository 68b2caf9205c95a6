# SPDX-License-Identifier: Apache-2.0
"""What is known of a mounting, in the units and names of the node's parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Axis:
    """One number of the mounting: its name, its parameter, how to print it, and from which error on it is a finding."""

    name: str
    parameter: str
    unit: str
    decimals: int
    tolerance: float

    def text(self, value: float) -> str:
        """The value, in the axis' unit."""
        return f"{value:.{self.decimals}f} {self.unit}"


AXES = (
    Axis("height", "mount_z_m", "m", 2, 0.03),
    Axis("pitch", "mount_pitch_deg", "deg", 1, 0.5),
    Axis("roll", "mount_roll_deg", "deg", 1, 0.5),
    Axis("yaw", "mount_yaw_deg", "deg", 1, 1.0),
)
"""The height's tolerance is a share of it, the others' are degrees."""


@dataclass(frozen=True, slots=True)
class MountEstimate:
    """The mounting that fits the images, with standard deviations, as in `BodyMount`.

    Pitch and roll contain the bias of the attitude sensor: images show their sum. What nothing has been learned about
    is as it was stated, with an infinite sigma. `blind` names the axes on which the network's answers do not depend.
    `frames` is the number of images that were compared.
    """

    height_m: float
    sigma_height_m: float
    pitch_rad: float
    sigma_pitch_rad: float
    roll_rad: float
    sigma_roll_rad: float
    yaw_rad: float
    sigma_yaw_rad: float
    frames: int
    blind: tuple[str, ...] = ()

    def values(self) -> dict[str, tuple[float, float]]:
        """Value and sigma by the parameter's name, in the parameter's unit (metres and degrees)."""
        angles = (
            (self.pitch_rad, self.sigma_pitch_rad),
            (self.roll_rad, self.sigma_roll_rad),
            (self.yaw_rad, self.sigma_yaw_rad),
        )
        in_degrees = [(math.degrees(value), math.degrees(sigma)) for value, sigma in angles]
        pairs = [(self.height_m, self.sigma_height_m), *in_degrees]
        return {axis.parameter: pair for axis, pair in zip(AXES, pairs, strict=True)}

    def texts(self) -> dict[str, str]:
        """By the parameter's name "2.00 +- 0.04 m", "not known yet" or "not observable", for people."""
        return {axis.parameter: self._text(axis, *self.values()[axis.parameter]) for axis in AXES}

    def _text(self, axis: Axis, value: float, sigma: float) -> str:
        if axis.name in self.blind:
            return "not observable"
        if math.isinf(sigma):
            return "not known yet"
        return f"{value:.{axis.decimals}f} +- {axis.text(sigma)}"


def misfits(stated: MountEstimate, found: MountEstimate) -> list[str]:
    """A sentence for each axis on which the stated mounting is wrong beyond doubt and beyond tolerance."""
    sentences = []
    for axis in AXES:
        was, (value, sigma) = stated.values()[axis.parameter][0], found.values()[axis.parameter]
        tolerance = axis.tolerance * (value if axis.name == "height" else 1.0)
        if abs(value - was) <= max(3.0 * sigma, tolerance):
            continue
        tilt = " (with the attitude sensor's bias)" if axis.name in ("pitch", "roll") else ""
        sentences.append(
            f"camera {axis.name} {axis.text(was)} does not fit what the images show: "
            f"{found.texts()[axis.parameter]}{tilt} over {found.frames} frames; "
            f"set {axis.parameter} to {value:.{axis.decimals}f}"
        )
    return sentences
