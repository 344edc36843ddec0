"""ENS: MI-FGSM on an ensemble of surrogates."""

from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, members, needs
from skeleton_adv.attacks.momentum import descend, judged, loss_gradient
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative, Positive, checked


@needs("gradients", passes=lambda steps, **_: steps + 1)
@checked
def ens(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive | None = None,
    steps: Count = 10,
    momentum: NonNegative = 1.0,
    fusion: Literal["mean", "sum", "losses"] = "mean",
) -> AttackResult:
    """Boosting Adversarial Attacks with Momentum (Dong et al., arXiv 1710.06081), Sec. 3.3: MI-FGSM on an ensemble.

    The loss is the cross-entropy of the members' ``mean`` logits (the paper's best of three) or of their ``sum`` (as
    in RobustBenchHAR, arXiv 2409.02483, which has no momentum and takes steps of eps along the sign), or the mean of
    the members' ``losses``. ``step`` is eps / steps unless set. With one network it is MI-FGSM, and without momentum
    I-FGSM. The attack returns its last iterate.
    """
    budget, networks = Ball(norm, eps).of(batch), members(model)

    def summed(x: Tensor) -> Tensor:
        return len(networks) * model(x)

    def gradient(delta: Tensor, number: int) -> Tensor:
        if fusion == "losses":
            return torch.stack([loss_gradient(network, batch, delta, targeted) for network in networks]).mean(dim=0)
        return loss_gradient(model if fusion == "mean" else summed, batch, delta, targeted)

    delta = descend(batch, budget, gradient, steps=steps, step=step or eps / steps, momentum=momentum)
    return judged(model, batch, delta, targeted)
