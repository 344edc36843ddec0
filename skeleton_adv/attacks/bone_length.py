"""The bone-length attack of Tanaka et al.: one factor per bone and person, constant over time."""

from typing import Annotated, Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import cross_entropy, fooled
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, Range, checked
from skeleton_adv.core.tree import rebuilt


@needs("gradients", passes=lambda steps, **_: steps + 1, masks=False)
@checked
def bone_length(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    factor_norm: Literal["linf", "l2"] = "linf",
    factor_eps: Annotated[float, Range("(0, 1)")] = 0.1,
    step: Positive = 0.01,
    steps: Count = 50,
    optimiser: Literal["pgd", "adam"] = "pgd",
) -> AttackResult:
    """Adversarial Bone Length Attack on Action Recognition (Tanaka, Kera and Kawamoto, AAAI 2022, arXiv 2109.05830).

    The variables are the factors (N, M, E) of the bones, which start at 1: a bone is its factor times the clean bone,
    and joints are rebuilt from the root outwards. Directions and the root's path do not change.

    - ``factor_eps``: the largest ``|factor - 1|``, or with ``factor_norm=l2`` its l2 norm over a clip's bones; a share,
      not metres;
    - ``step``: the change of a factor per step: along the sign of the gradient, along the gradient (l2), or
      Adam's learning rate;
    - ``optimiser``: ``pgd`` on the cross-entropy, or ``adam``; both are projected after each step.

    The attack returns the first iterate that fools the model, per clip; if none does, the last.
    Differs from the released code: its l2 option shortens the factors instead of their distance from 1, which
    shrinks the body to a point; here the budget is a ball around 1. That code also attacks one clip at a time and ends
    with the first success of the batch. A bone that does not exist in a frame moves no joint there. A factor applies to
    all frames, so the attack has no masks.
    """
    clean = torch.ones(len(batch), batch.x.shape[4], len(batch.skeleton.bones), dtype=batch.x.dtype)
    factors = clean = clean.to(batch.x.device)
    first, second = torch.zeros_like(clean), torch.zeros_like(clean)
    x_best, found = batch.x, torch.zeros(len(batch), dtype=torch.bool, device=batch.x.device)
    for number in range(steps + 1):
        factors = factors.detach().requires_grad_()
        x_adv = rebuilt(batch, factors)
        logits = model(x_adv)
        loss = cross_entropy(logits, batch.y) * (1 if targeted else -1)
        with torch.no_grad():
            x_best = torch.where(found.view(-1, 1, 1, 1, 1), x_best, x_adv)
            found = found | fooled(logits, batch.y, targeted)
        if number == steps:
            break
        (gradient,) = torch.autograd.grad(loss.sum(), factors)
        with torch.no_grad():
            if optimiser == "adam":
                first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient.square()
                rate = step * (1 - 0.999 ** (number + 1)) ** 0.5 / (1 - 0.9 ** (number + 1))
                move = rate * first / (second.sqrt() + 1e-8)
            elif factor_norm == "linf":
                move = step * gradient.sign()
            else:
                move = step * gradient / _sizes(gradient)
            factors = clean + _projected(factors - move - clean, factor_norm, factor_eps)
    return AttackResult(x_best.detach(), found)


def _projected(change: Tensor, norm: str, eps: float) -> Tensor:
    """The nearest changes (N, M, E) of the factors within the budget."""
    return change.clamp(-eps, eps) if norm == "linf" else change * (eps / _sizes(change)).clamp(max=1)


def _sizes(change: Tensor) -> Tensor:
    """(N, 1, 1) l2 norms over a clip's bones."""
    size: Tensor = change.flatten(1).norm(dim=1).clamp(min=1e-30).view(-1, 1, 1)
    return size
