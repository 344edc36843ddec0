"""C&W in l0: as few joints in as few frames as possible."""

from dataclasses import replace

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import fooled, hinge, margin
from skeleton_adv.attacks.shortest import Shortest, length, per_clip
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Fraction, NonNegative, Positive, checked


@needs(
    "gradients",
    columns={"joint_frames": "int"},
    minimises="l0",
    passes=lambda outer_steps, inner_steps, **_: outer_steps * (inner_steps + 1) + 1,
)
@checked
def cw_l0(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    reach: Positive = 0.1,
    c: Positive = 1.0,
    outer_steps: Count = 40,
    inner_steps: Count = 50,
    lr: Fraction = 0.1,
    drop: Fraction = 0.3,
    conf: NonNegative = 0.0,
) -> AttackResult:
    """Towards Evaluating the Robustness of Neural Networks (Carlini and Wagner, arXiv 1608.04644), Sec. VI-B.

    Moves as few joint-frames (one joint of one person in one frame) as possible, each by at most ``reach`` metres:
    without this limit, a single one would be enough. Each of ``outer_steps`` rounds runs the l2 attack, which minimises
    ``|d|^2 + c max(margin + conf, 0)`` with d in metres, on the joint-frames that are still allowed, from the last
    success. After a success, the fraction ``drop`` of them with the smallest ``|gradient . d|``, at least one, is
    frozen at its clean position; after a failure, the set of the last success is allowed again, its ``drop`` is
    halved and c is ten times as large. The column ``joint_frames`` is the number of joint-frames that the returned
    clip moves. If no round succeeds, the attack returns the last iterate.
    Differs from the paper: the unit is a joint-frame instead of a coordinate, ``reach`` replaces the pixels' bounds, a
    round freezes a share instead of one unit, and ``lr`` is a fraction of ``reach`` and falls to 0 in each round.
    """
    movable = batch.movable
    proven = movable.any(dim=1, keepdim=True)  # (N, 1, T, V, M): the joint-frames of the last success
    allowed, solution, delta = proven, torch.zeros_like(batch.x), torch.zeros_like(batch.x)
    found = torch.zeros_like(batch.y, dtype=torch.bool)
    share, weight = torch.full_like(batch.x[:, 0, 0, 0, 0], drop), torch.full_like(batch.x[:, 0, 0, 0, 0], c)
    for _ in range(outer_steps):
        best, free = Shortest(batch), movable & allowed
        entries = free.flatten(1).sum(dim=1).clamp(min=1)
        first, second = torch.zeros_like(delta), torch.zeros_like(weight)
        for step in range(inner_steps):
            delta.requires_grad_()
            logits = model(batch.x + delta)
            excess = hinge(logits, batch.y, targeted, conf)
            loss = delta.flatten(1).square().sum(dim=1) + weight * excess
            (gradient,) = torch.autograd.grad(loss.sum(), delta)
            with torch.no_grad():
                best.offer(delta, length(delta), fooled(logits, batch.y, targeted) & (excess <= 0))
                gradient = torch.where(free, gradient, 0)
                first = 0.9 * first + 0.1 * gradient
                second = 0.999 * second + 0.001 * gradient.flatten(1).square().sum(dim=1) / entries
                full = reach * lr * (1 - step / inner_steps) / (1 - 0.9 ** (step + 1))
                rate = full / ((second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
                delta = _within(delta.detach() - per_clip(rate) * first, reach)
        solution = torch.where(per_clip(best.found), best.delta, solution)
        proven = torch.where(per_clip(best.found), allowed, proven)
        found |= best.found
        share = torch.where(best.found | ~found, share, share / 2)
        weight = torch.where(best.found, weight, (10 * weight).clamp(max=1e6 * c))
        use = _use(model, batch, solution, targeted)
        allowed = torch.where(per_clip(found), proven & ~_least(use, proven, share), proven)
        delta = torch.where(per_clip(found), torch.where(allowed, solution, 0), delta)
    best = Shortest(batch)
    best.offer(solution, length(solution), found)
    result = best.result(model, batch, targeted, delta)
    moved = (result.x_adv != batch.x).any(dim=1).flatten(1).sum(dim=1)
    return replace(result, columns={"joint_frames": moved})


def _within(delta: Tensor, reach: float) -> Tensor:
    """Displacements (N, C, T, V, M) in which no joint-frame moves by more than ``reach``."""
    size: Tensor = delta.norm(dim=1, keepdim=True)
    return delta * (reach / size.clamp(min=1e-30)).clamp(max=1)


def _use(model: Model, batch: SkeletonBatch, delta: Tensor, targeted: bool) -> Tensor:
    """(N, 1, T, V, M) by how much each joint-frame changes the margin, to first order; one pass."""
    delta = delta.detach().requires_grad_()
    loss = margin(model(batch.x + delta), batch.y, targeted)
    (gradient,) = torch.autograd.grad(loss.sum(), delta)
    return (gradient * delta.detach()).sum(dim=1, keepdim=True).abs()


def _least(use: Tensor, among: Tensor, share: Tensor) -> Tensor:
    """(N, 1, T, V, M) bool: the ``share`` (N,) of ``among`` with the least use: at least one, but not all."""
    there = among.flatten(1).sum(dim=1)
    count = torch.minimum((share * there).long().clamp(min=1), there - 1)
    order = torch.where(among, use, torch.inf).flatten(1).argsort(dim=1, stable=True)
    return (order.argsort(dim=1, stable=True) < count[:, None]).view_as(among)
