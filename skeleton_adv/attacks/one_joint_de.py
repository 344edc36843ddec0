"""One joint in one frame, moved by differential evolution, from scores only."""

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.constraints import Ball, Budget, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import uniform
from skeleton_adv.core.ranges import Count, Positive, Whole, checked


@needs("scores", columns={"joint_frames": "int"}, passes=lambda queries, **_: queries)
@checked
def one_joint_de(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.2,
    queries: Count = 4000,
    candidates: Count = 400,
    weight: Positive = 0.5,
    seed: Whole = 0,
) -> AttackResult:
    """After One Pixel Attack for Fooling Deep Neural Networks (Su, Vargas and Sakurai, arXiv 1710.08864), for
    skeletons.

    Each of ``candidates`` is one joint of one person, one frame and its displacement. In each generation, each
    has one child: the first of three random candidates plus ``weight`` times the difference of the other two. The
    child replaces the candidate if its margin is smaller.

    - ``norm``, ``eps``: the budget in metres, by default 200 mm per coordinate;
    - ``queries``: the exact number per clip; 4,000 are the first candidates and nine generations (the paper's
      100 generations would need 40,400).

    The attack returns the clip with the smallest margin of all that were queried. The column ``joint_frames`` is
    the number of joints in frames that moved.
    """
    coords, size = len(batch.skeleton.coords), min(candidates, queries)
    like = batch.x.new_empty(len(batch), size, 2 + coords)
    budget = Ball(norm, eps).of(batch)
    genes = uniform(like, batch.index, seed, "first candidates")  # (N, P, 2 + coordinates), each in (0, 1]
    margins = torch.full_like(genes[:, :, 0], torch.inf)
    x_best, lowest = batch.x, torch.full_like(batch.x[:, 0, 0, 0, 0], torch.inf)
    found = torch.zeros_like(lowest, dtype=torch.bool)
    children = genes.clone()
    for query in range(queries):
        generation, number = divmod(query, size)
        if number == 0 and generation:
            children = _children(genes, weight, batch, seed, generation)
        x = _moved(batch, children[:, number], budget)
        logits = model(x)
        value, success = margin(logits, batch.y, targeted), fooled(logits, batch.y, targeted)
        better = (success & ~found) | ((success == found) & (value < lowest))
        x_best = torch.where(broadcast(better), x, x_best)
        lowest, found = torch.where(better, value, lowest), found | success
        fitter = value < margins[:, number]
        genes[:, number] = torch.where(fitter[:, None], children[:, number], genes[:, number])
        margins[:, number] = torch.where(fitter, value, margins[:, number])
    moved = (x_best != batch.x).any(dim=1).flatten(1).sum(dim=1)
    return AttackResult(x_best, found, columns={"joint_frames": moved})


def _children(genes: Tensor, weight: float, batch: SkeletonBatch, seed: int, generation: int) -> Tensor:
    """(N, P, G) one child per candidate; genes beyond their limits are reflected."""
    size = genes.shape[1]
    drawn = uniform(genes[:, :, :3], batch.index, seed, "parents", generation)
    first, second, third = ((drawn * size).ceil().long() - 1).clamp(0, size - 1).unbind(dim=2)

    def parent(number: Tensor) -> Tensor:
        return genes.gather(1, number[:, :, None].expand_as(genes))

    child = (parent(first) + weight * (parent(second) - parent(third))).abs()
    return torch.where(child > 1, 2 - child, child).clamp(0, 1)


def _moved(batch: SkeletonBatch, genes: Tensor, budget: Budget) -> Tensor:
    """Clips with the displacement of ``genes`` (N, G) at their joint and frame."""
    movable = batch.movable.any(dim=1)  # (N, T, V, M)
    joint = _picked(movable.any(dim=1).flatten(1), genes[:, 0])  # of all joints of all persons
    frames = movable.flatten(2).gather(2, joint.view(-1, 1, 1).expand(-1, movable.shape[1], 1))[:, :, 0]
    frame = _picked(frames, genes[:, 1])
    place = torch.zeros_like(movable.flatten(1))
    place = place.scatter(1, (frame * movable[0, 0].numel() + joint)[:, None], True).view_as(movable)
    shift = torch.zeros_like(batch.x[:, :, 0, 0, 0]).index_copy(1, batch.coords, 2 * genes[:, 2:] - 1)
    place = place[:, None] & batch.movable
    delta = budget.shortened(torch.where(place, budget.radius * shift[:, :, None, None, None], 0))
    return torch.where(place, batch.x + delta, batch.x)


def _picked(there: Tensor, gene: Tensor) -> Tensor:
    """(N,) the number of the entry of ``there`` (N, K) at the share ``gene`` (N,) of those that are true."""
    rank = (gene * there.sum(dim=1)).ceil().long().clamp(min=1)
    return (there.long().cumsum(dim=1) >= rank[:, None]).long().argmax(dim=1)
