"""CIASA: signed steps, each followed by restoring all bone lengths, with a perturbation that is smooth over time."""

from collections.abc import Callable

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.momentum import judged, objective
from skeleton_adv.constraints import Ball, Budget, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import coordinates, length
from skeleton_adv.core.ranges import Count, NonNegative, Positive, checked
from skeleton_adv.core.skeleton import Skeleton

ROUNDS = 12  # of the bisection that makes a realigned clip fit its budget


@needs("gradients", passes=lambda steps, **_: steps + 1)
@checked
def ciasa(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive | None = None,
    steps: Count = 40,
    smoothness: NonNegative = 0.1,
) -> AttackResult:
    """After Adversarial Attack on Skeleton-based Human Action Recognition (Liu, Akhtar and Mian, arXiv 1909.06500).

    Re-implemented from descriptions of CIASA; the constants are ours. PGD on the cross-entropy plus ``smoothness``
    times the mean squared second difference of the perturbation over time, in units of eps. After each step the
    skeleton is realigned: from the root outwards, each joint moves to the nearest point at which its bone has its
    clean length in that frame. The original also has a discriminator of poses, which this attack lacks.
    ``step`` is eps / 10 unless set. At the end, the displacement is realigned within the budget: it is shortened as
    a whole, per clip, until every joint is inside. All bones have their clean lengths, up to rounding.
    Localised attacks choose ``joints``: a joint moves only if all joints below it (away from the root) may move,
    because its bones would change otherwise. An arm is therefore the shoulder and all joints below it.
    RobustBenchHAR's CIASA (arXiv 2409.02483) has no realignment, and its discriminator has no gradient, which
    leaves ``smart_rbhar``.
    """
    budget = Ball(norm, eps).of(batch)
    free = free_joints(batch, budget)
    unit = eps if norm == "linf" else smooth_unit(free, budget)
    align = realignment(batch, free)
    delta = torch.zeros_like(batch.x)
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        loss = objective(model(batch.x + delta), batch.y, targeted)
        loss = loss + smoothness * roughness(delta / unit, free)
        (gradient,) = torch.autograd.grad(loss.sum(), delta)
        with torch.no_grad():
            gradient = torch.where(free, gradient, 0)
            moved = budget.shortened(delta - (step or eps / 10) * budget.steepest(gradient))
            delta = align(moved)
    return judged(model, batch, within(budget, align, delta.detach()), targeted)


def free_joints(batch: SkeletonBatch, budget: Budget) -> Tensor:
    """(N, C, T, V, M) bool: the movable entries of joints whose descendants may all move too."""
    movable, exists = batch.movable & (budget.radius > 0), batch.mask
    free = list(movable.unbind(dim=3))
    for joint, parent in reversed(outwards(batch.skeleton)):
        free[parent] = free[parent] & (free[joint] | ~exists[:, :, :, joint])
    return torch.stack(free, dim=3) & movable


def outwards(skeleton: Skeleton) -> list[tuple[int, int]]:
    """The bones ``(joint, parent)`` from the root outwards."""
    order, known = [], {skeleton.root}
    while len(known) < skeleton.num_joints:
        order += [(joint, parent) for joint, parent in skeleton.bones if parent in known and joint not in known]
        known |= {joint for joint, _ in order}
    return order


def realignment(batch: SkeletonBatch, free: Tensor) -> Callable[[Tensor], Tensor]:
    """The function that gives displaced clips the bone lengths of the clean ones; displacements (N, C, T, V, M).

    It computes in float64. A joint that is not ``free``, or whose parent does not exist, stays where it is.
    """
    body, dtype, coords = batch.skeleton, batch.x.dtype, list(batch.skeleton.coords)
    clean = coordinates(batch.x.double(), body)
    moves = free[:, coords[:1]] & batch.mask
    lengths = {j: length(clean[:, :, :, j] - clean[:, :, :, p])[:, None] for j, p in outwards(body)}

    def align(delta: Tensor) -> Tensor:
        wanted = clean + coordinates(delta.double(), body)
        joints = list(wanted.unbind(dim=3))
        for joint, parent in outwards(body):
            bone = joints[joint] - joints[parent]
            size = length(bone)[:, None]
            tip = joints[parent] + bone * (lengths[joint] / size.clamp(min=1e-30))
            bound = moves[:, :, :, joint] & batch.mask[:, :, :, parent] & (size > 0)
            joints[joint] = torch.where(bound, tip, joints[joint])
        moved = torch.where(moves, torch.stack(joints, dim=3) - clean, 0).to(dtype)
        if len(coords) == body.channels:
            return moved
        return torch.zeros_like(delta).index_copy(1, torch.tensor(coords, device=delta.device), moved)

    return align


def within(budget: Budget, align: Callable[[Tensor], Tensor], delta: Tensor) -> Tensor:
    """The realigned displacement of the largest share of ``delta`` that a bisection finds inside the budget."""
    for _ in range(3):  # alternating projections leave less to shorten
        delta = align(budget.shortened(delta))
    share, size = torch.ones_like(delta[:, 0, 0, 0, 0]), 1.0
    best = torch.zeros_like(delta)
    for _ in range(ROUNDS):
        moved = align(broadcast(share) * delta)
        inside = (budget.shortened(moved) == moved).flatten(1).all(dim=1)
        best = torch.where(broadcast(inside), moved, best)
        size /= 2
        share = (share + torch.where(inside, size, -size)).clamp(max=1)
    return best


def smooth_unit(free: Tensor, budget: Budget) -> Tensor:
    """(N, 1, 1, 1, 1) the displacement of every free coordinate whose l2 is the budget."""
    entries = free.flatten(1).sum(dim=1).clamp(min=1).to(budget.radius.dtype)
    return budget.radius / broadcast(entries.sqrt())


def roughness(delta: Tensor, free: Tensor) -> Tensor:
    """(N,) mean squared second difference over time of ``delta``, over coordinates that are free in three frames."""
    threes = free[:, :, 2:] & free[:, :, 1:-1] & free[:, :, :-2]
    second = delta[:, :, 2:] - 2 * delta[:, :, 1:-1] + delta[:, :, :-2]
    total = torch.where(threes, second, 0).square().flatten(1).sum(dim=1)
    return total / threes.flatten(1).sum(dim=1).clamp(min=1)
