"""What a body can do: limits on bone lengths, joint angles and speeds, as first-class objects.

Zheng et al., Towards Understanding the Adversarial Vulnerability of Skeleton-based Action
Recognition (arXiv 2005.07151), Eqs. 4 to 7. One object serves an attack's Lagrangian, the columns
of the tables and the check whether a clip is feasible.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import torch
from torch import Tensor

from skeleton_adv.batch import SkeletonBatch
from skeleton_adv.ranges import NonNegative, check_call
from skeleton_adv.skeleton import Skeleton

SLACK = 1e-6  # metres by which rounding may move a length of a feasible clip


@dataclass(frozen=True)
class Limits:
    """A constraint applied to a batch: the clean clips' reference values, computed once.

    K entries a clip: every frame and person of every bone, angle or joint. Relative measures are
    ``deviation / scale``; an entry is within its limit if ``deviation <= tolerance``.
    """

    deviation: Callable[[Tensor], Tensor]  # x_adv (N, C, T, V, M) -> (N, K), metres or radians
    tolerance: Tensor  # (N, K), in the deviation's unit
    scale: Tensor  # (N, K), in the deviation's unit
    slack: Tensor  # (N, K), what rounding is allowed
    exists: Tensor  # (N, K) bool

    def measure(self, x_adv: Tensor) -> Tensor:
        """(N, K) relative deviations (radians for angles), 0 where nothing exists."""
        return torch.where(self.exists, self.deviation(x_adv) / self.scale, 0)

    def violation(self, x_adv: Tensor) -> Tensor:
        """(N, K) relative excess over the tolerance, 0 within it: h(x') of Algorithm 1."""
        return torch.where(self.exists, (self.deviation(x_adv) - self.tolerance).relu() / self.scale, 0)

    def satisfied(self, x_adv: Tensor) -> Tensor:
        """(N,) bool: no entry exceeds its tolerance by more than rounding."""
        within = self.deviation(x_adv) <= self.tolerance + self.slack
        return (within | ~self.exists).all(dim=1)


class Constraint(ABC):
    """A limit on the body, by the clip's own clean values."""

    name: str

    @abstractmethod
    def on(self, batch: SkeletonBatch) -> Limits:
        """The limits that the clean clips of ``batch`` set."""

    def violation(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor:
        """(N, K) relative excess over the tolerance."""
        return self.on(batch).violation(x_adv)

    def satisfied(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor:
        """(N,) bool, judged in float64."""
        return self.on(batch.to(dtype=torch.float64)).satisfied(x_adv.double())


@dataclass(frozen=True)
class BoneLength(Constraint):
    """``|B' - B| <= eps B`` for every bone and frame (Eq. 4)."""

    eps: NonNegative = 0.01
    name = "bone"

    def __post_init__(self) -> None:
        check_call(BoneLength, vars(self), "constraint.bone.")

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


@dataclass(frozen=True)
class JointAngle(Constraint):
    """``J <= eps`` radians, J the paper's small-angle estimate from displacements (Eq. 6).

    J = (|d_a| + |d_b|) / B_ab + (|d_c| + |d_b|) / B_cb for the triple (a, b, c), d a joint's
    displacement and B the clean lengths. It bounds no angle exactly, and a translation of the whole
    body changes it; ``metrics.angle_change`` has the true angle.
    """

    eps: NonNegative = 0.1
    name = "angle"

    def __post_init__(self) -> None:
        check_call(JointAngle, vars(self), "constraint.angle.")

    def on(self, batch: SkeletonBatch) -> Limits:
        ends, middles, others = _triples(batch.skeleton, batch.x.device)
        clean = joints_last(batch.x, batch.skeleton)
        middle = clean[..., middles]
        first = 1 / (length(clean[..., ends] - middle) + batch.skeleton.length_floor)
        second = 1 / (length(clean[..., others] - middle) + batch.skeleton.length_floor)
        both = first + second  # (N, T, M, A)

        def deviation(x_adv: Tensor) -> Tensor:
            moved = length(joints_last(x_adv, batch.skeleton) - clean)  # (N, T, M, V)
            estimate = moved[..., ends] * first + moved[..., others] * second + moved[..., middles] * both
            return estimate.flatten(1)

        there = batch.mask[:, 0].transpose(2, 3)
        exists = there[..., ends] & there[..., middles] & there[..., others]
        return Limits(
            deviation=deviation,
            tolerance=torch.full_like(both, self.eps).flatten(1),
            scale=torch.ones_like(both).flatten(1),
            slack=(2 * SLACK * both).flatten(1),
            exists=exists.flatten(1),
        )


@dataclass(frozen=True)
class Speed(Constraint):
    """Speeds change by at most the share ``eps``.

    ``reading``: ``speed`` bounds the difference of speeds ``| |v'| - |v| |`` (the paper, Eq. 7),
    ``velocity`` the norm of the velocities' difference ``|v' - v|`` (released code; stricter, since
    it sees turns). The tolerance is ``max(eps |v|, floor dt)``, ``floor`` in metres a second.
    """

    eps: NonNegative = 0.1
    reading: Literal["speed", "velocity"] = "speed"
    floor: NonNegative = 0.0
    name = "speed"

    def __post_init__(self) -> None:
        check_call(Speed, vars(self), "constraint.speed.")

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


class _Length(torch.autograd.Function):
    """Euclidean length over dimension 1, with the gradient 0 where the length is 0.

    In closed form, since a strided ``norm`` and its autograd cost ten times as much.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        lengths = vectors.square().sum(dim=1).sqrt_()
        ctx.save_for_backward(vectors, lengths)
        return lengths

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        vectors, lengths = ctx.saved_tensors
        gradient: Tensor = vectors * torch.where(lengths > 0, gradients[0] / lengths, 0)[:, None]
        return gradient


def length(vectors: Tensor) -> Tensor:
    """(N, ...) Euclidean lengths of vectors (N, C, ...)."""
    return cast(Tensor, _Length.apply(vectors))  # type: ignore[no-untyped-call]


def coordinates(x: Tensor, skeleton: Skeleton) -> Tensor:
    """The coordinate channels of x (N, C, T, V, M)."""
    return x if len(skeleton.coords) == skeleton.channels else x[:, list(skeleton.coords)]


def joints_last(x: Tensor, skeleton: Skeleton) -> Tensor:
    """Coordinates of x (N, C, T, V, M) as (N, C, T, M, V), so that joints lie side by side."""
    return coordinates(x, skeleton).transpose(3, 4)


def bone_lengths(x: Tensor, skeleton: Skeleton) -> Tensor:
    """(N, T, M, E) lengths of the bones of x (N, C, T, V, M), in its unit."""
    return length(joints_last(x, skeleton) @ _incidence(skeleton, x.device, x.dtype))


def bones_exist(batch: SkeletonBatch) -> Tensor:
    """(N, T, M, E) bool: both joints of a bone exist."""
    there = batch.mask[:, 0].transpose(2, 3)
    children, parents = _bones(batch.skeleton, there.device)
    return there[..., children] & there[..., parents]


def velocities(x: Tensor, skeleton: Skeleton) -> Tensor:
    """(N, C, T-1, V, M) displacement from each frame to the next, metres a frame."""
    x = coordinates(x, skeleton)
    return x[:, :, 1:] - x[:, :, :-1]


def velocities_exist(batch: SkeletonBatch) -> Tensor:
    """(N, T-1, V, M) bool: a joint exists in both frames."""
    return batch.mask[:, 0, 1:] & batch.mask[:, 0, :-1]


@cache  # index tensors are made once a device: copying them to a GPU would stall it at every step
def _bones(skeleton: Skeleton, device: torch.device) -> tuple[Tensor, Tensor]:
    children, parents = torch.tensor(skeleton.bones, device=device).T.contiguous()
    return children, parents


@cache
def _incidence(skeleton: Skeleton, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(V, E): a bone is its joint minus its parent, so that ``x @ incidence`` gives all bones."""
    matrix = torch.zeros(skeleton.num_joints, len(skeleton.bones), dtype=dtype)
    for bone, (child, parent) in enumerate(skeleton.bones):
        matrix[child, bone], matrix[parent, bone] = 1, -1
    return matrix.to(device)


@cache
def _triples(skeleton: Skeleton, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    ends, middles, others = torch.tensor(skeleton.angles, device=device).T.contiguous()
    return ends, middles, others
