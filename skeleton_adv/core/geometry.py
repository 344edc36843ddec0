"""Lengths, bones, velocities and angles of clips, and masks of those that exist."""

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.skeleton import Skeleton


class _Length(torch.autograd.Function):
    """Euclidean length over dimension 1; the gradient is 0 where the length is 0.

    The gradient is written in closed form, because autograd on a strided ``norm`` takes ten times as long.
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


def pairwise(a: Tensor, b: Tensor) -> Tensor:
    """(N, n) Euclidean distances between vectors a (N, D) and b (n, D).

    No matrix product is used, because it loses digits, and no differences (N, n, D) are kept, because they are large.
    """
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def coordinates(x: Tensor, skeleton: Skeleton) -> Tensor:
    """The coordinate channels of x (N, C, T, V, M)."""
    return x if len(skeleton.coords) == skeleton.channels else x[:, list(skeleton.coords)]


def joints_last(x: Tensor, skeleton: Skeleton) -> Tensor:
    """Coordinates of x (N, C, T, V, M) as (N, C, T, M, V), so that joints are adjacent in memory."""
    return coordinates(x, skeleton).transpose(3, 4)


def bone_lengths(x: Tensor, skeleton: Skeleton) -> Tensor:
    """(N, T, M, E) lengths of the bones of x (N, C, T, V, M), in the unit of x."""
    return length(joints_last(x, skeleton) @ incidence(skeleton, x.device, x.dtype))


def bones_exist(batch: SkeletonBatch | Context) -> Tensor:
    """(N, T, M, E) bool: whether both joints of a bone exist."""
    present = batch.mask[:, 0].transpose(2, 3)
    children, parents = _bones(batch.skeleton, present.device)
    return present[..., children] & present[..., parents]


def angles_exist(batch: SkeletonBatch | Context) -> Tensor:
    """(N, T, M, A) bool: whether the three joints of an angle exist."""
    present = batch.mask[:, 0].transpose(2, 3)
    ends, middles, others = triples(batch.skeleton, present.device)
    return present[..., ends] & present[..., middles] & present[..., others]


def velocities(x: Tensor, skeleton: Skeleton) -> Tensor:
    """(N, C, T-1, V, M) displacements from each frame to the next, in metres per frame."""
    x = coordinates(x, skeleton)
    return x[:, :, 1:] - x[:, :, :-1]


def velocities_exist(batch: SkeletonBatch) -> Tensor:
    """(N, T-1, V, M) bool: whether a joint exists in both frames."""
    return batch.mask[:, 0, 1:] & batch.mask[:, 0, :-1]


@cache  # index tensors are created once per device, because copying them to a GPU at every step would stall it
def _bones(skeleton: Skeleton, device: torch.device) -> tuple[Tensor, Tensor]:
    children, parents = torch.tensor(skeleton.bones, device=device).T.contiguous()
    return children, parents


@cache
def incidence(skeleton: Skeleton, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(V, E): a bone is its joint minus the parent, so ``x @ incidence`` is the vectors of all bones."""
    matrix = torch.zeros(skeleton.num_joints, len(skeleton.bones), dtype=dtype)
    for bone, (child, parent) in enumerate(skeleton.bones):
        matrix[child, bone], matrix[parent, bone] = 1, -1
    return matrix.to(device)


@cache
def triples(skeleton: Skeleton, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    ends, middles, others = torch.tensor(skeleton.angles, device=device).T.contiguous()
    return ends, middles, others


def joint_angles(x: Tensor, batch: SkeletonBatch) -> tuple[Tensor, Tensor]:
    """(N, T, A, M) angles in radians, and (N, T, A, M) bool: whether both bones have a nonzero length."""
    x = coordinates(x, batch.skeleton)
    ends, middles, others = torch.tensor(batch.skeleton.angles, device=x.device).T
    first = x.index_select(3, ends) - x.index_select(3, middles)
    second = x.index_select(3, others) - x.index_select(3, middles)
    lengths = first.norm(dim=1) * second.norm(dim=1)
    # atan2 remains precise where arccos does not: at straight and at folded joints.
    across = torch.linalg.vector_norm(_cross(first, second), dim=1)
    return torch.atan2(across, (first * second).sum(dim=1)), lengths > 0


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product along channels; vectors in a plane get a third coordinate of 0."""
    if a.shape[1] == 2:
        return (a[:, :1] * b[:, 1:] - a[:, 1:] * b[:, :1]).expand(-1, 1, -1, -1, -1)
    product: Tensor = torch.linalg.cross(a, b, dim=1)
    return product
