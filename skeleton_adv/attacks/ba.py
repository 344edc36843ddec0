"""A Bayesian attack: I-FGSM with momentum on the mean loss of networks drawn from a posterior."""

import torch

from skeleton_adv.attacks import AttackResult, Model, needs, posterior
from skeleton_adv.attacks.losses import cross_entropy, fooled
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative, Positive, checked


@needs("gradients", passes=lambda steps, draws, **_: steps * draws + 1, posterior=True)
@checked
def ba(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive = 0.001,
    steps: Count = 50,
    draws: Count = 3,
    scale: NonNegative = 1.5,
    momentum: NonNegative = 1.0,
) -> AttackResult:
    """Making Substitute Models More Bayesian Can Enhance Transferability of Adversarial Examples (Li et al.,
    arXiv 2302.05086), as RobustBenchHAR runs it: each step descends the mean cross-entropy of ``draws`` networks,
    with ``scale`` times the standard deviations of the posterior (``training=ba``).

    ``norm``, ``eps`` and ``step`` are in metres, as in PGD; ``momentum`` is that of MI-FGSM (Dong et al., arXiv
    1710.06081), 0 for I-FGSM. Each draw takes one pass. The last iterate is returned.
    Differs from RobustBenchHAR: steps are along the sign of the gradient, not along the gradient, and as long as a
    tenth of the budget, not all of it; MS-G3D and 2s-AGCN are drawn too (there, their branch ignores the draws).
    Differs from Li et al.: no noise is added to the clips.
    """
    budget, movable = Ball(norm, eps).of(batch), batch.movable
    sign, sampled = 1 if targeted else -1, posterior(model)
    delta, memory = torch.zeros_like(batch.x), torch.zeros_like(batch.x)
    for _ in range(steps):
        gradient = torch.zeros_like(delta)
        for _ in range(draws):  # one by one, so that the memory is that of one network
            delta = delta.detach().requires_grad_()
            logits = sampled(batch.x + delta, 1, scale)  # (H, N, K), H = 1, or the number of appended parts
            loss = cross_entropy(logits.flatten(0, 1), batch.y.repeat(len(logits)))
            (own,) = torch.autograd.grad(sign * loss.sum() / len(logits) / draws, delta)
            gradient = gradient + torch.where(movable, own, 0)
        size = gradient.abs().flatten(1).sum(dim=1).clamp(min=1e-30)
        memory = momentum * memory + gradient / broadcast(size)
        delta = budget.shortened(delta.detach() - step * budget.steepest(memory))
    with torch.no_grad():
        x_adv = batch.x + delta.detach()
        return AttackResult(x_adv, fooled(model(x_adv), batch.y, targeted))
