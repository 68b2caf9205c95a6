# SPDX-License-Identifier: Apache-2.0
"""The networks' own supervised losses at the true place and heading."""

from __future__ import annotations

from torch import Tensor

from geodistill_core.errors import ConfigError
from geodistill_training.data.examples import Batch
from geodistill_training.objectives.base import Objective


class SupervisedObjective(Objective):
    """The upper bound of label-free training, and a teacher's own training.

    A true place that the network does not search is an error, not left out: data whose range is wider than the search
    teach nothing there.
    """

    labelled = True

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """See `Objective`.

        Raises:
            ConfigError: the set gives no truth, or one outside the searched positions.
        """
        if batch.truth is None:
            raise ConfigError(
                f"{batch.keys[0]} comes without its true place; objective 'supervised' needs a labelled set"
            )
        rngs = [self.rng(batch, row) for row in batch.rows.tolist()]
        loss = self.family.supervised_loss(batch, self.recipe.supervised, rngs)
        return loss, {"supervised": float(loss.detach())}
