"""CWA: an attack on the common weakness of an ensemble, a flat minimum at which the members' gradients agree."""

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, members, needs
from skeleton_adv.attacks.momentum import descend, judged, loss_gradient
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import broadcast, unit
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative, Positive, checked


@needs("gradients", passes=lambda steps, **_: 2 * steps + 1)
@checked
def cwa(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive | None = None,
    steps: Count = 10,
    momentum: NonNegative = 1.0,
    reverse: NonNegative = 0.0667,
    inner: Positive = 7.7,
) -> AttackResult:
    """Rethinking Model Ensemble in Transfer-based Adversarial Attacks (Chen et al., arXiv 2303.09105), Algorithm 1,
    MI-CWA: sharpness-aware minimisation and the cosine similarity encourager.

    Each step first moves by ``reverse`` times eps towards a higher loss of the ensemble, then visits the members in
    order. Each adds its gradient, divided by its l2 norm, to an inner memory, which moves the inner iterate. The
    difference between the last and the first inner iterate is the direction of the step, to which momentum is applied.
    ``inner`` is the length of an inner step along one unit gradient, as a multiple of eps: the root mean square over
    coordinates in linf, the norm itself otherwise. The released 250 on images of 299 x 299 in [0, 1] with eps 16/255 is
    7.7 in these units. ``step`` is 2 eps / steps unless set. The attack returns its last iterate.
    Differs from the released code: norms are per clip (there, the l1 norm of the difference is over the batch), the
    loss of the ensemble is that of the mean logits, not of their sum, and targeted attacks have the reverse step too.
    """
    budget, networks = Ball(norm, eps).of(batch), members(model)
    entries = batch.movable.flatten(1).sum(dim=1).clamp(min=1).to(batch.x.dtype)
    length = inner * eps * (broadcast(entries.sqrt()) if norm == "linf" else budget.one)
    memory = torch.zeros_like(batch.x)

    def gradient(delta: Tensor, number: int) -> Tensor:
        nonlocal memory
        uphill = budget.steepest(loss_gradient(model, batch, delta, targeted))
        moved = budget.shortened(delta + reverse * eps * uphill)
        for network in networks:
            memory = momentum * memory + unit(loss_gradient(network, batch, moved, targeted))
            moved = budget.shortened(moved - length * memory)
        return delta - moved

    delta = descend(batch, budget, gradient, steps=steps, step=step or 2 * eps / steps, momentum=momentum)
    return judged(model, batch, delta, targeted)
