# SPDX-License-Identifier: Apache-2.0
"""The sky in a cast column: gradient, clouds on a plane overhead, the sun and its glow."""

from __future__ import annotations

import math

from geodistill_core.datasets.synthcity.kernel import kernel
from geodistill_core.types import Array

_CLOUD_BASE = 230.0


@kernel
def sky_colour(
    el: float, tangent: float, dx: float, dy: float, sky: Array, noises: Array, light: Array
) -> tuple[float, float, float]:
    """Colour at an elevation towards (dx, dy). `sky`: zenith, horizon and cloud rgb, cover, shift."""
    if tangent <= 0.0:
        return sky[3], sky[4], sky[5]
    h = math.sin(el)
    level = math.cos(el)
    blend = math.sqrt(min(1.0, h * 1.5))
    reach = _CLOUD_BASE * level / (h + 0.12)
    u, v = reach * dx + sky[10], reach * dy + 2.0 * sky[10]
    fu, fv = math.floor(u), math.floor(v)
    au, av = u - fu, v - fv
    c, r = int(fu), int(fv)
    n = 0.45 * noises[2, r & 1023, c & 1023] + 0.2 * noises[1, r & 1023, c & 1023]
    top = noises[3, r & 1023, c & 1023] * (1 - au) + noises[3, r & 1023, (c + 1) & 1023] * au
    bottom = noises[3, (r + 1) & 1023, c & 1023] * (1 - au) + noises[3, (r + 1) & 1023, (c + 1) & 1023] * au
    n += 0.35 * (top * (1 - av) + bottom * av)
    cloud = min(1.0, max(0.0, (n - 168.0 + 90.0 * sky[9]) / 55.0)) * min(1.0, h * 6.0)
    away = max(0.0, level * (dx * light[0] + dy * light[1]) + h * light[2])
    glow = away * away
    glow *= glow
    glow *= glow
    glow = light[4] * (0.7 * glow * glow + (3.0 if away > 0.9994 else 0.0))
    shade = (1.0 + glow) * (1.0 - 0.12 * cloud * (n - 100.0) / 100.0)
    r0 = sky[3] + (sky[0] - sky[3]) * blend
    g0 = sky[4] + (sky[1] - sky[4]) * blend
    b0 = sky[5] + (sky[2] - sky[5]) * blend
    return (
        (r0 + (sky[6] - r0) * cloud) * shade,
        (g0 + (sky[7] - g0) * cloud) * shade,
        (b0 + (sky[8] - b0) * cloud) * shade,
    )
