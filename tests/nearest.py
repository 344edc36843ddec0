"""The nearest clip of another class of a linear victim, in each norm."""

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
