"""SMI-FGSM: MI-FGSM with the skeleton-motion-informed gradient."""

from collections.abc import Callable

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import cross_entropy, fooled
from skeleton_adv.attacks.smi import Order, influence, informed
from skeleton_adv.attacks.tvar import Kernel
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative, Positive, checked


@needs("gradients", passes=lambda steps, **_: steps + 1)
@checked
def smi_fgsm(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive = 1e-4,
    steps: Count = 400,
    order: Order = 2,
    momentum: NonNegative = 1.0,
    kernel: Kernel = "triweight",
) -> AttackResult:
    """MI-FGSM on the cross-entropy, with the skeleton-motion-informed gradient of Hard No-Box (arXiv 2308.05681).

    Each step moves every coordinate by ``step`` along the sign of u, within ``eps`` (both in metres):
    ``u = g~ + momentum * u``, where g~ is the motion-informed gradient of the ``order`` 1 or 2 (0: the gradient
    itself), and the gradient is divided by its mean absolute value. ``kernel``: see ``tvar``. The attack always takes
    all its steps.
    Differs from the released code: the gradient is averaged over movable entries, and autoregressions are those of
    ``tvar``.
    """
    sign = -1 if targeted else 1

    def objective(outputs: Tensor) -> Tensor:
        return sign * cross_entropy(outputs, batch.y)

    x_adv = climbed(model, batch, objective, Ball(norm, eps), step, steps, order, momentum, kernel)
    with torch.no_grad():
        return AttackResult(x_adv, fooled(model(x_adv), batch.y, targeted))


def climbed(
    model: Model,
    batch: SkeletonBatch,
    objective: Callable[[Tensor], Tensor],
    ball: Ball,
    step: float,
    steps: int,
    order: Order,
    momentum: float,
    kernel: Kernel,
) -> Tensor:
    """x_adv (N, C, T, V, M) in ``ball`` with a large ``objective``, a function of the outputs that returns (N,)."""
    budget, movable = ball.of(batch), batch.movable
    entries = movable.flatten(1).sum(dim=1).clamp(min=1).to(batch.x.dtype)
    shares = influence(batch, order, kernel)
    delta = memory = torch.zeros_like(batch.x)
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(model(batch.x + delta)).sum(), delta)
        with torch.no_grad():
            gradient = torch.where(movable, gradient, 0)
            size = gradient.flatten(1).abs().sum(dim=1) / entries
            gradient = informed(gradient / broadcast(size.clamp(min=1e-30)), shares)
            memory = torch.where(movable, gradient + momentum * memory, 0)
            delta = budget.shortened(delta + step * budget.steepest(memory))
    return batch.x + delta.detach()
