# SPDX-License-Identifier: Apache-2.0
"""GeoDistill (section 3.3): a student that sees a part of the view imitates the sharpened heat map of its teacher."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_training.data.examples import Batch
from geodistill_training.families.base import Family
from geodistill_training.families.of import family_of
from geodistill_training.objectives.base import Objective
from geodistill_training.objectives.hide import student_ground
from geodistill_training.recipe.recipe import Recipe
from geodistill_training.targets import heatmap, heatmap_cross_entropy

# what a sharp target leaves above zero may be few cells of equal mass, and is not flat
_FEWEST_CELLS = 64
# 3.5 m of `tiny`: the mode and its slopes, and no second mode
_WINDOW_CELLS = 7


class DistillObjective(Objective):
    """See the module. The teacher is a copy of the network that no gradient reaches."""

    def __init__(self, family: Family[Any, Any], recipe: Recipe) -> None:
        super().__init__(family, recipe)
        self.options = recipe.distill
        self.teacher = family_of(copy.deepcopy(family.network).requires_grad_(False).eval(), family.autocast)
        self.steps = 0

    @property
    def kept(self) -> Family[Any, Any]:
        """See `Objective`."""
        return self.teacher if self.options.keep == "teacher" else self.family

    def set_template(self, template_cells: int | None) -> None:
        """See `Objective`."""
        self.teacher.begin_stage(template_cells)

    def begin_stage(self) -> None:
        """The teacher starts from the network as it is now, and its rhythm anew."""
        self.teacher.network.load_state_dict(self.family.network.state_dict())
        self.steps = 0

    @torch.no_grad()
    def target(self, batch: Batch, yaw: Tensor) -> tuple[Tensor, ...]:
        """The teacher's heat maps [B, Y, P, P] from the whole view, sharpened, level by level."""
        ground = self.teacher.ground(batch.teacher_ground)
        maps = [self.teacher.maps(batch.teacher_maps, turn) for turn in range(self.options.turns)]
        levels = self.teacher.heatmaps(ground, maps[0] if len(maps) == 1 else self.teacher.mean_maps(maps), yaw)
        if self.options.target == "single_mode":
            return tuple(F.one_hot(x.flatten(1).argmax(1), x[0].numel()).to(x).view_as(x) for x in levels)
        sharp = self.options.target == "sharpened"
        return tuple(
            heatmap(x, self.options.temperature if sharp else self.options.student_temperature) for x in levels
        )

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """See `Objective`."""
        offsets = torch.deg2rad(torch.tensor(self.options.yaws_deg, device=batch.yaw_enu_rad.device))
        yaw = batch.yaw_enu_rad[:, None] + offsets
        targets = self.target(batch, yaw)
        if self.options.confident_share < 1:
            kept = most_confident(targets[-1], self.options.confident_share)
            batch, yaw, targets = batch.select(kept), yaw[kept], tuple(target[kept] for target in targets)
        turn = int(self.rng(batch).integers(8)) if self.options.turns > 1 else 0
        rngs = [self.rng(batch, row) for row in batch.rows.tolist()]
        ground = student_ground(self.family, batch, self.options, rngs)
        levels = self.family.heatmaps(ground, self.family.maps(batch.maps, turn), yaw)
        return self.compare(levels, targets)

    def compare(self, levels: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Mean over levels of how far the student's similarities [B, Y, P, P] are from the target heat maps."""
        losses, divergences, entropies, flatness = [], [], [], []
        for level, whole in zip(levels, targets, strict=True):
            target = _where_judged(whole, level)
            cross = heatmap_cross_entropy(level / self.options.student_temperature, target)
            entropy = torch.special.entr(target.flatten(1)).sum(1).mean()
            losses.append(cross if self.options.divergence == "cross_entropy" else cross - entropy)
            divergences.append(float((cross - entropy).detach()))
            entropies.append(float(entropy))
            cells = (target > 0).flatten(1).sum(1).clamp(min=_FEWEST_CELLS)
            flatness.append(float(entropy / cells.log().mean()))
        watched = {"distill": float(losses[-1].detach()), "kl": divergences[-1], "teacher_entropy": entropies[-1]}
        watched["teacher_flatness"] = flatness[-1]
        if not self._copied_at_every_step:
            watched["teacher_gap"] = self._gap()
        return torch.stack(losses).mean(), watched

    @property
    def _copied_at_every_step(self) -> bool:
        options = self.options
        copied = options.teacher == "previous" or (options.teacher == "ema" and options.teacher_decay == 0)
        return copied and options.teacher_period == 1

    @torch.no_grad()
    def _gap(self) -> float:
        """How far the teacher's weights are from the student's, as a share of their size."""
        pairs = zip(self.teacher.network.parameters(), self.family.network.parameters(), strict=True)
        apart, size = torch.stack([torch.stack([(t - s).abs().sum(), s.abs().sum()]) for t, s in pairs]).sum(0)
        return float(apart / size)

    def after_step(self, steps_per_epoch: int) -> None:
        """Move the teacher at its rhythm."""
        self.steps += 1
        period = steps_per_epoch if self.options.teacher_period == "epoch" else self.options.teacher_period
        if self.options.teacher == "fixed" or self.steps % period:
            return
        decay = self.options.teacher_decay if self.options.teacher == "ema" else 0.0
        with torch.no_grad():
            student = self.family.network.state_dict()
            for name, slow in self.teacher.network.state_dict().items():
                if slow.is_floating_point():
                    slow.lerp_(student[name], 1 - decay)
                else:
                    slow.copy_(student[name])

    def state_dict(self) -> dict[str, Any]:
        """See `Objective`."""
        return {"teacher": self.teacher.network.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Objective`."""
        self.teacher.network.load_state_dict(state["teacher"])
        self.steps = int(state["steps"])


def most_confident(target: Tensor, share: float) -> Tensor:
    """Indices, rising, of the share of heat maps [B, Y, P, P] with the most mass in the window around one position."""
    mass = F.avg_pool2d(target.sum(1), _WINDOW_CELLS, stride=1, padding=_WINDOW_CELLS // 2).flatten(1).amax(1)
    return mass.topk(max(1, round(share * len(target)))).indices.sort().values


def _where_judged(target: Tensor, level: Tensor) -> Tensor:
    """The target's share of positions that the student, who sees less of the ground, can judge at all."""
    unjudged = level.isneginf()
    if not bool(unjudged.any()):
        return target
    left = target.masked_fill(unjudged, 0.0)
    return left / left.flatten(1).sum(1).clamp(min=torch.finfo(left.dtype).tiny).view(-1, 1, 1, 1)
