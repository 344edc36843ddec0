"""SVRE: an attack on an ensemble whose inner loop reduces the variance between its members."""

import random

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, members, needs
from skeleton_adv.attacks.momentum import descend, judged, loss_gradient, remembered
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Whole, checked


@needs("gradients", passes=lambda steps, inner_steps, **_: steps * (2 + inner_steps) + 1)
@checked
def svre(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive | None = None,
    steps: Count = 10,
    momentum: NonNegative = 1.0,
    inner_steps: Count = 4,
    inner_step: Positive | None = None,
    seed: Whole = 0,
) -> AttackResult:
    """Stochastic Variance Reduced Ensemble Adversarial Attack for Boosting the Adversarial Transferability (Xiong et
    al., arXiv 2111.10752), Algorithm 1.

    Each step has an inner loop of ``inner_steps`` per member: it draws a member k and follows, with a separate
    momentum, g_k(d) - g_k(x) + g(x), where d is the inner iterate, x the outer one, and g the gradient of the
    cross-entropy of the mean logits. The last memory of the inner loop is the gradient of the outer step. ``step`` is
    eps / steps unless set, and ``inner_step`` is ``step``. The draws depend on ``seed`` and the step alone.
    A step calls the ensemble once, each member once, and one member per inner step (the paper evaluates g_k(x) at
    every inner step). The attack returns its last iterate.
    RobustBenchHAR's SVRE (arXiv 2409.02483) has no inner loop: it is ``ens_released``.
    """
    budget, networks = Ball(norm, eps).of(batch), members(model)
    length = step or eps / steps

    def gradient(delta: Tensor, number: int) -> Tensor:
        whole = loss_gradient(model, batch, delta, targeted)
        own = [loss_gradient(network, batch, delta, targeted) for network in networks]
        draws = random.Random(f"{seed} svre {number}")
        inner, memory = delta, torch.zeros_like(delta)
        for _ in range(inner_steps * len(networks)):
            k = draws.randrange(len(networks))
            reduced = loss_gradient(networks[k], batch, inner, targeted) - own[k] + whole
            memory = remembered(memory, reduced, momentum)
            inner = budget.shortened(inner - (inner_step or length) * budget.steepest(memory))
        return memory

    delta = descend(batch, budget, gradient, steps=steps, step=length, momentum=momentum)
    return judged(model, batch, delta, targeted)
