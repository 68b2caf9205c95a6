# SPDX-License-Identifier: Apache-2.0
"""The processes of one training job: one on a CPU or a GPU, or as many as `torchrun` started.

Rank r of n holds rows r, r + n, ... of every global batch. A loss is the mean over its rank's rows, so the mean of the
ranks' gradients is the gradient of the whole batch. A loss that needs all rows gathers them; the gradient that arrives
at a gathered tensor is the sum over ranks, which makes the same mean right again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from geodistill_core.errors import ConfigError, TrainingError

_log = logging.getLogger("geodistill.training")
# The first process may render a whole data set while the others wait for it.
_PATIENCE = timedelta(hours=3)
_Shared = TypeVar("_Shared")


@dataclass(frozen=True, slots=True)
class World:
    """This process among those of the job."""

    fabric: Fabric

    @property
    def rank(self) -> int:
        """This process's number, from 0."""
        return int(self.fabric.global_rank)

    @property
    def ranks(self) -> int:
        """How many processes there are."""
        return int(self.fabric.world_size)

    @property
    def main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device(self.fabric.device)

    def share(self, record: _Shared) -> _Shared:
        """The first process's record, everywhere."""
        return self.fabric.broadcast(record)

    @contextmanager
    def one_by_one(self) -> Iterator[None]:
        """The first process goes through the block before the others, which find its files."""
        with self.fabric.rank_zero_first():
            yield

    def mean(self, x: Tensor) -> Tensor:
        """Mean over ranks."""
        return x if self.ranks == 1 else _reduced(self.fabric.all_reduce(x.clone(), reduce_op="mean"))

    def gather_rows(self, x: Tensor) -> Tensor:
        """Rows of all ranks in the order of the global batch, with gradients; see the module for their scale."""
        return x if self.ranks == 1 else _reduced(_Gathered.apply(x, self))  # type: ignore[no-untyped-call]

    def average_gradients(self, network: nn.Module) -> None:
        """Replace gradients, and the running statistics of batch norms, by their means over ranks."""
        if self.ranks == 1:
            return
        norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        statistics = [x for norm in norms for x in (norm.running_mean, norm.running_var) if x is not None]
        averaged = [p.grad for p in network.parameters() if p.grad is not None] + statistics
        mean = self.mean(torch.cat([x.flatten() for x in averaged]))
        for x, part in zip(averaged, torch.split(mean, [x.numel() for x in averaged]), strict=True):
            x.copy_(part.view(x.shape))


class _Gathered(torch.autograd.Function):
    """Fabric's gathering, whose gradients are wrong on gloo where they are not contiguous in memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, world: World) -> Tensor:
        ctx.world = world
        return _reduced(world.fabric.all_gather(x.contiguous())).transpose(0, 1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = _reduced(ctx.world.fabric.all_reduce(gradients[0].contiguous(), reduce_op="sum"))
        return total[ctx.world.rank :: ctx.world.ranks], None


def _reduced(x: Any) -> Tensor:
    assert isinstance(x, Tensor)
    return x


def open_world() -> World:
    """Join the job: the processes of `torchrun` where it started this one, otherwise this process alone.

    Raises:
        ConfigError: more processes on this machine than it has GPUs.
    """
    here, everywhere = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), int(os.environ.get("WORLD_SIZE", "1"))
    gpus = torch.cuda.device_count()
    if 0 < gpus < here:
        raise ConfigError(f"{here} processes share {gpus} GPUs; start at most one for each: --nproc-per-node {gpus}")
    strategy: Strategy | str = "auto" if everywhere == 1 else DDPStrategy(timeout=_PATIENCE)
    fabric = Fabric(
        accelerator="cuda" if gpus else "cpu", devices=here, num_nodes=max(1, everywhere // here), strategy=strategy
    )
    fabric.launch()
    return World(fabric)


@contextmanager
def named_loss_of_a_rank(world: World) -> Iterator[None]:
    """Turn the failure of a collective into an error that says what happened.

    Raises:
        TrainingError: another process of the job is gone.
    """
    try:
        yield
    except RuntimeError as error:
        signs = ("gloo", "nccl", "connection closed by peer", "connection reset", "broken pipe", "distbackend")
        if world.ranks == 1 or not any(sign in f"{type(error).__name__} {error}".lower() for sign in signs):
            raise
        said = (
            f"process {world.rank} of {world.ranks} lost another process of the job ({_first_line(error)}); "
            "start the same command again: it continues from the last snapshot"
        )
        _log.error(said)  # at once: the launcher is about to end this process too
        raise TrainingError(said) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
