"""Projected gradient descent in an l2 or l-infinity ball; FGSM, BIM, MI-FGSM and I-FGVM are settings of it."""

from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model
from skeleton_adv.attacks.losses import cross_entropy, fooled, margin
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import normal, uniform
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Whole, checked

Norm = Literal["l2", "linf"]


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

    ``eps`` and ``step`` are metres: of the whole clip's displacement for ``l2``, of a coordinate's
    for ``linf``. ``direction``: ``steepest`` goes ``step`` far (the sign of the gradient, or its
    direction in l2), ``value`` goes ``step`` times the gradient (I-FGVM). ``momentum`` adds that
    share of the last gradients, each divided by its l1 norm (MI-FGSM, Dong et al., arXiv
    1710.06081). What may not move is taken out of the gradient before it is normalised, and of the
    random start. Each clip returns, of all restarts, the iterate of least loss among those that fool
    the model, else among all: the whole budget is spent, also where the model draws noise and fooling it
    once may be luck.
    """
    movable = batch.movable.to(batch.x.dtype)
    x_best, lowest = batch.x, torch.full_like(batch.x[:, 0, 0, 0, 0], torch.inf)
    found = torch.zeros_like(lowest, dtype=torch.bool)

    def objective(logits: Tensor) -> Tensor:
        """(N,) what is made small."""
        if loss == "margin":
            return margin(logits, batch.y, targeted)
        return cross_entropy(logits, batch.y) * (1 if targeted else -1)

    for restart in range(restarts):
        delta = _start(batch, movable, norm, eps, seed, restart) if random_start else torch.zeros_like(batch.x)
        memory = torch.zeros_like(delta)
        for number in range(steps + 1):
            delta.requires_grad_()
            logits = model(batch.x + delta)
            value = objective(logits)
            with torch.no_grad():
                success = fooled(logits, batch.y, targeted)
                better = (success & ~found) | ((success == found) & (value < lowest))
                x_best = torch.where(_wide(better), batch.x + delta, x_best)
                lowest = torch.where(better, value, lowest)
                found |= success
            if number == steps:
                break
            (gradient,) = torch.autograd.grad(value.sum(), delta)
            with torch.no_grad():
                gradient = gradient * movable
                if momentum:
                    size = gradient.abs().flatten(1).sum(dim=1)
                    memory = gradient = momentum * memory + gradient / _wide(size.clamp(min=1e-30))
                if direction == "steepest":
                    gradient = gradient.sign() if norm == "linf" else _unit(gradient)
                delta = _projected(delta.detach() - step * gradient, norm, eps)
    return AttackResult(x_best.detach(), found)


def _start(batch: SkeletonBatch, movable: Tensor, norm: Norm, eps: float, seed: int, restart: int) -> Tensor:
    """A point drawn uniformly from the ball of what may move."""
    if norm == "linf":
        return eps * (2 * uniform(batch.x, batch.index, seed, "pgd", restart) - 1) * movable
    outward = _unit(normal(batch.x, batch.index, seed, "pgd", restart) * movable)
    size = movable.flatten(1).sum(dim=1).clamp(min=1)
    far = uniform(batch.x[:, 0, 0, 0], batch.index, seed, "pgd radius", restart)[:, 0]
    return outward * _wide(eps * far ** (1 / size))


def _projected(delta: Tensor, norm: Norm, eps: float) -> Tensor:
    if norm == "linf":
        return delta.clamp(-eps, eps)
    return delta * _wide((eps / delta.flatten(1).norm(dim=1).clamp(min=1e-30)).clamp(max=1))


def _unit(direction: Tensor) -> Tensor:
    return direction / _wide(direction.flatten(1).norm(dim=1).clamp(min=1e-30))


def _wide(values: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1, 1)
