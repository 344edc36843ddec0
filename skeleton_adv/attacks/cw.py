"""The attack of Carlini and Wagner: the smallest l2 that fools the model, without body constraints."""

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import fooled, hinge
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative, Positive, checked


@needs("gradients", passes=lambda search_steps, steps, **_: search_steps * steps + 1)
@checked
def cw(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    c: Positive = 0.01,
    search_steps: Count = 5,
    steps: Count = 200,
    lr: Positive = 5e-3,
    conf: NonNegative = 0.0,
    abort_early: bool = True,
) -> AttackResult:
    """Towards Evaluating the Robustness of Neural Networks (Carlini and Wagner, arXiv 1608.04644), l2.

    Minimises ``|d|^2 + c max(margin + conf, 0)``, with the displacement d in metres, for ``search_steps`` values
    of c per clip: c grows tenfold until the first success and is bisected after it.
    Coordinates are unbounded, so there is no box and no change of variables. The attack returns the
    shortest d that fools the model, per clip; if none does, it returns the last iterate with ``found`` False. With
    ``abort_early``, a clip stops once a tenth of the steps does not lower its loss by a ten-thousandth.
    Differs from the paper: Adam's second moment is one number per clip, and the learning rate falls to 0. With one
    number per coordinate and a constant rate, short d are up to 1.4 times too long on a linear victim.
    A model that draws noise may be fooled once by chance; ``conf`` above 0 makes this rarer. A search
    takes all its steps even if all clips have stopped, so that a clip's draws do not depend on other clips.
    """
    n, per_clip = len(batch), (-1, 1, 1, 1, 1)
    movable = batch.movable
    entries = movable.flatten(1).sum(dim=1).clamp(min=1).to(batch.x.dtype)
    low, high = torch.zeros_like(batch.x[:, 0, 0, 0, 0]), torch.full_like(batch.x[:, 0, 0, 0, 0], torch.inf)
    weight = torch.full_like(low, c)
    best, shortest = torch.zeros_like(batch.x), high.clone()
    last = best
    for _ in range(search_steps):
        delta = torch.zeros_like(batch.x).requires_grad_()
        first, second = torch.zeros_like(batch.x), torch.zeros_like(low)
        reached, active = torch.zeros(n, dtype=torch.bool, device=low.device), torch.ones_like(low)
        lowest = checked_lowest = torch.full_like(low, torch.inf)
        for step in range(steps):
            logits = model(batch.x + delta)
            length = delta.flatten(1).square().sum(dim=1)
            excess = hinge(logits, batch.y, targeted, conf)
            loss = length + weight * excess
            (gradient,) = torch.autograd.grad(loss.sum(), delta)
            with torch.no_grad():
                success = fooled(logits, batch.y, targeted) & (excess <= 0) & (active > 0)
                better = success & (length < shortest)
                best = torch.where(better.view(per_clip), delta, best)
                shortest = torch.where(better, length, shortest)
                reached |= success
            lowest = torch.minimum(lowest, loss.detach())
            if abort_early and step and step % max(steps // 10, 1) == 0:
                active = active * (lowest < checked_lowest * (1 - 1e-4))
                checked_lowest = lowest
            with torch.no_grad():
                gradient = torch.where(movable, gradient, 0)
                first = 0.9 * first + 0.1 * gradient
                second = 0.999 * second + 0.001 * gradient.flatten(1).square().sum(dim=1) / entries
                rate = active * lr * (1 - step / steps) / (1 - 0.9 ** (step + 1))
                rate = rate / ((second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
                delta -= rate.view(per_clip) * first
        last = delta.detach()
        high = torch.where(reached, torch.minimum(high, weight), high)
        low = torch.where(reached, low, torch.maximum(low, weight))
        weight = torch.where(high.isfinite(), (low + high) / 2, weight * 10)
    found = shortest.isfinite()
    x_adv = batch.x + torch.where(found.view(per_clip), best, last)
    return AttackResult(x_adv, found & _fools_rounded(model, x_adv, batch, targeted))


def _fools_rounded(model: Model, x_adv: Tensor, batch: SkeletonBatch, targeted: bool) -> Tensor:
    """(N,) bool: whether the returned clip, which is rounded, still fools the model."""
    with torch.no_grad():
        return fooled(model(x_adv), batch.y, targeted)
