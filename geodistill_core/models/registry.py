# SPDX-License-Identifier: Apache-2.0
"""Architectures by name; a new network is one file and one line here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError

from geodistill_core.errors import ConfigError
from geodistill_core.models import (
    ccvpe,
    ccvpe_variants,
    g2sweakly,
    geodistill_dino,
    geodistill_vgg,
    ggcvt,
    ggcvt_refined,
    orientation,
)
from geodistill_core.models.base import AnyNetwork, Geometry
from geodistill_core.models.tiny import Tiny

_FINEST_M, _COARSEST_M = 0.005, 50.0


@dataclass(frozen=True, slots=True)
class Published:
    """One kind of published checkpoint: `arguments` build the network that it fits.

    `keys` are (regex, replacement) pairs from published keys to ours, applied in order; `unused` are regexes of
    published keys that this network does not run.
    """

    keys: tuple[tuple[str, str], ...]
    unused: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network's constructor and the published checkpoints that can be imported into it."""

    network: Callable[..., AnyNetwork]
    published: tuple[Published, ...] = ()

    @property
    def has_geometry(self) -> bool:
        """Whether the network knows the published conventions beside the exact ones."""
        return "geometry" in inspect.signature(self.network).parameters


_G2SWEAKLY = (
    Published(g2sweakly.PUBLISHED_KEYS, g2sweakly.UNUSED_KEYS),
    Published(g2sweakly.SHARED_PUBLISHED_KEYS, g2sweakly.SHARED_UNUSED_KEYS, {"shared": True}),
)
_CCVPE = (Published(ccvpe.PUBLISHED_KEYS, ccvpe.UNUSED_KEYS),)
_ORIENTATION = (Published(orientation.PUBLISHED_KEYS, orientation.UNUSED_KEYS),)
_GEODISTILL_DINO = (Published(geodistill_dino.PUBLISHED_KEYS, geodistill_dino.UNUSED_KEYS),)
_GGCVT = (Published(ggcvt.PUBLISHED_KEYS, ggcvt.UNUSED_KEYS),)
_GGCVT_REFINED = (Published(ggcvt_refined.PUBLISHED_KEYS, ggcvt_refined.UNUSED_KEYS),)

# NAME: Architecture(Network, (Published(module.PUBLISHED_KEYS, module.UNUSED_KEYS), ...))
ARCHITECTURES: dict[str, Architecture] = {
    "tiny": Architecture(Tiny),
    "geodistill_orientation": Architecture(orientation.OrientationNetwork, _ORIENTATION),
    "ccvpe_vigor": Architecture(ccvpe_variants.CcvpeVigor, _CCVPE),
    "ccvpe_kitti": Architecture(ccvpe_variants.CcvpeKitti, _CCVPE),
    "ccvpe_oxford": Architecture(ccvpe_variants.CcvpeOxford, _CCVPE),
    "adapting_vigor": Architecture(ccvpe_variants.AdaptingVigor, _CCVPE),
    "g2sweakly_vigor": Architecture(g2sweakly.G2SWeaklyVigor, _G2SWEAKLY),
    "g2sweakly_kitti": Architecture(g2sweakly.G2SWeaklyKitti, _G2SWEAKLY),
    "geodistill_vigor_dino": Architecture(geodistill_dino.GeoDistillVigorDino, _GEODISTILL_DINO),
    "geodistill_kitti_dino": Architecture(geodistill_dino.GeoDistillKittiDino, _GEODISTILL_DINO),
    "geodistill_kitti_vgg": Architecture(
        geodistill_vgg.GeoDistillKittiVgg, (Published(geodistill_vgg.PUBLISHED_KEYS, geodistill_vgg.UNUSED_KEYS),)
    ),
    "ggcvt_vigor": Architecture(ggcvt.GgcvtVigor, _GGCVT),
    "ggcvt_kitti": Architecture(ggcvt.GgcvtKitti, _GGCVT),
    "ggcvt_kitti_3dof": Architecture(ggcvt_refined.GgcvtKittiRefined, _GGCVT_REFINED),
}


def architecture(name: str) -> Architecture:
    """The registered architecture.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"unknown architecture {name!r}; known: {', '.join(sorted(ARCHITECTURES))}")
    return ARCHITECTURES[name]


def build(name: str, /, geometry: Geometry = "corrected", **arguments: Any) -> AnyNetwork:
    """A network with fresh weights, in the memory layout that convolutions on a CPU run fastest in.

    Raises:
        ConfigError: the architecture, the geometry or an argument is unknown.
    """
    entry = architecture(name)
    if geometry not in get_args(Geometry):
        raise ConfigError(f"geometry {geometry!r} is neither {' nor '.join(get_args(Geometry))}")
    if entry.has_geometry:
        arguments["geometry"] = geometry
    elif geometry != "corrected":
        raise ConfigError(f"architecture {name!r} has exact geometry only; leave geometry {geometry!r} out")
    arguments = _typed(name, arguments)
    try:
        with torch.inference_mode(False):  # weights made in inference mode have no versions: nothing folded is kept
            network = entry.network(**arguments).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    except TypeError as error:
        raise ConfigError(f"architecture {name!r} does not take {sorted(arguments)}: {error}") from error
    if not _FINEST_M <= network.metres_per_pixel <= _COARSEST_M:
        raise ConfigError(f"metres_per_pixel {network.metres_per_pixel} is outside {_FINEST_M}..{_COARSEST_M}")
    return network  # type: ignore[no-any-return]


def _typed(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the types that the constructor of `name` declares; unknown names are left to it."""
    hints = get_type_hints(architecture(name).network.__init__)
    typed = dict(arguments)
    for key in arguments.keys() & hints.keys():
        try:
            typed[key] = TypeAdapter(hints[key]).validate_python(arguments[key])
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ConfigError(f"argument {key} {arguments[key]!r} of architecture {name!r}: {reason}") from error
    return typed
