"""A ball around the clean clip: the budget of PGD and its variants, as a constraint."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.constraints.base import SLACK, Constraint, Limits, Unit
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.noise import normal, uniform
from skeleton_adv.core.ranges import Positive

Norm = Literal["l2", "linf", "rms"]
_SYMBOLS = {"l2": "ℓ2", "linf": "ℓ∞", "rms": "rms"}


@dataclass(frozen=True)
class Ball(Constraint):
    """``|x' - x| <= eps`` metres: over the whole clip for ``l2``, per coordinate for ``linf``.

    ``rms`` is the root mean square of the displacements of a clip's existing joints in its frames: l2 divided by the
    square root of their number. Entries of absent joints, and channels that are not coordinates, do not count.
    """

    norm: Norm = "linf"
    eps: Positive = 0.01
    name = "ball"
    unit: Unit = "m"

    @property
    def symbol(self) -> str:  # type: ignore[override]
        return _SYMBOLS[self.norm]

    def on(self, batch: SkeletonBatch) -> Limits:
        movable, clean, share = batch.movable, batch.x, self._l2_of_one(batch)

        def deviation(x_adv: Tensor) -> Tensor:
            moved = torch.where(movable, x_adv - clean, 0).flatten(1)
            return moved.abs() if self.norm == "linf" else moved.norm(dim=1, keepdim=True) / share

        exists = movable.flatten(1)
        exists = exists if self.norm == "linf" else exists.any(dim=1, keepdim=True)
        ones = torch.ones(exists.shape, dtype=clean.dtype, device=clean.device)
        return Limits(deviation, tolerance=self.eps * ones, scale=ones, slack=SLACK * ones, exists=exists)

    def of(self, batch: SkeletonBatch) -> "Budget":
        """The ball around the clips of ``batch``; a mask of joints or frames and budgets of joints limit it further.

        Raises ``SettingError`` if there are budgets of joints and the norm is not ``linf``.
        """
        if self.norm != "linf":
            if batch.joint_eps is not None:
                raise SettingError(f"attack.joint_eps has no effect on norm={self.norm}: set attack.norm=linf")
            one = broadcast(self._l2_of_one(batch)[:, 0])
            return Budget(self.norm, self.eps * one, one, batch)
        one = torch.ones_like(batch.x[:, :1, :1, :1, :1])
        radius = self.eps * one
        if batch.joint_eps is not None:
            own = batch.joint_eps.to(batch.x).view(1, 1, 1, -1, 1)
            radius = torch.where(own.isnan(), radius, own)
        return Budget(self.norm, radius, one, batch)

    def project(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor:
        """The clips of the ball that are nearest to ``x_adv`` in l2."""
        return batch.x + self.of(batch).shortened(torch.where(batch.movable, x_adv - batch.x, 0))

    def _l2_of_one(self, batch: SkeletonBatch) -> Tensor:
        """(N, 1) the l2 of a clip whose norm is 1."""
        joints = batch.mask.flatten(1).sum(dim=1, keepdim=True) if self.norm == "rms" else batch.mask.new_ones(1)
        return joints.clamp(min=1).to(batch.x.dtype).sqrt().expand(len(batch), 1)


@dataclass(frozen=True)
class Budget:
    """A ball around the clips of a batch, for attacks that stay inside it."""

    norm: Norm
    radius: Tensor  # (N, 1, 1, 1, 1), or (N, 1, 1, V, 1) if joints have their own, metres: of l2 or per coordinate
    one: Tensor  # (N, 1, 1, 1, 1) the radius of eps=1
    batch: SkeletonBatch

    def shortened(self, delta: Tensor) -> Tensor:
        """Displacements (N, C, T, V, M), each moved to the nearest point of the ball if it is outside."""
        if self.norm == "linf":
            return torch.clamp(delta, -self.radius, self.radius)
        # A product with the reciprocal rounds as torch's quotient of a number and a tensor does, which older rows used.
        return delta * (self.radius * broadcast(delta.flatten(1).norm(dim=1).clamp(min=1e-30)).reciprocal()).clamp(
            max=1
        )

    def steepest(self, gradient: Tensor) -> Tensor:
        """The displacement of length 1 in this norm in whose direction a function with this gradient grows fastest."""
        return gradient.sign() if self.norm == "linf" else self.one * unit(gradient)

    def draw(self, seed: int, purpose: str, draw: int) -> Tensor:
        """Displacements (N, C, T, V, M) drawn uniformly from the ball; immovable entries are 0."""
        batch = self.batch
        movable = batch.movable.to(batch.x.dtype)
        if self.norm == "linf":
            return self.radius * (2 * uniform(batch.x, batch.index, seed, purpose, draw) - 1) * movable
        direction = unit(normal(batch.x, batch.index, seed, purpose, draw) * movable)
        dimension = movable.flatten(1).sum(dim=1).clamp(min=1)
        share = uniform(batch.x[:, 0, 0, 0], batch.index, seed, f"{purpose} radius", draw)[:, 0]
        return direction * (self.radius * broadcast(share ** (1 / dimension)))


def unit(direction: Tensor) -> Tensor:
    """Displacements (N, C, T, V, M), each divided by its l2 norm, however small it is; 0 remains 0."""
    flat = direction.flatten(1)
    # In float32, the squares of a confident network's tiny gradients are 0, so the largest entry is divided out first.
    largest = flat.abs().amax(dim=1)
    tiny = (flat.norm(dim=1) < 1e-15) & (largest > 0)
    direction = direction / broadcast(torch.where(tiny, largest, 1))
    return direction / broadcast(direction.flatten(1).norm(dim=1).clamp(min=1e-30))


def broadcast(values: Tensor) -> Tensor:
    """Values (N,) as (N, 1, 1, 1, 1), which broadcast over clips (N, C, T, V, M)."""
    return values.view(-1, 1, 1, 1, 1)
