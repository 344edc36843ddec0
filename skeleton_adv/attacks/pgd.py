"""Projected gradient descent in an l2 or l-infinity ball; FGSM, BIM, MI-FGSM and I-FGVM are special cases."""

from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import cross_entropy, fooled, margin
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Whole, checked


@needs("gradients", passes=lambda restarts, steps, **_: restarts * (steps + 1))
@checked
def pgd(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive = 0.001,
    steps: Count = 40,
    restarts: Count = 1,
    random_start: bool = True,
    momentum: NonNegative = 0.0,
    direction: Literal["steepest", "value"] = "steepest",
    loss: Literal["cross_entropy", "margin"] = "cross_entropy",
    seed: Whole = 0,
) -> AttackResult:
    """Towards Deep Learning Models Resistant to Adversarial Attacks (Madry et al., arXiv 1706.06083).

    ``eps`` and ``step`` are in metres: for ``l2`` they limit the displacement of the whole clip, for ``linf``
    that of each coordinate, for ``rms`` the root mean square over existing joints and frames. ``direction``:
    ``steepest`` moves by ``step`` (along the sign of the gradient, or along the gradient in l2), ``value`` moves by
    ``step`` times the gradient (I-FGVM). ``momentum`` adds this fraction of the previous gradients, each divided by
    its l1 norm (MI-FGSM, Dong et al., arXiv 1710.06081). Immovable entries are masked out of the gradient before
    normalisation, and out of the random start. The attack returns the iterate with the smallest loss per clip, over
    all restarts: among the iterates that fool the model if there are any, otherwise among all. It always uses its
    whole budget, because a model that draws noise may be fooled once by chance.
    """
    budget, movable = Ball(norm, eps).of(batch), batch.movable
    x_best, lowest = batch.x, torch.full_like(batch.x[:, 0, 0, 0, 0], torch.inf)
    found = torch.zeros_like(lowest, dtype=torch.bool)

    def objective(logits: Tensor) -> Tensor:
        """(N,) the objective to minimise."""
        if loss == "margin":
            return margin(logits, batch.y, targeted)
        return cross_entropy(logits, batch.y) * (1 if targeted else -1)

    for restart in range(restarts):
        delta = budget.draw(seed, "pgd", restart) if random_start else torch.zeros_like(batch.x)
        memory = torch.zeros_like(delta)
        for number in range(steps + 1):
            delta.requires_grad_()
            logits = model(batch.x + delta)
            value = objective(logits)
            with torch.no_grad():
                success = fooled(logits, batch.y, targeted)
                better = (success & ~found) | ((success == found) & (value < lowest))
                x_best = torch.where(broadcast(better), batch.x + delta, x_best)
                lowest = torch.where(better, value, lowest)
                found |= success
            if number == steps:
                break
            (gradient,) = torch.autograd.grad(value.sum(), delta)
            with torch.no_grad():
                gradient = torch.where(movable, gradient, 0)  # not a product, because 0 times infinity is NaN
                if momentum:
                    size = gradient.abs().flatten(1).sum(dim=1)
                    memory = gradient = momentum * memory + gradient / broadcast(size.clamp(min=1e-30))
                if direction == "steepest":
                    gradient = budget.steepest(gradient)
                delta = budget.shortened(delta.detach() - step * gradient)
    return AttackResult(x_best.detach(), found)
