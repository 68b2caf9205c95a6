# SPDX-License-Identifier: Apache-2.0
"""The mounting that was found, as a parameter file for the node."""

from __future__ import annotations

import math
from pathlib import Path

from geodistill_core.errors import ConfigError
from geodistill_core.tracking.mount.estimate import AXES, MountEstimate

_HEADER = """\
# The camera's mounting as {frames} images of a drive show it. Pitch and roll contain the attitude sensor's bias.
/**:
  ros__parameters:
"""


def mount_file(path: Path | str, estimate: MountEstimate) -> Path:
    """Write the parameters that are known, with their sigmas as comments; the others are comments alone.

    Raises:
        ConfigError: nothing is known, or the file cannot be written.
    """
    values, texts = estimate.values(), estimate.texts()
    lines = []
    for axis in AXES:
        value, sigma = values[axis.parameter]
        if math.isinf(sigma):
            lines.append(f"    # {axis.parameter}: {texts[axis.parameter]}\n")
        else:
            decimals = axis.decimals + 1
            lines.append(f"    {axis.parameter}: {value:.{decimals}f}  # +- {sigma:.{decimals}f} {axis.unit}\n")
    if all(math.isinf(sigma) for _, sigma in values.values()):
        raise ConfigError(
            f"nothing is known of the camera's mounting after {estimate.frames} compared images; drive further"
        )
    target = Path(path)
    try:
        target.write_text(_HEADER.format(frames=estimate.frames) + "".join(lines), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror or error}; choose another file") from error
    return target
