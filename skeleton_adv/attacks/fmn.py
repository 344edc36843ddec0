"""FMN: the radius of the ball is adapted to the decision border, in l2 or l-infinity."""

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.attacks.shortest import FLOOR, Norm, Shortest, cosine, direction, length, per_clip
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, Probability, checked


@needs("gradients", passes=lambda steps, **_: steps + 1, minimises="norm")
@checked
def fmn(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "l2",
    steps: Count = 300,
    gamma: Probability = 0.05,
    gamma_final: Probability = 0.001,
    lr: Positive = 1.0,
    lr_final: Positive = 0.01,
) -> AttackResult:
    """Fast Minimum-norm Adversarial Attacks through Adaptive Norm Constraints (Pintor et al., arXiv 2102.12827).

    Lowers the margin by steps along the gradient, each followed by a projection onto a ball around the clean clip
    (Algorithm 1). Until the first success, the radius is the distance to the border that the gradient predicts; after
    it, the radius shrinks by the fraction gamma where the clip fools the model and grows by it where it does not.
    ``gamma`` and ``lr`` fall along a cosine to ``gamma_final`` and ``lr_final``. ``norm``: ``l2`` over the whole clip
    or ``linf`` per coordinate, in metres. The attack returns the smallest displacement that fools the model, per
    clip; if none does, the last one.
    Differs from the paper: ``lr`` and ``lr_final`` are fractions of the radius (for ``linf``, of the l2 norm of the
    ball's corners), the predicted radius is 1 + gamma times as large, and coordinates have no bounds.
    """
    best, last = approach(model, batch, targeted, norm, steps, gamma, gamma_final, lr, lr_final)
    return best.result(model, batch, targeted, last)


def approach(
    model: Model,
    batch: SkeletonBatch,
    targeted: bool,
    norm: Norm = "l2",
    steps: int = 300,
    gamma: float = 0.05,
    gamma_final: float = 0.001,
    lr: float = 1.0,
    lr_final: float = 0.01,
) -> tuple[Shortest, Tensor]:
    """The smallest displacements that FMN finds, and the last one; one pass per step."""
    movable, best = batch.movable, Shortest(batch)
    corner = movable.flatten(1).sum(dim=1).clamp(min=1).to(batch.x.dtype).sqrt() if norm == "linf" else 1.0
    delta, radius = torch.zeros_like(batch.x), torch.full_like(best.size, FLOOR)
    for step in range(steps):
        delta.requires_grad_()
        logits = model(batch.x + delta)
        loss = margin(logits, batch.y, targeted)
        (gradient,) = torch.autograd.grad(loss.sum(), delta)
        with torch.no_grad():
            gradient = torch.where(movable, gradient, 0)
            size, success = _size(delta, norm), fooled(logits, batch.y, targeted)
            best.offer(delta, size, success)
            change = cosine(gamma, gamma_final, step, steps)
            predicted = size + loss.clamp(min=0) / _dual(gradient, norm).clamp(min=1e-30)
            outside = torch.where(best.found, radius, predicted.clamp(min=FLOOR)) * (1 + change)
            radius = torch.where(success, torch.minimum(radius * (1 - change), best.size), outside)
            rate = cosine(lr, lr_final, step, steps) * radius * corner
            delta = _projected(delta.detach() - per_clip(rate) * direction(gradient), radius, norm)
    return best, delta


def _size(delta: Tensor, norm: Norm) -> Tensor:
    return length(delta) if norm == "l2" else delta.flatten(1).abs().amax(dim=1)


def _dual(gradient: Tensor, norm: Norm) -> Tensor:
    """(N,) how fast the margin can fall per metre of displacement in this norm."""
    return length(gradient) if norm == "l2" else gradient.flatten(1).abs().sum(dim=1)


def _projected(delta: Tensor, radius: Tensor, norm: Norm) -> Tensor:
    """The nearest displacements of at most this radius (N,)."""
    if norm == "linf":
        return torch.maximum(torch.minimum(delta, per_clip(radius)), -per_clip(radius))
    return delta * per_clip((radius / length(delta).clamp(min=1e-30)).clamp(max=1))
