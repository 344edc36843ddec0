"""The smallest displacements that fool a linear victim, in closed form, over movable entries."""

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch

Borders = list[list[tuple[float, Tensor]]]


def gaps(model: torch.nn.Module, batch: SkeletonBatch, targets: Tensor | None = None) -> Borders:
    """For each clip and each class that it may reach, the margin and its gradient (C, T, V, M)."""
    logits = model(batch.x)
    weight = model.weight.view(-1, *batch.x.shape[1:])  # type: ignore[operator, union-attr]
    true = logits.argmax(dim=1).tolist()
    found = []
    for n, y in enumerate(true):
        others = [k for k in range(logits.shape[1]) if k != y] if targets is None else [int(targets[n])]
        found.append([(float(logits[n, y] - logits[n, k]), (weight[y] - weight[k]) * batch.movable[n]) for k in others])
    return found


def l2(model: torch.nn.Module, batch: SkeletonBatch, targets: Tensor | None = None) -> Tensor:
    """(N,) metres over the whole clip."""
    return torch.tensor([min(gap / float(way.norm()) for gap, way in clip) for clip in gaps(model, batch, targets)])


def linf(model: torch.nn.Module, batch: SkeletonBatch, targets: Tensor | None = None) -> Tensor:
    """(N,) metres per coordinate."""
    return torch.tensor(
        [min(gap / float(way.abs().sum()) for gap, way in clip) for clip in gaps(model, batch, targets)]
    )


def l0(model: torch.nn.Module, batch: SkeletonBatch, eps: float, targets: Tensor | None = None) -> Tensor:
    """(N,) joint-frames that must move if each may move by ``eps`` metres: those with the steepest gradients."""

    def count(gap: float, way: Tensor) -> int:
        steepest = way.norm(dim=0).flatten().sort(descending=True).values
        return int((eps * steepest.cumsum(dim=0) < gap).sum()) + 1

    return torch.tensor([min(count(gap, way) for gap, way in clip) for clip in gaps(model, batch, targets)])
