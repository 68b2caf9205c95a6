# SPDX-License-Identifier: Apache-2.0
"""Light, season, weather and camera of one view."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from geodistill_core.datasets.synthcity.levels import Level

_FOLIAGE = {  # multiplies vegetation colours
    "spring": (0.95, 1.12, 0.9),
    "summer": (1.0, 1.0, 1.0),
    "dry": (1.22, 1.06, 1.0),
    "autumn": (1.32, 0.98, 0.78),
    "winter": (1.18, 0.98, 1.02),
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """One view's conditions. `sun_azimuth_rad` points towards the sun in ENU; `shadow` is how much light it
    takes.

    `foliage` and `white_balance` are RGB gains, `blur_px` and `noise` (grey levels) belong to the sensor,
    `jpeg` is a quality or 0 for none, `seed` decides everything random inside the view (cars, noise pattern).
    """

    seed: int = 0
    sun_azimuth_rad: float = 0.8
    sun_elevation_rad: float = 0.9
    shadow: float = 0.5
    foliage: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bare: float = 0.0
    snow: float = 0.0
    wet: float = 0.0
    night: float = 0.0
    overcast: float = 0.0
    visibility_m: float = 900.0
    exposure: float = 1.0
    contrast: float = 1.0
    gamma: float = 1.0
    saturation: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur_px: float = 0.0
    noise: float = 0.0
    jpeg: int = 0
    dirt: float = 0.0
    fov_rad: float = 2 * math.pi
    cars: bool = True


class _Weather(TypedDict, total=False):
    overcast: float
    night: float
    wet: float
    snow: float
    dirt: float
    visibility_m: float


def _weather(level: Level, rng: np.random.Generator, overhead: bool) -> _Weather:
    """Rain, snow, night (the map knows only snow), overcast skies."""
    out: _Weather = {"overcast": float(rng.random() < 0.3) * float(rng.uniform(0.4, 1.0))}
    if level.adverse:
        draw = rng.random()
        if draw < 0.12 and not overhead:
            out |= {"night": float(rng.uniform(0.5, 1.0)), "overcast": 1.0}
        elif draw < 0.27 and not overhead:
            out |= {
                "wet": float(rng.uniform(0.5, 1.0)),
                "overcast": 1.0,
                "visibility_m": float(rng.uniform(80, 300)),
            }
        elif draw < (0.36 if not overhead else 0.05):
            out |= {
                "snow": float(rng.uniform(0.25, 0.8)),
                "overcast": 0.8,
                "visibility_m": float(rng.uniform(120, 400)),
            }
        if not overhead and rng.random() < 0.2:
            out["dirt"] = float(rng.uniform(0.2, 0.8))
    return out


def draw_conditions(
    level: Level, rng: np.random.Generator, overhead: bool, sun: tuple[float, float] | None = None
) -> Conditions:
    """Random conditions of one view at one level; `sun` (azimuth, elevation) fixes the light."""
    weather = _weather(level, rng, overhead)
    season = str(rng.choice(list(_FOLIAGE))) if level.independent_sun else "summer"
    azimuth, elevation = sun or (
        float(rng.uniform(-math.pi, math.pi)),
        math.radians(float(rng.uniform(22, 68))),
    )
    wide = 1.0 if level.independent_sun else 0.7
    warm, magenta = rng.normal(0, 0.045 * wide), rng.normal(0, 0.02 * wide)
    fov = 2 * math.pi
    if level.min_fov_deg < 360.0 and not overhead and rng.random() < 0.5:
        fov = math.radians(float(rng.uniform(level.min_fov_deg, 360.0)))
    overcast = weather["overcast"]
    seed = int(rng.integers(2**31))
    shadow = float(rng.uniform(0.4, 0.68)) * (1.0 - 0.92 * overcast)
    red, green, blue = _FOLIAGE[season]
    leaf = float(rng.uniform(0.88, 1.1))
    weather = {"visibility_m": float(rng.uniform(300, 1500)), **weather}
    return Conditions(
        seed=seed,
        sun_azimuth_rad=azimuth,
        sun_elevation_rad=elevation,
        shadow=shadow,
        foliage=(leaf * red, leaf * green, leaf * blue),
        bare=0.75 if season == "winter" else (0.25 if season == "autumn" else 0.0),
        exposure=float(np.exp(rng.normal(0.04, 0.13 * wide))),
        contrast=float(rng.uniform(0.8, 1.2)),
        gamma=float(np.exp(rng.normal(0, 0.12 * wide))),
        saturation=float(rng.uniform(0.55, 1.2)),
        white_balance=(1.0 + float(warm), 1.0 - float(magenta), 1.0 - float(warm)),
        blur_px=float(max(0.0, rng.normal(0.35, 0.35))),
        noise=float(rng.uniform(0.5, 6.0) * wide),
        jpeg=int(rng.integers(50, 96)) if rng.random() < 0.5 else 0,
        fov_rad=fov,
        **weather,
    )
