"""Constraints as sets of vectors, which a projection splits and solves one by one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skeleton_adv.core.geometry import length

TINY = 1e-12  # metres; prevents a division by 0


@dataclass(frozen=True)
class Split:
    """A constraint as: certain vectors of a clip, linear in its coordinates, are in certain sets.

    ``joints`` is a matrix (V, R): the vectors are ``y @ joints``, for coordinates y (N, C, T, M, V). None: they
    are the velocities, (N, C, T-1, M, V). ``nearest`` moves every vector to the nearest point of its set.
    """

    joints: Tensor | None
    nearest: Callable[[Tensor], Tensor]

    def of(self, y: Tensor) -> Tensor:
        return y[:, :, 1:] - y[:, :, :-1] if self.joints is None else y @ self.joints

    def back(self, vectors: Tensor) -> Tensor:
        """The adjoint of ``of``."""
        if self.joints is not None:
            return vectors @ self.joints.T
        n, c, t, *rest = vectors.shape
        y = vectors.new_zeros(n, c, t + 1, *rest)
        y[:, :, 1:] += vectors
        y[:, :, :-1] -= vectors
        return y


def to_length(vectors: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The nearest vectors (N, C, ...) whose lengths are between ``low`` and ``high`` (N, ...)."""
    size = length(vectors)
    return vectors * (torch.minimum(torch.maximum(size, low), high) / size.clamp(min=TINY))[:, None]


def to_weighted_sum(sizes: Tensor, weights: Tensor, largest: float) -> Tensor:
    """The nearest lengths (..., 3), none negative, whose sum with ``weights`` (..., 3) is at most ``largest``.

    They are ``relu(sizes - k weights)``, where k solves an equation that is linear once it is known which lengths
    remain positive. Each choice of these underestimates k, so k is the largest over all choices.
    """
    choices = _CHOICES.to(sizes)  # (3, 7)
    k = ((sizes * weights) @ choices - largest) / (weights.square() @ choices)
    return (sizes - k.amax(dim=-1, keepdim=True).relu() * weights).relu()


_CHOICES = torch.tensor([[choice >> bit & 1 for choice in range(1, 8)] for bit in range(3)])
