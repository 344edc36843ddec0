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

    It does not include joints that do not exist or channels that are not coordinates.
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
        """The nearest clip (in l2) within the ball."""
        return batch.x + self.shortened(torch.where(batch.movable, x_adv - batch.x, 0))

    def shortened(self, delta: Tensor) -> Tensor:
        """Displacements (N, C, T, V, M), those beyond the ball moved to the nearest point of it."""
        if self.norm == "linf":
            return delta.clamp(-self.eps, self.eps)
        return delta * wide((self.eps / delta.flatten(1).norm(dim=1).clamp(min=1e-30)).clamp(max=1))

    def steepest(self, gradient: Tensor) -> Tensor:
        """The displacement of length 1 in this norm along which a function with this gradient grows fastest."""
        return gradient.sign() if self.norm == "linf" else unit(gradient)

    def draw(self, batch: SkeletonBatch, seed: int, purpose: str, draw: int) -> Tensor:
        """Displacements (N, C, T, V, M) drawn uniformly from the ball, over movable entries."""
        movable = batch.movable.to(batch.x.dtype)
        if self.norm == "linf":
            return self.eps * (2 * uniform(batch.x, batch.index, seed, purpose, draw) - 1) * movable
        outward = unit(normal(batch.x, batch.index, seed, purpose, draw) * movable)
        size = movable.flatten(1).sum(dim=1).clamp(min=1)
        far = uniform(batch.x[:, 0, 0, 0], batch.index, seed, f"{purpose} radius", draw)[:, 0]
        return outward * wide(self.eps * far ** (1 / size))


def unit(direction: Tensor) -> Tensor:
    """Clips (N, C, T, V, M) divided by their l2."""
    return direction / wide(direction.flatten(1).norm(dim=1).clamp(min=1e-30))


def wide(values: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1, 1)
