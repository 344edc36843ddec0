"""A ball around the clean clip: the budget of PGD and its variants, as a constraint."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.constraints.base import SLACK, Constraint, Limits, Unit
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import normal, uniform
from skeleton_adv.core.ranges import Positive, check_call

Norm = Literal["l2", "linf"]


@dataclass(frozen=True)
class Ball(Constraint):
    """``|x' - x| <= eps`` metres: over the whole clip for ``l2``, per coordinate for ``linf``.

    Entries of absent joints, and channels that are not coordinates, do not count.
    """

    norm: Norm = "linf"
    eps: Positive = 0.01
    name = "ball"
    unit: Unit = "m"

    def __post_init__(self) -> None:
        check_call(Ball, {"norm": self.norm, "eps": self.eps}, f"constraint.{self.name}.")

    @property
    def symbol(self) -> str:  # type: ignore[override]
        return "ℓ2" if self.norm == "l2" else "ℓ∞"

    def on(self, batch: SkeletonBatch) -> Limits:
        movable, clean = batch.movable, batch.x

        def deviation(x_adv: Tensor) -> Tensor:
            moved = torch.where(movable, x_adv - clean, 0).flatten(1)
            return moved.norm(dim=1, keepdim=True) if self.norm == "l2" else moved.abs()

        exists = movable.flatten(1)
        exists = exists.any(dim=1, keepdim=True) if self.norm == "l2" else exists
        ones = torch.ones(exists.shape, dtype=clean.dtype, device=clean.device)
        return Limits(deviation, tolerance=self.eps * ones, scale=ones, slack=SLACK * ones, exists=exists)

    def project(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor:
        """The clips of the ball that are nearest to ``x_adv`` in l2."""
        return batch.x + self.shortened(torch.where(batch.movable, x_adv - batch.x, 0))

    def shortened(self, delta: Tensor) -> Tensor:
        """Displacements (N, C, T, V, M), each moved to the nearest point of the ball if it is outside."""
        if self.norm == "linf":
            return delta.clamp(-self.eps, self.eps)
        return delta * broadcast((self.eps / delta.flatten(1).norm(dim=1).clamp(min=1e-30)).clamp(max=1))

    def steepest(self, gradient: Tensor) -> Tensor:
        """The displacement of length 1 in this norm in whose direction a function with this gradient grows fastest."""
        return gradient.sign() if self.norm == "linf" else unit(gradient)

    def draw(self, batch: SkeletonBatch, seed: int, purpose: str, draw: int) -> Tensor:
        """Displacements (N, C, T, V, M) drawn uniformly from the ball; immovable entries are 0."""
        movable = batch.movable.to(batch.x.dtype)
        if self.norm == "linf":
            return self.eps * (2 * uniform(batch.x, batch.index, seed, purpose, draw) - 1) * movable
        direction = unit(normal(batch.x, batch.index, seed, purpose, draw) * movable)
        dimension = movable.flatten(1).sum(dim=1).clamp(min=1)
        share = uniform(batch.x[:, 0, 0, 0], batch.index, seed, f"{purpose} radius", draw)[:, 0]
        return direction * broadcast(self.eps * share ** (1 / dimension))


def unit(direction: Tensor) -> Tensor:
    """Displacements (N, C, T, V, M), each divided by its l2 norm."""
    return direction / broadcast(direction.flatten(1).norm(dim=1).clamp(min=1e-30))


def broadcast(values: Tensor) -> Tensor:
    """Values (N,) as (N, 1, 1, 1, 1), which broadcast over clips (N, C, T, V, M)."""
    return values.view(-1, 1, 1, 1, 1)
