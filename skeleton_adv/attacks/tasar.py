"""The attack of TASAR: gradients averaged over a posterior, and their effect through the motion."""

from typing import Annotated, Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs, posterior
from skeleton_adv.attacks.losses import cross_entropy, fooled
from skeleton_adv.attacks.smi import influence, informed
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Range, checked


@needs(
    "gradients",
    passes=lambda steps, motion, motion_of, **_: steps * (2 if motion and motion_of == "mean" else 1) + 1,
    posterior=True,
)
@checked
def tasar(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive = 0.001,
    steps: Count = 200,
    draws: Count = 20,
    scale: NonNegative = 1.5,
    motion: Annotated[float, Range("[0, 1]")] = 0.2,
    order: Literal[1, 2] = 2,
    motion_of: Literal["draws", "mean"] = "draws",
    momentum: NonNegative = 1.0,
    accumulate: bool = False,
    direction: Literal["steepest", "value"] = "steepest",
) -> AttackResult:
    """TASAR: Transfer-based Attack on Skeletal Action Recognition (Diao et al., arXiv 2409.02483).

    G is the gradient of the mean cross-entropy of ``draws`` draws of each appended network (``training=tasar``), with
    ``scale`` times the standard deviations of their posterior. All of them share the logits of the frozen recogniser,
    so a step takes one pass through it, not one per draw. C is the motion gradient: in each step it becomes
    ``g + momentum * C + E1 g[+1] + E2 g[+2]``, with the clip's own influences on its next frames (``smi.influence``,
    of ``order`` 1 or 2). The clip moves along ``(1 - motion) G / mean|G| + motion C / mean|C|``, means per clip over
    its movable entries, for ``steps`` steps, and the last iterate is returned.

    - ``norm``, ``eps`` and ``step``: metres, as in PGD
    - ``motion_of``: the loss whose gradient is g: that of the ``draws``, or of the ``mean`` network, a further pass
    - ``accumulate``: whether G is the sum over all steps so far
    - ``direction``: ``steepest``: steps of length ``step`` in the norm; ``value``: ``step`` times the direction

    The released code (``tasar_released``) has ``motion_of=mean``, ``accumulate`` (its sum is never reset),
    ``direction=value`` and a step as large as the budget, so that it saturates after one or two steps. Differs from it:
    the influences are those of the clip itself, not of another one; means are per clip; it does not stop once all clips
    of a batch fool the surrogate; two persons and networks of two streams are supported.
    """
    budget, movable = Ball(norm, eps).of(batch), batch.movable
    shares = influence(batch, order) if motion else ()
    sign, sampled = 1 if targeted else -1, posterior(model)
    delta, total, memory = (torch.zeros_like(batch.x) for _ in range(3))
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        logits = sampled(batch.x + delta, draws, scale)  # (H, N, K)
        own = _gradient(sign * _mean_loss(logits, batch.y), delta, movable)
        total = own + total if accumulate else own
        move = (1 - motion) * _normalised(total, movable)
        if motion:
            if motion_of == "mean":
                own = _gradient(sign * cross_entropy(model(batch.x + delta), batch.y), delta, movable)
            memory = torch.where(movable, informed(own, shares) + momentum * memory, 0)
            move = move + motion * _normalised(memory, movable)
        delta = budget.shortened(delta.detach() - step * (budget.steepest(move) if direction == "steepest" else move))
    with torch.no_grad():
        x_adv = batch.x + delta.detach()
        return AttackResult(x_adv, fooled(model(x_adv), batch.y, targeted))


def _mean_loss(logits: Tensor, y: Tensor) -> Tensor:
    """(N,) mean cross-entropy of networks with logits (H, N, K)."""
    return cross_entropy(logits.flatten(0, 1), y.repeat(len(logits))).view(len(logits), -1).mean(dim=0)


def _gradient(loss: Tensor, delta: Tensor, movable: Tensor) -> Tensor:
    """The gradient of losses (N,), 0 at immovable entries."""
    (gradient,) = torch.autograd.grad(loss.sum(), delta)
    return torch.where(movable, gradient, 0)


def _normalised(gradient: Tensor, movable: Tensor) -> Tensor:
    """A gradient divided by its mean absolute value over each clip's movable entries."""
    mean = gradient.abs().flatten(1).sum(dim=1) / movable.flatten(1).sum(dim=1).clamp(min=1)
    return gradient / broadcast(mean.clamp(min=1e-30))
