# SPDX-License-Identifier: Apache-2.0
"""What the tracker assumes of motion, heat maps and receivers, and the limits of its states."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geodistill_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """Metres, seconds, radians.

    Errors of heat maps are alike over `correlation_m` of driving, and over `correlation_s` at rest: a heat map counts
    with the power `weight * (1 - exp(-distance / correlation_m - time / correlation_s))` of its likelihood. No pose is
    less likely than `least_ratio` times what a uniform heat map would say, so that a wrong one kills no track. While
    images speak against the track, the vehicle may be anywhere with probability 1 / `kidnap_s` each second; while it is
    being acquired, with `acquiring_doubt` at each image, less and less over `converged_distance_m`.

    A receiver's error is a bias that lasts `gnss_bias_s`, as large as the receiver states, and noise that is
    `gnss_noise_share` of it, with heavy tails (Student's t with `gnss_dof` degrees of freedom).
    """

    particles: int = 3000
    seed: int = 0

    weight: float = 0.6
    correlation_m: float = 6.0
    correlation_s: float = 10.0
    least_ratio: float = 0.02
    kidnap_s: float = 300.0
    acquiring_doubt: float = 0.05

    scale_sigma: float = 0.02
    forward_noise: float = 0.02
    sideways_noise: float = 0.008
    rest_noise_m: float = 0.01
    rate_bias_sigma_radps: float = 0.005
    yaw_noise_rad: float = math.radians(0.25)
    acceleration_mps2: float = 2.0
    yaw_acceleration_radps2: float = 0.4

    gnss_bias_s: float = 300.0
    gnss_noise_share: float = 0.2
    gnss_dof: float = 4.0
    heading_s: float = 30.0

    converged_m: float = 2.0
    converged_yaw_rad: float = math.radians(6.0)
    converged_mass: float = 0.9
    converged_distance_m: float = 25.0
    converged_s: float = 20.0
    lost_m: float = 8.0
    image_silence_s: float = 1.5
    gnss_silence_s: float = 2.0
    contradicted_s: float = 8.0
    separation_s: float = 1.0
    innovation_m: float = 20.0
    dwell_s: float = 1.0
    max_gap_s: float = 20.0

    def proof(self, distance_m: float, seconds: float) -> float:
        """How much of the proof that a place asks for, until it is believed, comes with a step."""
        return distance_m / self.converged_distance_m + seconds / self.converged_s

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if name != "seed" and not (math.isfinite(value) and value > 0.0):
                raise ConfigError(f"tracker {name} {value} must be a positive number")
        if self.particles < 100:
            raise ConfigError(f"tracker particles {self.particles} are too few; give at least 100")
