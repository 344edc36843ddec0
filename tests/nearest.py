"""The smallest displacements that fool a linear victim, in closed form, over movable entries."""

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch


def size(delta: Tensor, batch: SkeletonBatch, norm: str, dual: bool = False) -> Tensor:
    """(N,) the norm of displacements (N, C, T, V, M), or its dual."""
    joints = batch.mask.flatten(1).sum(dim=1).to(delta).sqrt() if norm == "rms" else torch.ones(len(batch))
    if norm == "linf":
        return delta.abs().flatten(1).sum(dim=1) if dual else delta.abs().flatten(1).amax(dim=1)
    return delta.flatten(1).norm(dim=1) * (joints if dual else 1 / joints)


def nearest(model: torch.nn.Module, batch: SkeletonBatch, norm: str) -> Tensor:
    """(N,) the least ``norm`` that reaches another class, over movable entries."""
    logits = model(batch.x)
    true, weight = logits.argmax(dim=1), model.weight.view(-1, *batch.x.shape[1:])  # type: ignore[operator, union-attr]
    found = torch.full_like(logits, torch.inf)
    for k in range(logits.shape[1]):
        lead = logits.gather(1, true[:, None])[:, 0] - logits[:, k]
        across = (weight[true] - weight[k]) * batch.movable
        found[:, k] = torch.where(true == k, torch.inf, lead / size(across, batch, norm, dual=True))
    return found.amin(dim=1)


def l0(model: torch.nn.Module, batch: SkeletonBatch, reach: float) -> Tensor:
    """(N,) joint-frames that must move if each may move by ``reach`` metres: those with the steepest gradients."""
    logits = model(batch.x)
    weight = model.weight.view(-1, *batch.x.shape[1:])  # type: ignore[operator, union-attr]

    def count(gap: float, way: Tensor) -> int:
        steepest = way.norm(dim=0).flatten().sort(descending=True).values
        return int((reach * steepest.cumsum(dim=0) < gap).sum()) + 1

    found = []
    for n, y in enumerate(logits.argmax(dim=1).tolist()):
        others = [k for k in range(logits.shape[1]) if k != y]
        ways = [(float(logits[n, y] - logits[n, k]), (weight[y] - weight[k]) * batch.movable[n]) for k in others]
        found.append(min(count(gap, way) for gap, way in ways))
    return torch.tensor(found)


def l2(model: torch.nn.Module, batch: SkeletonBatch) -> Tensor:
    """(N,) metres over the whole clip."""
    return nearest(model, batch, "l2")


def linf(model: torch.nn.Module, batch: SkeletonBatch) -> Tensor:
    """(N,) metres per coordinate."""
    return nearest(model, batch, "linf")
