# SPDX-License-Identifier: Apache-2.0
"""Recipes from YAML: shipped ones by name, others by path."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import yaml
from pydantic import ValidationError

from geodistill_core.errors import ConfigError
from geodistill_training.recipe.recipe import Recipe

_SHIPPED = resources.files("geodistill_training") / "recipes"


def load_recipe(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or a YAML file.

    Raises:
        ConfigError: the file is missing or a value is out of range; the message lists each fault.
    """
    path = Path(name_or_path)
    shipped = _SHIPPED / f"{name_or_path}.yaml"
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise ConfigError(f"recipe {path} does not exist")
        text = path.read_text()
    elif shipped.is_file():
        text = shipped.read_text()
    else:
        names = sorted(p.name[:-5] for p in _SHIPPED.iterdir() if p.name.endswith(".yaml"))
        raise ConfigError(f"no recipe named {name_or_path!r}; shipped: {', '.join(names)}; or give a .yaml file")
    try:
        return Recipe.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise ConfigError(f"recipe {name_or_path} is not valid: {error}") from error
