"""PGN: momentum over gradients of neighbours, with a penalty on the gradient's norm."""

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.momentum import descend, judged, loss_gradient
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Range, Whole, checked


@needs("gradients", passes=lambda steps, neighbours, **_: 2 * steps * neighbours + 1)
@checked
def pgn(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive | None = None,
    steps: Count = 10,
    momentum: NonNegative = 1.0,
    neighbours: Count = 20,
    radius: NonNegative = 3.0,
    balance: Annotated[float, Range("[0, 1]")] = 0.5,
    seed: Whole = 0,
) -> AttackResult:
    """Boosting Adversarial Transferability by Achieving Flat Local Maxima (Ge et al., arXiv 2306.05225), Algorithm 1.

    MI-FGSM on the loss plus a penalty on the norm of its gradient, which prefers flat minima. The gradient of the
    penalty is a finite difference of gradients, so that the step's gradient is (1 - ``balance``) g(x') + ``balance``
    g(x''), averaged over ``neighbours``: x' is drawn from a ball of ``radius`` eps around the iterate, and x'' is one
    step from x' along the gradient, to where the loss is higher. ``step`` is eps / steps unless set.
    The attack returns its last iterate.
    The step from x' to x'' is divided by the gradient's mean absolute value, as in the released code; in l2 and rms it
    has the length ``step``. The paper divides by the l1 norm, with which x'' would hardly differ from x'.
    """
    budget, length = Ball(norm, eps).of(batch), step or eps / steps
    own = None if batch.joint_eps is None else radius * batch.joint_eps
    around = Ball(norm, max(radius, 1e-30) * eps).of(replace(batch, joint_eps=own))
    entries = batch.movable.flatten(1).sum(dim=1).clamp(min=1)

    def uphill(gradient: Tensor) -> Tensor:
        if norm != "linf":
            return length * budget.steepest(gradient)
        mean = gradient.abs().flatten(1).sum(dim=1) / entries
        return length * gradient / broadcast(mean.clamp(min=1e-30))

    def gradient(delta: Tensor, number: int) -> Tensor:
        total = torch.zeros_like(delta)
        for neighbour in range(neighbours):
            near = delta + around.draw(seed, "pgn", number * neighbours + neighbour)
            first = loss_gradient(model, batch, near, targeted)
            second = loss_gradient(model, batch, near + uphill(first), targeted)
            total = total + (1 - balance) * first + balance * second
        return total / neighbours

    delta = descend(batch, budget, gradient, steps=steps, step=length, momentum=momentum)
    return judged(model, batch, delta, targeted)
