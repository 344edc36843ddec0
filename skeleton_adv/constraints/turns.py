"""Limits on true angles, on the directions of bones and on the root's path: what the paper's estimate leaves open.

Zheng et al. (arXiv 2005.07151, Eq. 6) bound an estimate of the change of an angle, which is no bound of the angle
itself. Limits on the angles alone allow the body to turn as a whole, and limits on directions allow it to
move as a whole, so the three belong together.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skeleton_adv.constraints.base import SLACK, Constraint, Limits, Unit
from skeleton_adv.constraints.split import TINY, Split
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import (
    angles_exist,
    bone_lengths,
    bones_exist,
    incidence,
    joint_angles,
    joints_last,
    length,
    triples,
)
from skeleton_adv.core.ranges import NonNegative
from skeleton_adv.core.skeleton import Skeleton


@dataclass(frozen=True)
class AngleTurn(Constraint):
    """The angle between two bones changes by at most ``eps`` radians."""

    eps: NonNegative = 0.1
    name = "turn"
    symbol = "Δ∠"
    unit: Unit = "rad"

    def on(self, batch: SkeletonBatch) -> Limits:
        clean, has_length = joint_angles(batch.x, batch)  # (N, T, A, M)
        exists = angles_exist(batch).transpose(2, 3) & has_length
        first, second = self._bones(batch.x, batch.skeleton)
        slack = 2 * SLACK * (1 / length(first).clamp(min=SLACK) + 1 / length(second).clamp(min=SLACK))
        return Limits.within(
            self.eps,
            lambda x_adv: (joint_angles(x_adv, batch)[0] - clean).abs().flatten(1),
            slack.transpose(2, 3).flatten(1),
            exists.flatten(1),
        )

    def split(self, batch: SkeletonBatch, tighter: float = 0.0) -> Split:
        clean, has_length = (values.transpose(2, 3) for values in joint_angles(batch.x, batch))  # (N, T, M, A)
        exists = angles_exist(batch) & has_length
        tolerance = self.eps * (1 - tighter)
        low = torch.where(exists, clean - tolerance, 0).clamp(min=0)
        high = torch.where(exists, clean + tolerance, math.pi).clamp(max=math.pi)

        def nearest(vectors: Tensor) -> Tensor:
            first, second = vectors.chunk(2, dim=-1)
            return torch.cat(to_angle(first, second, low, high), dim=-1)

        return Split(_pairs(batch.skeleton, batch.x), nearest)

    def _bones(self, x: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
        """(N, C, T, M, A) each: the bones from the middle of an angle to its two ends."""
        first, second = (joints_last(x, skeleton) @ _pairs(skeleton, x)).chunk(2, dim=-1)
        return first, second


@dataclass(frozen=True)
class BoneDirection(Constraint):
    """Every bone turns by at most ``eps`` radians from its direction in the clean clip."""

    eps: NonNegative = 0.1
    name = "direction"
    symbol = "ΔD"
    unit: Unit = "rad"

    def on(self, batch: SkeletonBatch) -> Limits:
        joints = incidence(batch.skeleton, batch.x.device, batch.x.dtype)
        clean, size = joints_last(batch.x, batch.skeleton) @ joints, bone_lengths(batch.x, batch.skeleton)
        axes = clean / size.clamp(min=TINY)[:, None]

        def deviation(x_adv: Tensor) -> Tensor:
            along, across = _parts(joints_last(x_adv, batch.skeleton) @ joints, axes)
            return torch.atan2(length(across), along).flatten(1)

        slack = 2 * SLACK / size.clamp(min=SLACK)
        return Limits.within(self.eps, deviation, slack.flatten(1), (bones_exist(batch) & (size > 0)).flatten(1))

    def split(self, batch: SkeletonBatch, tighter: float = 0.0) -> Split:
        joints, size = incidence(batch.skeleton, batch.x.device, batch.x.dtype), bone_lengths(batch.x, batch.skeleton)
        axes = joints_last(batch.x, batch.skeleton) @ joints / size.clamp(min=TINY)[:, None]
        exists = bones_exist(batch) & (size > 0)
        largest = torch.full_like(size, math.pi).masked_fill(exists, self.eps * (1 - tighter))
        return Split(joints, lambda bones: to_cone(bones, axes, largest))


@dataclass(frozen=True)
class RootPath(Constraint):
    """The root moves by at most ``eps`` metres from where it is in each frame of the clean clip."""

    eps: NonNegative = 0.05
    name = "root"
    symbol = "ΔR"
    unit: Unit = "m"

    def on(self, batch: SkeletonBatch) -> Limits:
        root = batch.skeleton.root
        clean = joints_last(batch.x, batch.skeleton)[..., root]  # (N, C, T, M)
        return Limits.within(
            self.eps,
            lambda x_adv: length(joints_last(x_adv, batch.skeleton)[..., root] - clean).flatten(1),
            torch.full_like(clean[:, 0], SLACK).flatten(1),
            batch.mask[:, 0, :, root].flatten(1),
        )

    def split(self, batch: SkeletonBatch, tighter: float = 0.0) -> Split:
        root = batch.skeleton.root
        joints = torch.zeros(batch.skeleton.num_joints, 1).to(batch.x)
        joints[root] = 1
        clean = joints_last(batch.x, batch.skeleton) @ joints  # (N, C, T, M, 1)
        present = batch.mask[:, 0, :, root, :, None]
        largest = torch.full_like(clean[:, 0], torch.inf).masked_fill(present, self.eps * (1 - tighter))

        def nearest(positions: Tensor) -> Tensor:
            moved = positions - clean
            size = length(moved)
            return clean + moved * (torch.minimum(size, largest) / size.clamp(min=TINY))[:, None]

        return Split(joints, nearest)


def to_cone(vectors: Tensor, axes: Tensor, largest: Tensor) -> Tensor:
    """The nearest vectors (N, C, ...) at most ``largest`` radians (N, ...) from the unit vectors ``axes``."""
    along, across = _parts(vectors, axes)
    size = length(across)
    outside = (torch.atan2(size, along) > largest) & (largest < math.pi)
    edge = largest.cos()[:, None] * axes + (largest.sin() / size.clamp(min=TINY))[:, None] * across
    onto = (vectors * edge).sum(dim=1).clamp(min=0)  # 0: the nearest point is the tip
    return torch.where(outside[:, None], onto[:, None] * edge, vectors)


def to_angle(first: Tensor, second: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest pairs of vectors (N, C, ...) whose angle is between ``low`` and ``high`` radians (N, ...).

    They stay in their plane, where ``first`` turns by t and ``second`` by the rest r - t, and each is projected on its
    new direction. ``|first|^2 cos^2 t + |second|^2 cos^2 (r - t)`` is largest if
    ``tan 2t = |second|^2 sin 2r / (|first|^2 + |second|^2 cos 2r)``.
    """
    one, two = length(first), length(second)
    axis = first / one.clamp(min=TINY)[:, None]
    along, across = _parts(second, axis)
    flat = length(across) < 1e-9 * two.clamp(min=TINY)  # any plane will do
    across = torch.where(flat[:, None], _parts(_least_aligned(axis), axis)[1], across)
    side = across / length(across).clamp(min=TINY)[:, None]
    angle = torch.atan2((second * side).sum(dim=1), along)
    rest = angle - torch.minimum(torch.maximum(angle, low), high)
    turn = torch.atan2(two.square() * (2 * rest).sin(), one.square() + two.square() * (2 * rest).cos()) / 2

    def turned(size: Tensor, change: Tensor, direction: Tensor) -> Tensor:
        return (size * change.cos())[:, None] * (direction.cos()[:, None] * axis + direction.sin()[:, None] * side)

    inside = (rest == 0)[:, None]
    moved = turned(one, turn, turn), turned(two, rest - turn, angle - (rest - turn))
    return torch.where(inside, first, moved[0]), torch.where(inside, second, moved[1])


def _parts(vectors: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """The length along the unit vectors ``axes`` (N, ...), and the rest (N, C, ...)."""
    along = (vectors * axes).sum(dim=1)
    return along, vectors - along[:, None] * axes


def _least_aligned(axes: Tensor) -> Tensor:
    """For each vector (N, C, ...), the unit vector of the coordinate in which it is smallest."""
    smallest = axes.abs().argmin(dim=1, keepdim=True)
    return torch.zeros_like(axes).scatter(1, smallest, 1.0)


def _pairs(skeleton: Skeleton, like: Tensor) -> Tensor:
    """(V, 2 A): the bones from the middle of each angle to its first end, then those to its second end."""
    ends, middles, others = triples(skeleton, like.device)
    one = torch.eye(skeleton.num_joints).to(like)
    return torch.cat((one[:, ends] - one[:, middles], one[:, others] - one[:, middles]), dim=1)
