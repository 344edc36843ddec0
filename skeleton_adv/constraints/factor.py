"""One factor per bone: the body may have other proportions, but it moves as in the clean clip."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skeleton_adv.constraints.base import SLACK, Constraint, Limits, Unit
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import joints_last, length
from skeleton_adv.core.ranges import Probability
from skeleton_adv.core.tree import bone_vectors, rebuilt


@dataclass(frozen=True)
class BoneFactor(Constraint):
    """Every bone has one factor within ``1 +- eps`` over the clip; the root's path and all directions stay.

    The bone-length model of Tanaka et al. (AAAI 2022). Deviations are the distances in metres of the joints of
    each frame from the clip that the nearest such factors give.
    """

    eps: Probability = 0.1
    name = "bone_factor"
    symbol = "ΔF"
    unit: Unit = "m"

    def on(self, batch: SkeletonBatch) -> Limits:
        def deviation(x_adv: Tensor) -> Tensor:
            nearest = rebuilt(batch, self.factors(x_adv, batch))
            return length(joints_last(x_adv, batch.skeleton) - joints_last(nearest, batch.skeleton)).flatten(1)

        exists = batch.mask[:, 0].transpose(2, 3).flatten(1)
        return Limits.within(0.0, deviation, torch.full_like(batch.x[:, 0].flatten(1), SLACK), exists)

    def factors(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor:
        """(N, M, E) the factor of each bone whose vectors are nearest to those of ``x_adv``, within the limits.

        The least squares of a bone over the frames; 1 for a bone that does not exist or has no length.
        """
        clean, moved = bone_vectors(batch.x, batch), bone_vectors(x_adv, batch)
        along, size = ((a * clean).sum(dim=(1, 2)) for a in (moved, clean))
        ratio = along / torch.where(size > 0, size, 1)
        return torch.where(size > 0, ratio, 1).clamp(1 - self.eps, 1 + self.eps)

    def project(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor:
        """The clips whose bones, one by one, are nearest to those of ``x_adv``, rebuilt from the clean root."""
        return rebuilt(batch, self.factors(x_adv, batch))
