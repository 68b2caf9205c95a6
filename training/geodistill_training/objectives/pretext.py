# SPDX-License-Identifier: Apache-2.0
"""The flat-world pretext: find the place from which a strip was drawn, among right and wrong headings."""

from __future__ import annotations

from torch import Tensor

from geodistill_training.data.examples import Batch
from geodistill_training.families.tiny import TinyFamily, yaw_hypotheses
from geodistill_training.objectives.base import Objective


class PretextObjective(Objective):
    """Cross-entropy of the joint heat map; two headings bracket the true one, the others are wrong."""

    labelled = True

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """See `Objective`."""
        assert isinstance(self.family, TinyFamily)
        options = self.recipe.pretext
        rngs = [self.rng(batch, row) for row in batch.rows.tolist()]
        hypotheses = yaw_hypotheses(rngs, options.wrong_yaws, options.yaw_spread_deg)
        loss = self.family.joint_loss(batch, hypotheses, int(self.rng(batch).integers(self.family.turns)))
        return loss, {"pretext": float(loss.detach())}
