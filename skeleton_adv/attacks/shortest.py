"""Shared by attacks that search for the smallest perturbation: the best one so far, and the weight of a loss."""

import math
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model
from skeleton_adv.attacks.losses import fooled
from skeleton_adv.core.batch import SkeletonBatch

Norm = Literal["l2", "linf"]
FLOOR = 1e-5  # metres: smaller displacements are lost when a float32 clip is rounded


class Shortest:
    """The smallest displacement so far that fools the model, per clip; the first wins among equal ones."""

    def __init__(self, batch: SkeletonBatch) -> None:
        self.delta = torch.zeros_like(batch.x)  # (N, C, T, V, M); 0 until the first success
        self.size = torch.full_like(batch.x[:, 0, 0, 0, 0], torch.inf)  # (N,), in the norm of the attack

    @property
    def found(self) -> Tensor:
        """(N,) bool: whether any displacement fooled the model."""
        return self.size.isfinite()

    def offer(self, delta: Tensor, size: Tensor, success: Tensor) -> Tensor:
        """Take the displacements that fool the model (``success``) and are smaller; (N,) bool: which ones."""
        better = success & (size < self.size)
        self.delta = torch.where(per_clip(better), delta.detach(), self.delta)
        self.size = torch.where(better, size.detach(), self.size)
        return better

    def result(self, model: Model, batch: SkeletonBatch, targeted: bool, last: Tensor) -> AttackResult:
        """The clips with the smallest displacements, or with ``last`` where none fools the model; one more pass.

        ``found`` is judged on the clips that are returned, which are rounded.
        """
        x_adv = batch.x + torch.where(per_clip(self.found), self.delta, last.detach())
        with torch.no_grad():
            return AttackResult(x_adv, fooled(model(x_adv), batch.y, targeted))


class Weights:
    """The weight of the loss per clip: ``factor`` times as large until the first success, bisected after it."""

    def __init__(self, first: Tensor, factor: float = 10.0) -> None:
        self.value, self._factor = first, factor  # (N,)
        self._low, self._high = torch.zeros_like(first), torch.full_like(first, torch.inf)

    def update(self, reached: Tensor) -> None:
        """Choose the next weights, from whether the present ones led to a success (N,)."""
        self._high = torch.where(reached, torch.minimum(self._high, self.value), self._high)
        self._low = torch.where(reached, self._low, torch.maximum(self._low, self.value))
        bisected, larger = (self._low + self._high) / 2, self.value * self._factor
        self.value = torch.where(self._high.isfinite(), bisected, larger)


def per_clip(values: Tensor) -> Tensor:
    """Values (N,) as (N, 1, 1, 1, 1), which broadcast over clips (N, C, T, V, M)."""
    return values.view(-1, 1, 1, 1, 1)


def length(delta: Tensor) -> Tensor:
    """(N,) l2 norms of displacements (N, C, T, V, M)."""
    size: Tensor = delta.flatten(1).norm(dim=1)
    return size


def direction(gradient: Tensor) -> Tensor:
    """Gradients (N, C, T, V, M), each divided by its l2 norm, however small it is; a gradient of 0 remains 0.

    In float32, the squares of a confident network's tiny gradients are 0, so the largest entry is divided out first.
    """
    largest = gradient.flatten(1).abs().amax(dim=1)
    scaled = gradient / per_clip(torch.where(largest > 0, largest, 1))
    return scaled / per_clip(length(scaled).clamp(min=1))


def cosine(first: float, last: float, step: int, steps: int) -> float:
    """A value that falls from ``first`` to ``last`` along half a period of the cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * step / max(steps - 1, 1))) / 2
