"""TRADES: the clean loss, and the divergence between the outputs for clean and attacked clips."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import NonNegative
from skeleton_adv.train.adversarial import Adversarial
from skeleton_adv.train.inner import Mode, attacking, in_ball
from skeleton_adv.train.losses import streams_of
from skeleton_adv.train.recipe import Recipe


@dataclass(frozen=True)
class TRADES(Adversarial):
    """Theoretically Principled Trade-off between Robustness and Accuracy (Zhang et al., arXiv 1901.08573), Eq. 5.

    The loss is ``CE(f(x), y) + beta KL(f(x) || f(x'))`` with x' in the ball where the divergence is large. Other
    settings are those of ``Adversarial``; the attack runs in evaluation mode, as in the authors' code. Epochs are
    chosen by the accuracy under PGD on the cross-entropy.

    - ``beta``: weight of the divergence

    Differs from the authors' code: the start is uniform in the ball, not normal noise of 3 % of its radius, and both
    outputs share the draws of dropout, so that their divergence is that of the clips alone. There is no clamp to
    [0, 1], which in RobustBenchHAR destroys clips with negative coordinates, and steps cross the ball (there, 20 steps
    of 0.0001 cannot leave a fifth of it).
    """

    steps: int = 10
    mode: Mode = "eval"
    beta: NonNegative = 6.0
    name = "trades"

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        with attacking(model, self.mode):
            x_adv = self.diverging(model, batch)
        devices = [batch.x.device] if batch.x.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            clean = streams_of(model, batch.x)
        moved = streams_of(model, x_adv)
        total = torch.zeros((), device=batch.x.device)
        for before, after in zip(clean, moved, strict=True):
            total = total + F.cross_entropy(before, batch.y, label_smoothing=recipe.label_smoothing)
            total = total + self.beta * divergence(before, after).mean()
        return total

    def diverging(self, model: nn.Module, batch: SkeletonBatch) -> Tensor:
        """The clips (N, C, T, V, M) after PGD on the divergence from the outputs for the clean clips."""
        with torch.no_grad():
            clean: Tensor = model(batch.x)
        step = self.length(self.steps)
        return in_ball(lambda x: divergence(clean, model(x)), batch, self.ball, step=step, steps=self.steps)


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """(N,) KL divergence of the classes' probabilities by logits ``second`` (N, K) from those by ``first``."""
    log_p, log_q = F.log_softmax(first, dim=1), F.log_softmax(second, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)
