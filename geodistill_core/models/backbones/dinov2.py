# SPDX-License-Identifier: Apache-2.0
"""The frozen DINOv2 vision transformer, read from local files, whose tokens GeoDistill's heads turn into features.

It is no part of a network's own weights: a checkpoint names it and, where wanted, its hash.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models.backbones.dpt import Tokens
from geodistill_core.models.backbones.patches import pad_to_patches

Positions = Literal["hub", "library"]
"""The rule for resizing the table of positions: by scale factors (DINOv2's hub code) or to a size (transformers)."""

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_PATCH = 14
_HUB_OFFSET = 0.1


def require_transformers() -> None:
    """Say how to install the library that holds the vision transformer, where it is missing.

    Raises:
        ConfigError: transformers cannot be imported.
    """
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"networks on DINOv2 need the package transformers ({error}); install it: pip install 'geodistill[dino]'"
        ) from error


def find_weights(weights: str) -> Path:
    """The folder with the configuration and weights of `weights`, a folder or a name in the Hugging Face cache.

    Raises:
        ConfigError: transformers is not installed.
        CheckpointError: neither place has both files.
    """
    require_transformers()
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    folders = [Path(weights)]
    try:
        cached = [try_to_load_from_cache(weights, name) for name in (_CONFIG, _WEIGHTS)]
        folders += [Path(path).parent for path in cached if isinstance(path, str)]
    except HFValidationError:
        pass  # a path, which no name in the cache can be
    for folder in folders:
        if all((folder / name).is_file() for name in (_CONFIG, _WEIGHTS)):
            return folder
    raise CheckpointError(
        f"no DINOv2 weights {weights!r}: looked for {_CONFIG} and {_WEIGHTS} in the folder {Path(weights).absolute()} "
        f"and under that name in the Hugging Face cache {constants.HF_HUB_CACHE}; nothing is fetched at run time. On a "
        f"machine with network: hf download {weights} {_CONFIG} {_WEIGHTS} --local-dir FOLDER, then give FOLDER"
    )


def weights_sha256(folder: Path) -> str:
    """SHA-256 of a folder's weights, in hexadecimal."""
    digest = hashlib.sha256()
    with (folder / _WEIGHTS).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class FrozenDinov2:
    """Tokens of four blocks (counted from zero) of a DINOv2 with `channels` D, never trained, loaded at first use.

    `weights` is a folder or a Hugging Face name; `sha256`, where given, must be that of its model.safetensors. Not a
    module: its weights are in no state dict, and copies of a network (a teacher, a student) share it.
    """

    def __init__(
        self, weights: str, channels: int, blocks: tuple[int, ...], positions: Positions, sha256: str | None = None
    ) -> None:
        self.weights = weights
        self.channels = channels
        self.blocks = blocks
        self.positions = positions
        self.sha256 = sha256
        self._model: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenDinov2:
        return self

    @torch.no_grad()
    def tokens(self, images: Tensor) -> Tokens:
        """Tokens of scaled images [B, 3, H, W], padded with zeros to whole patches; blocks without a final norm.

        Raises:
            ConfigError: transformers is not installed.
            CheckpointError: the weights are absent or not what was promised.
        """
        if self._model is None:
            self._model = self._load(find_weights(self.weights))
        model = self._model.to(images.device)
        padded = pad_to_patches(images)
        rows, columns = padded.shape[-2] // _PATCH, padded.shape[-1] // _PATCH
        found = model(padded).feature_maps
        patches = [x[:, 1:].reshape(len(x), rows, columns, -1) for x in found]
        return Tokens(patches, [x[:, 0] for x in found])

    def hash_at_hand(self) -> str | None:
        """SHA-256 of the weights if they, and transformers, are on this machine."""
        try:
            return weights_sha256(find_weights(self.weights))
        except (CheckpointError, ConfigError):
            return None

    def adopt(self, model: Any) -> None:
        """Use a `transformers.Dinov2Backbone` that was made elsewhere, instead of reading `weights`."""
        self._model = model.float().eval().requires_grad_(False)

    def _load(self, folder: Path) -> Any:
        self._check_hash(folder)
        self._check_shape(folder)
        from transformers import Dinov2Backbone
        from transformers.utils import logging

        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            model, loaded = Dinov2Backbone.from_pretrained(
                folder,
                out_indices=[block + 1 for block in self.blocks],
                apply_layernorm=False,
                reshape_hidden_states=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{folder} cannot be read as a DINOv2: {error}; fetch it again") from error
        finally:
            if bars:
                logging.enable_progress_bar()
        if missing := sorted(loaded["missing_keys"]):
            raise CheckpointError(f"{folder / _WEIGHTS} lacks {len(missing)} tensors, as {missing[:3]}; fetch it again")
        if self.positions == "hub":
            model.embeddings.interpolate_pos_encoding = _HubPositions(model.embeddings)
        return model.float().eval().requires_grad_(False)

    def _check_hash(self, folder: Path) -> None:
        if self.sha256 is not None and (found := weights_sha256(folder)) != self.sha256:
            raise CheckpointError(
                f"{folder / _WEIGHTS} has SHA-256 {found[:12]}, the network was made with {self.sha256[:12]}; "
                "give the folder of those weights"
            )

    def _check_shape(self, folder: Path) -> None:
        config = json.loads((folder / _CONFIG).read_text())
        channels, blocks = config.get("hidden_size"), config.get("num_hidden_layers", 0)
        if channels != self.channels or blocks <= max(self.blocks) or config.get("patch_size") != _PATCH:
            raise CheckpointError(
                f"{folder} holds a vision transformer of {channels} channels and {blocks} blocks; the network "
                f"reads {self.channels} channels up to block {max(self.blocks)}, patches of {_PATCH} px: name another"
            )


class _HubPositions:
    """DINOv2's hub rule in place of the library's: bicubic by scale factors that are a tenth of a patch too large."""

    def __init__(self, embeddings: Any) -> None:
        self.table: Tensor = embeddings.position_embeddings.detach()

    def __call__(self, embeddings: Tensor, height: int, width: int) -> Tensor:
        """Position embeddings [1, 1 + tokens, D] for an image of height x width."""
        side = round((self.table.shape[1] - 1) ** 0.5)
        rows, columns = height // _PATCH, width // _PATCH
        table = self.table.to(embeddings)
        if rows == columns == side:
            return table
        grid = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        scale = ((rows + _HUB_OFFSET) / side, (columns + _HUB_OFFSET) / side)
        resized = F.interpolate(grid, scale_factor=scale, mode="bicubic").flatten(2).transpose(1, 2)
        return torch.cat([table[:, :1], resized], dim=1)
