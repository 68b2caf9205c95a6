# SPDX-License-Identifier: Apache-2.0
"""Open imagery of some countries, described as imagery sources whose terms are still to be read and accepted."""

from __future__ import annotations

from importlib.resources import files

from geodistill_core.errors import ConfigError

__all__ = ["preset_names", "preset_text"]


def preset_names() -> list[str]:
    """The names of all presets, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")
    )


def preset_text(name: str) -> str:
    """The YAML of a preset, to be written to a file of one's own. ConfigError for a name that there is not."""
    if name not in preset_names():
        raise ConfigError(f"preset {name!r} is unknown; choose one of {', '.join(preset_names())}")
    return files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
