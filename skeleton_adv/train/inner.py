"""The inner maximisation of adversarial training: training clips are moved within a budget, where the loss is high."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from skeleton_adv.constraints import Ball
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.tree import rebuilt

Mode = Literal["train", "eval"]
Objective = Callable[[Tensor], Tensor]  # clips (N, C, T, V, M) -> (N,) which the attack maximises
JUDGED = 10  # steps of the attack on held-out clips: one-step training may learn to fool its own single step


def in_ball(
    objective: Objective, batch: SkeletonBatch, ball: Ball, *, step: float, steps: int, random_start: bool = True
) -> Tensor:
    """The clips after ``steps`` steps of length ``step`` (metres) of projected gradient ascent in ``ball``.

    The start is uniform in the ball, by torch's global generator, or the clean clip.
    """
    budget = ball.of(batch)
    seed = int(torch.randint(2**31, ())) if random_start else 0
    delta = budget.draw(seed, "inner maximisation", 0) if random_start else torch.zeros_like(batch.x)
    for _ in range(steps):
        gradient = _gradient(lambda moved: objective(batch.x + moved), delta)
        delta = budget.shortened(delta + step * budget.steepest(torch.where(batch.movable, gradient, 0)))
    return batch.x + delta


def in_bones(objective: Objective, batch: SkeletonBatch, eps: float, *, step: float, steps: int) -> Tensor:
    """The clips after ``steps`` sign steps on one factor per bone and person, which stays within ``1 +- eps``."""
    change = batch.x.new_zeros(len(batch), batch.x.shape[4], len(batch.skeleton.bones))
    for _ in range(steps):
        gradient = _gradient(lambda moved: objective(rebuilt(batch, 1 + moved)), change)
        change = (change + step * gradient.sign()).clamp(-eps, eps)
    return rebuilt(batch, 1 + change)


def step_of(step: float | None, eps: float, steps: int) -> float:
    """The length of a step: as set, or 2.5 budgets divided by the number of steps, at most 1.25 budgets."""
    return min(2.5 / steps, 1.25) * eps if step is None else step


@contextmanager
def attacking(model: nn.Module, mode: Mode) -> Iterator[None]:
    """The model while its clips are attacked, in one of two modes; afterwards it is as before.

    ``eval``: dropout is off, and batch normalisation uses its running statistics. ``train``: as it is trained, but
    running statistics do not change.
    """
    modes = [(module, module.training) for module in model.modules()]
    norms = [
        module
        for module, training in modes
        if training and isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]
    try:
        if mode == "eval":
            model.eval()
        for norm in norms if mode == "train" else []:
            norm.track_running_stats = False
        yield
    finally:
        for module, training in modes:
            module.training = training
        for norm in norms:
            norm.track_running_stats = True


def _gradient(objective: Objective, at: Tensor) -> Tensor:
    """The gradient of the summed objective; weights collect none."""
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(at).sum(), at)
    return gradient
