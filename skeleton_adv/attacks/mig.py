"""MIG: momentum over integrated gradients of the class probability."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.momentum import descend, judged
from skeleton_adv.constraints import Ball, Budget, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative, Positive, checked

Baseline = Literal["mean_pose", "origin"]


@needs("gradients", passes=lambda steps, points, **_: steps * points + 1)
@checked
def mig(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive | None = None,
    steps: Count = 25,
    momentum: NonNegative = 1.0,
    points: Count = 20,
    baseline: Baseline = "mean_pose",
    factor: Literal["distance", "difference"] = "distance",
    released: bool = False,
) -> AttackResult:
    """Transferable Adversarial Attack for Both Vision Transformers and Convolutional Networks via Momentum Integrated
    Gradients (Ma et al., ICCV 2023).

    MI-FGSM on the integrated gradients of the softmax probability of y between ``baseline`` and the clip: the
    clip's mean pose, which is one pose per person, or the camera's ``origin`` (the paper's black image). ``points`` is
    the number of points of the midpoint rule; the paper's are the right ends of the intervals. ``step`` is
    eps / steps unless set. The attack returns its last iterate.
    An integrated gradient is the mean gradient times the difference x - baseline. In an image this is positive, so
    that a step against the sign of the attribution lowers the probability. A coordinate may be below its baseline,
    and then such a step raises it. ``factor`` is therefore the ``distance`` abs(x - baseline); ``difference`` is the
    paper's formula. On 14 clips of UTD-MHAD it fools HCN within 30 mm on one clip, the distance on 13.
    ``released`` is MIG as in RobustBenchHAR (arXiv 2409.02483): no factor (so these are not integrated gradients),
    right ends, gradients added to the momentum without being normalised, and steps along the memory divided by its
    mean absolute value, not along its sign; with ``baseline`` origin, 200 steps of eps and a momentum of 1.
    """
    budget, start = Ball(norm, eps).of(batch), baseline_of(batch, baseline)
    sign = -1 if targeted else 1
    length = step or eps / steps
    if released:
        delta = _released(model, batch, start, budget, points, sign, steps, length, momentum)
        return judged(model, batch, delta, targeted)

    def gradient(delta: Tensor, number: int) -> Tensor:
        x = batch.x + delta
        weight = (x - start).abs() if factor == "distance" else x - start
        return sign * weight * path_gradient(model, x, start, batch.y, points)

    delta = descend(batch, budget, gradient, steps=steps, step=length, momentum=momentum)
    return judged(model, batch, delta, targeted)


def integrated_gradients(model: Model, x: Tensor, baseline: Tensor, y: Tensor, points: int) -> Tensor:
    """(N, C, T, V, M) attributions to the coordinates, whose sum is the probability of y at x minus that at baseline.

    Axiomatic Attribution for Deep Networks (Sundararajan et al., arXiv 1703.01365), Eq. 1, by the midpoint rule.
    """
    return (x - baseline) * path_gradient(model, x, baseline, y, points)


def path_gradient(
    model: Model, x: Tensor, baseline: Tensor, y: Tensor, points: int, *, right_ends: bool = False
) -> Tensor:
    """(N, C, T, V, M) mean gradient of the softmax probability of y (N,) at points between ``baseline`` and ``x``."""
    total = torch.zeros_like(x)
    for point in range(points):
        share = (point + (1.0 if right_ends else 0.5)) / points
        there = (baseline + share * (x - baseline)).detach().requires_grad_()
        probability = model(there).softmax(dim=1).gather(1, y[:, None])
        total = total + torch.autograd.grad(probability.sum(), there)[0]
    return total / points


def baseline_of(batch: SkeletonBatch, kind: Baseline) -> Tensor:
    """(N, C, T, V, M) clips in which existing joints have their mean over time, or are at the origin.

    Channels that are not coordinates, and joints that do not exist, are those of the clip.
    """
    exists = replace(batch, allowed=None).movable
    if kind == "origin":
        return torch.where(exists, 0, batch.x)
    frames = batch.mask.sum(dim=2, keepdim=True).clamp(min=1)
    mean = torch.where(exists, batch.x, 0).sum(dim=2, keepdim=True) / frames
    return torch.where(exists, mean, batch.x)


def _released(
    model: Model,
    batch: SkeletonBatch,
    start: Tensor,
    budget: Budget,
    points: int,
    sign: int,
    steps: int,
    step: float,
    momentum: float,
) -> Tensor:
    """The displacement (N, C, T, V, M) of RobustBenchHAR's rule."""
    delta, memory, movable = torch.zeros_like(batch.x), torch.zeros_like(batch.x), batch.movable
    entries = movable.flatten(1).sum(dim=1)
    for _ in range(steps):
        gradient = sign * path_gradient(model, batch.x + delta, start, batch.y, points, right_ends=True)
        memory = momentum * memory + torch.where(movable, gradient, 0)
        mean = memory.abs().flatten(1).sum(dim=1) / entries.clamp(min=1)
        delta = budget.shortened(delta - step * memory / broadcast(mean.clamp(min=1e-30)))
    return delta
