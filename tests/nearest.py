"""The smallest displacements that fool a linear victim, in closed form, over movable entries."""

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch

Borders = list[list[tuple[float, Tensor]]]


def gaps(model: torch.nn.Module, batch: SkeletonBatch) -> Borders:
    """For each clip and each other class, the margin and its gradient (C, T, V, M)."""
    logits = model(batch.x)
    weight = model.weight.view(-1, *batch.x.shape[1:])  # type: ignore[operator, union-attr]
    found = []
    for n, y in enumerate(logits.argmax(dim=1).tolist()):
        others = [k for k in range(logits.shape[1]) if k != y]
        found.append([(float(logits[n, y] - logits[n, k]), (weight[y] - weight[k]) * batch.movable[n]) for k in others])
    return found


def l2(model: torch.nn.Module, batch: SkeletonBatch) -> Tensor:
    """(N,) metres over the whole clip."""
    lengths = [min(gap / float(way.norm()) for gap, way in clip) for clip in gaps(model, batch)]
    return torch.tensor(lengths, dtype=batch.x.dtype)


def linf(model: torch.nn.Module, batch: SkeletonBatch) -> Tensor:
    """(N,) metres per coordinate."""
    largest = [min(gap / float(way.abs().sum()) for gap, way in clip) for clip in gaps(model, batch)]
    return torch.tensor(largest, dtype=batch.x.dtype)


def l0(model: torch.nn.Module, batch: SkeletonBatch, reach: float) -> Tensor:
    """(N,) joint-frames that must move if each may move by ``reach`` metres: those with the steepest gradients."""

    def count(gap: float, way: Tensor) -> int:
        steepest = way.norm(dim=0).flatten().sort(descending=True).values
        return int((reach * steepest.cumsum(dim=0) < gap).sum()) + 1

    return torch.tensor([min(count(gap, way) for gap, way in clip) for clip in gaps(model, batch)])
