"""Body constraints: limits on bone lengths, joint angles and speeds, as first-class objects.

Zheng et al., Towards Understanding the Adversarial Vulnerability of Skeleton-based Action
Recognition (arXiv 2005.07151), Eqs. 4 to 7. The same object serves an attack's Lagrangian, the columns
of the tables and the feasibility check.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.constraints.base import SLACK, Constraint, Limits
from skeleton_adv.constraints.split import TINY, Split, to_length, to_weighted_sum
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import (
    angles_exist,
    bone_lengths,
    bones_exist,
    incidence,
    joints_last,
    length,
    triples,
    velocities,
    velocities_exist,
)
from skeleton_adv.core.ranges import NonNegative
from skeleton_adv.core.skeleton import Skeleton


@dataclass(frozen=True)
class BoneLength(Constraint):
    """``|B' - B| <= eps B`` for every bone and frame (Eq. 4)."""

    eps: NonNegative = 0.01
    name = "bone"
    symbol, unit = "ΔB/B", "share"

    def on(self, batch: SkeletonBatch) -> Limits:
        clean = bone_lengths(batch.x, batch.skeleton)
        exists = bones_exist(batch)
        return Limits(
            deviation=lambda x_adv: (bone_lengths(x_adv, batch.skeleton) - clean).abs().flatten(1),
            tolerance=(self.eps * clean).flatten(1),
            scale=(clean + batch.skeleton.length_floor).flatten(1),
            slack=torch.full_like(clean, SLACK).flatten(1),
            exists=exists.flatten(1),
        )

    def split(self, batch: SkeletonBatch, tighter: float = 0.0) -> Split:
        clean, exists = bone_lengths(batch.x, batch.skeleton), bones_exist(batch)
        tolerance = self.eps * (1 - tighter) * clean
        low, high = _if_exists(exists, clean - tolerance, clean + tolerance)
        joints = incidence(batch.skeleton, batch.x.device, batch.x.dtype)
        return Split(joints, lambda bones: to_length(bones, low, high))


@dataclass(frozen=True)
class JointAngle(Constraint):
    """``J <= eps`` radians, J the paper's small-angle estimate from displacements (Eq. 6).

    J = (|d_a| + |d_b|) / B_ab + (|d_c| + |d_b|) / B_cb for the triple (a, b, c), where d is the displacement
    of a joint and B a clean length. J is no exact bound of an angle, and a translation of the whole
    body changes it; ``metrics.angle_change`` computes the true change of an angle.
    """

    eps: NonNegative = 0.1
    name = "angle"
    symbol, unit = "ΔJ", "rad"

    def on(self, batch: SkeletonBatch) -> Limits:
        ends, middles, others = triples(batch.skeleton, batch.x.device)
        clean = joints_last(batch.x, batch.skeleton)
        first, both, second = self._weights(batch).unbind(-1)

        def deviation(x_adv: Tensor) -> Tensor:
            moved = length(joints_last(x_adv, batch.skeleton) - clean)  # (N, T, M, V)
            estimate = moved[..., ends] * first + moved[..., others] * second + moved[..., middles] * both
            return estimate.flatten(1)

        return Limits.within(self.eps, deviation, (2 * SLACK * both).flatten(1), angles_exist(batch).flatten(1))

    def split(self, batch: SkeletonBatch, tighter: float = 0.0) -> Split:
        weights, exists = self._weights(batch), angles_exist(batch)[..., None]
        places = torch.stack(triples(batch.skeleton, batch.x.device), dim=-1).flatten()  # (3A,)
        joints = torch.nn.functional.one_hot(places, batch.skeleton.num_joints).T.to(batch.x)
        clean = joints_last(batch.x, batch.skeleton) @ joints

        def nearest(positions: Tensor) -> Tensor:
            moved = positions - clean
            sizes = length(moved).reshape(weights.shape)  # (N, T, M, A, 3)
            shorter = to_weighted_sum(sizes, weights, self.eps * (1 - tighter)) / sizes.clamp(min=TINY)
            return clean + moved * torch.where(exists, shorter, 1).flatten(-2)[:, None]

        return Split(joints, nearest)

    def _weights(self, batch: SkeletonBatch) -> Tensor:
        """(N, T, M, A, 3) the weights of the displacements of end, middle and other end in J, per metre."""
        ends, middles, others = triples(batch.skeleton, batch.x.device)
        clean = joints_last(batch.x, batch.skeleton)
        middle = clean[..., middles]
        first = 1 / (length(clean[..., ends] - middle) + batch.skeleton.length_floor)
        second = 1 / (length(clean[..., others] - middle) + batch.skeleton.length_floor)
        return torch.stack((first, first + second, second), dim=-1)


@dataclass(frozen=True)
class Speed(Constraint):
    """Speeds change by at most the fraction ``eps``.

    ``reading``: ``speed`` bounds the difference of speeds ``| |v'| - |v| |`` (the paper, Eq. 7),
    ``velocity`` bounds the norm of the difference of velocities ``|v' - v|`` (released code; stricter, because
    it includes changes of direction). The tolerance is ``max(eps |v|, floor dt)``, with ``floor`` in metres per
    second.
    """

    eps: NonNegative = 0.1
    reading: Literal["speed", "velocity"] = "speed"
    floor: NonNegative = 0.0
    name = "speed"
    symbol, unit = "ΔS/S", "share"

    def remark(self, skeleton: Skeleton) -> str:
        return (
            f"{self.symbol} divides by the speed plus {skeleton.speed_floor:g} of the clips' unit per frame: for a "
            "joint that hardly moves it is many times smaller than |S' − S|/S."
        )

    def on(self, batch: SkeletonBatch) -> Limits:
        clean = velocities(batch.x, batch.skeleton)
        speed = length(clean)
        floor = (self.floor * batch.dt).to(speed.dtype).view(-1, 1, 1, 1)

        def deviation(x_adv: Tensor) -> Tensor:
            moving = velocities(x_adv, batch.skeleton)
            if self.reading == "velocity":
                return length(moving - clean).flatten(1)
            return (length(moving) - speed).abs().flatten(1)

        return Limits(
            deviation=deviation,
            tolerance=torch.maximum(self.eps * speed, floor).flatten(1),
            scale=(speed + batch.skeleton.speed_floor).flatten(1),
            slack=torch.full_like(speed, SLACK).flatten(1),
            exists=velocities_exist(batch).flatten(1),
        )

    def split(self, batch: SkeletonBatch, tighter: float = 0.0) -> Split:
        clean = velocities(batch.x, batch.skeleton).transpose(3, 4)  # (N, C, T-1, M, V)
        exists = velocities_exist(batch).transpose(2, 3)
        speed = length(clean)
        tolerance = (1 - tighter) * torch.maximum(self.eps * speed, (self.floor * batch.dt).to(speed).view(-1, 1, 1, 1))
        if self.reading == "velocity":
            zero, tolerance = _if_exists(exists, torch.zeros_like(tolerance), tolerance)
            return Split(None, lambda moving: clean + to_length(moving - clean, zero, tolerance))
        low, high = _if_exists(exists, (speed - tolerance).clamp(min=0), speed + tolerance)
        return Split(None, lambda moving: to_length(moving, low, high))


def _if_exists(exists: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The limits of lengths; there are none for entries that do not exist."""
    return torch.where(exists, low, 0), torch.where(exists, high, torch.inf)
