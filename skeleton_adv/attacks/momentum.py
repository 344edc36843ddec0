"""Iterative attacks with momentum: the loop that transfer attacks share, and the gradient of their loss."""

from collections.abc import Callable

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model
from skeleton_adv.attacks.losses import cross_entropy, fooled
from skeleton_adv.constraints import Budget
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch

# (displacement (N, C, T, V, M) in metres, number of the step) -> the gradient that the step descends
Gradient = Callable[[Tensor, int], Tensor]


def descend(
    batch: SkeletonBatch, budget: Budget, gradient: Gradient, *, steps: int, step: float, momentum: float
) -> Tensor:
    """The displacement (N, C, T, V, M) after ``steps`` steps of MI-FGSM (Dong et al., arXiv 1710.06081) from 0.

    The memory is ``momentum`` times itself plus the gradient, divided by its l1 norm per clip; each step has length
    ``step`` in the budget's norm, along the memory's sign in linf. Other implementations divide by the mean absolute
    value, which gives the same steps. Without momentum it is I-FGSM.
    """
    delta, memory = torch.zeros_like(batch.x), torch.zeros_like(batch.x)
    for number in range(steps):
        current = torch.where(batch.movable, gradient(delta, number), 0)
        memory = remembered(memory, current, momentum) if momentum else current
        delta = budget.shortened(delta - step * budget.steepest(memory))
    return delta


def remembered(memory: Tensor, gradient: Tensor, momentum: float) -> Tensor:
    """``momentum * memory`` plus the gradient, divided by its l1 norm per clip; (N, C, T, V, M)."""
    size = gradient.abs().flatten(1).sum(dim=1)
    return momentum * memory + gradient / broadcast(size.clamp(min=1e-30))


def objective(logits: Tensor, y: Tensor, targeted: bool) -> Tensor:
    """(N,) the loss that the attacks minimise: the cross-entropy of the target, or minus that of the true class."""
    return cross_entropy(logits, y) * (1 if targeted else -1)


def loss_gradient(model: Model, batch: SkeletonBatch, delta: Tensor, targeted: bool) -> Tensor:
    """(N, C, T, V, M) gradient of the objective at ``batch.x + delta``, 0 at immovable entries."""
    delta = delta.detach().requires_grad_()
    loss = objective(model(batch.x + delta), batch.y, targeted)
    (gradient,) = torch.autograd.grad(loss.sum(), delta)
    return torch.where(batch.movable, gradient, 0)


def judged(model: Model, batch: SkeletonBatch, delta: Tensor, targeted: bool) -> AttackResult:
    """The displaced clips, and whether they fool the model; calls the model once."""
    with torch.no_grad():
        x_adv = batch.x + delta
        return AttackResult(x_adv, fooled(model(x_adv), batch.y, targeted))
