"""Sparse attacks: few joints over the whole clip, or few frames, chosen by the gradient."""

from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import cross_entropy, fooled, margin
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, checked

Part = Literal["joint", "frame"]


@needs("gradients", columns={"joint_frames": "int"}, passes=lambda count, steps, **_: count * steps + 1)
@checked
def sparse(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    part: Part = "joint",
    count: Count = 1,
    norm: Norm = "linf",
    eps: Positive = 0.05,
    step: Positive = 0.005,
    steps: Count = 30,
    loss: Literal["cross_entropy", "margin"] = "margin",
) -> AttackResult:
    """After One Pixel Attack for Fooling Deep Neural Networks (Su, Vargas and Sakurai, arXiv 1710.08864), for
    skeletons and by gradients; the constants are ours.

    - ``part``: ``joint`` moves a joint of a person in all frames, ``frame`` all joints in a frame;
    - ``count``: how many such parts may move at most. They are added one at a time: each is the part whose gradient has
      the largest l2 at the current clip;
    - ``norm``, ``eps``: the budget in metres, by default 50 mm per coordinate, because a joint without a limit
      always succeeds; ``step``: the size of each of the ``steps`` of steepest descent per part added.

    The attack returns the first clip that fools the model, so that no part is added needlessly; if none does, the
    one with the smallest loss. The column ``joint_frames`` is the number of joints in frames that moved.
    """
    budget, movable = Ball(norm, eps).of(batch), batch.movable
    x_best, lowest = batch.x, torch.full_like(batch.x[:, 0, 0, 0, 0], torch.inf)
    found = torch.zeros_like(lowest, dtype=torch.bool)
    delta, chosen = torch.zeros_like(batch.x), torch.zeros_like(movable)

    for number in range(count * steps + 1):
        delta = delta.detach().requires_grad_()
        logits = model(batch.x + delta)
        if loss == "margin":
            value = margin(logits, batch.y, targeted)
        else:
            value = cross_entropy(logits, batch.y) * (1 if targeted else -1)
        with torch.no_grad():
            success = fooled(logits, batch.y, targeted)
            better = ~found & (success | (value < lowest))
            x_best = torch.where(broadcast(better), batch.x + delta, x_best)
            lowest, found = torch.where(better, value, lowest), found | success
        if number == count * steps:
            break
        (gradient,) = torch.autograd.grad(value.sum(), delta)
        with torch.no_grad():
            gradient = torch.where(movable, gradient, 0)
            if number % steps == 0:
                chosen = chosen | (_strongest(gradient, chosen, part) & movable)
            delta = budget.shortened(delta - step * budget.steepest(torch.where(chosen, gradient, 0)))
    x_best = x_best.detach()
    moved = (x_best != batch.x).any(dim=1).flatten(1).sum(dim=1)
    return AttackResult(x_best, found, columns={"joint_frames": moved})


def _strongest(gradient: Tensor, chosen: Tensor, part: Part) -> Tensor:
    """Bool: the part with the largest l2 of the gradient that is not ``chosen``, which broadcasts over the clips."""
    rest = (1, 2) if part == "joint" else (1, 3, 4)
    size = gradient.square().sum(dim=rest, keepdim=True)
    size = torch.where(chosen.any(dim=rest, keepdim=True), -1, size)
    first = size.flatten(1).argmax(dim=1, keepdim=True)
    return torch.zeros_like(size, dtype=torch.bool).flatten(1).scatter(1, first, True).view_as(size)
