"""C&W in l-infinity: a penalty on changes above a shrinking threshold."""

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import fooled, hinge, margin
from skeleton_adv.attacks.shortest import FLOOR, Shortest, per_clip
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Fraction, NonNegative, Positive, Probability, checked


@needs("gradients", passes=lambda outer_steps, inner_steps, **_: outer_steps * inner_steps + 2, minimises="linf")
@checked
def cw_linf(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    c: Positive = 1.0,
    outer_steps: Count = 40,
    inner_steps: Count = 25,
    lr: Fraction = 0.1,
    shrink: Probability = 0.9,
    conf: NonNegative = 0.0,
) -> AttackResult:
    """Towards Evaluating the Robustness of Neural Networks (Carlini and Wagner, arXiv 1608.04644), Sec. VI-C.

    Minimises ``c max(margin + conf, 0)`` plus the sum over coordinates of ``max(|d| - tau, 0)``, in metres, for
    ``outer_steps`` thresholds tau per clip, each from the smallest displacement so far. After a solution within tau,
    the next threshold is the fraction ``shrink`` of its largest coordinate; after a failure, c is doubled. The attack
    returns the displacement with the smallest l-infinity norm that fools the model, per clip; if none does, the last
    one.
    Differs from the paper: the first tau is the distance to the border that the gradient at the clean clip predicts
    (doubled until the first success), ``c`` is in units of the inverse of this gradient's mean entry, and ``lr`` is
    a fraction of tau, so that one setting suits every victim. A failure also replaces ``shrink`` by its square root.
    Coordinates have no bounds.
    """
    movable, best = batch.movable, Shortest(batch)
    tau, weight = _scales(model, batch, targeted, conf)
    weight = c * weight
    share, delta = torch.full_like(tau, shrink), torch.zeros_like(batch.x)
    for _ in range(outer_steps):
        delta = torch.where(per_clip(best.found), best.delta, delta)
        first, second = torch.zeros_like(delta), torch.zeros_like(delta)
        solved = torch.zeros_like(best.found)
        for step in range(inner_steps):
            delta.requires_grad_()
            logits = model(batch.x + delta)
            excess = hinge(logits, batch.y, targeted, conf)
            above = (delta.abs() - per_clip(tau)).relu().flatten(1).sum(dim=1)
            (gradient,) = torch.autograd.grad((weight * excess + above).sum(), delta)
            with torch.no_grad():
                size = delta.abs().flatten(1).amax(dim=1)
                success = fooled(logits, batch.y, targeted) & (excess <= 0)
                best.offer(delta, size, success)
                solved |= success & (size <= tau)
                gradient = torch.where(movable, gradient, 0)
                first = 0.9 * first + 0.1 * gradient
                second = 0.999 * second + 0.001 * gradient.square()
                scaled = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
                falling = lr * (1 - step / inner_steps) / (1 - 0.9 ** (step + 1))
                delta = delta.detach() - falling * per_clip(tau) * first / scaled
        share = torch.where(solved | ~best.found, share, share.sqrt())
        weight = torch.where(solved, weight, 2 * weight)
        tau = torch.where(best.found, share * best.size, 2 * tau)
    return best.result(model, batch, targeted, delta)


def _scales(model: Model, batch: SkeletonBatch, targeted: bool, conf: float) -> tuple[Tensor, Tensor]:
    """(N,) the predicted distance to the border, and the inverse of the gradient's mean size; one pass."""
    x = batch.x.clone().requires_grad_()
    loss = margin(model(x), batch.y, targeted) + conf
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    total = torch.where(batch.movable, gradient, 0).abs().flatten(1).sum(dim=1).clamp(min=1e-30)
    entries = batch.movable.flatten(1).sum(dim=1).clamp(min=1)
    return (loss.detach() / total).clamp(min=FLOOR), entries / total
