"""Spaces of smoothing noise: parameters that change a clip and that add up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from skeleton_adv.certificates.terms import Terms, motion_terms, rigid_terms
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton


class Space(Protocol):
    """Parameters of which a clip is a function, so that noise on them gives a certificate in them.

    Cohen et al. (arXiv 1902.02918), Theorem 1, holds for a function of the parameters under noise N(0, sigma^2 I). It
    is a statement about clips if changes add up: a clip that is changed by a and then by noise is the clip changed by
    their sum, ``moved(moved(x, a), b) = moved(x, a + b)``, or has the same distribution. Within the radius are then the
    clips ``moved(x, a)`` with |a| below it. Nothing is claimed of any other clip.
    """

    def parameters(self, batch: SkeletonBatch) -> Tensor:
        """(N, ...) parameters of 0, which change nothing."""
        ...

    def moved(self, batch: SkeletonBatch, params: Tensor) -> Tensor:
        """The clips (N, C, T, V, M), changed by parameters (N, ...); differentiable in both."""
        ...

    def terms(self, batch: SkeletonBatch, radii: Sequence[float]) -> list[Terms]:
        """What the radius of each clip, in the unit of the parameters, means in the body's terms."""
        ...

    def check(self, skeleton: Skeleton, num_frames: int) -> None:
        """Raise ``SettingError`` if such clips do not have these parameters."""
        ...


@dataclass(frozen=True)
class Joints:
    """Displacements (N, C, T, V, M) of existing joints: the l2 certificate, in the clips' unit."""

    def parameters(self, batch: SkeletonBatch) -> Tensor:
        return torch.zeros_like(batch.x)

    def moved(self, batch: SkeletonBatch, params: Tensor) -> Tensor:
        return batch.x + params * batch.movable

    def whitened(self, batch: SkeletonBatch, moved: Tensor) -> Tensor:
        """Parameters (..., N, C, T, V, M) of displacements."""
        return moved * batch.movable

    def length(self, batch: SkeletonBatch, moved: Tensor) -> Tensor:
        """(N,) lengths of the parameters of displacements (N, C, T, V, M): l2."""
        length: Tensor = self.whitened(batch, moved).flatten(1).norm(dim=1)
        return length

    def terms(self, batch: SkeletonBatch, radii: Sequence[float]) -> list[Terms]:
        steady = torch.eye(batch.x.shape[2], dtype=torch.float64)
        scales = torch.ones(batch.x.shape[3], dtype=torch.float64)
        motions = motion_terms(batch, radii, steady, scales)
        return [one | rigid for one, rigid in zip(motions, rigid_terms(batch, radii, self.whitened), strict=True)]

    def check(self, skeleton: Skeleton, num_frames: int) -> None:
        """Every clip has displacements."""


@dataclass(frozen=True)
class Offset:
    """Displacements (N, C, V, M) of joints that are constant over the clip, in the clips' unit.

    A joint is displaced in the frames in which it exists. The certificate claims nothing of other displacements.
    """

    def parameters(self, batch: SkeletonBatch) -> Tensor:
        return torch.zeros_like(batch.x[:, :, 0])

    def moved(self, batch: SkeletonBatch, params: Tensor) -> Tensor:
        return batch.x + params[:, :, None] * batch.movable

    def terms(self, batch: SkeletonBatch, radii: Sequence[float]) -> list[Terms]:
        return [
            {"constant_mm": 1000 * radius / all_joints, "constant_joint_mm": 1000 * radius}
            for radius, all_joints in zip(radii, _constant(batch), strict=True)
        ]

    def check(self, skeleton: Skeleton, num_frames: int) -> None:
        """Every clip has displacements."""


@dataclass(frozen=True)
class Slow:
    """The lowest DCT coefficients (N, C, k, V, M) in time of displacements, in the clips' unit.

    The basis is orthonormal over the T frames, so if a joint exists in all of them, lengths are l2 norms of
    displacements. A joint is displaced in the frames in which it exists. The certificate claims nothing of
    displacements outside this subspace.
    """

    components: int = 4

    def parameters(self, batch: SkeletonBatch) -> Tensor:
        n, c, _, v, m = batch.x.shape
        return batch.x.new_zeros(n, c, self.components, v, m)

    def moved(self, batch: SkeletonBatch, params: Tensor) -> Tensor:
        basis = dct_basis(batch.x.shape[2], self.components).to(params)
        return batch.x + torch.einsum("tk,nckvm->nctvm", basis, params) * batch.movable

    def terms(self, batch: SkeletonBatch, radii: Sequence[float]) -> list[Terms]:
        frames = math.sqrt(batch.x.shape[2])
        return [
            {"constant_mm": 1000 * radius / (frames * all_joints), "constant_joint_mm": 1000 * radius / frames}
            for radius, all_joints in zip(radii, _constant(batch), strict=True)
        ]

    def check(self, skeleton: Skeleton, num_frames: int) -> None:
        if self.components > num_frames:
            raise SettingError(
                f"components={self.components} exceeds the number of frames, dataset.num_frames={num_frames}: lower it"
            )


def dct_basis(num_frames: int, components: int) -> Tensor:
    """(T, k) the lowest ``components`` of the orthonormal discrete cosine transform (DCT-II) over time."""
    times = torch.arange(num_frames, dtype=torch.float64)[:, None] + 0.5
    numbers = torch.arange(components, dtype=torch.float64)
    basis = (math.pi / num_frames * times * numbers).cos() * math.sqrt(2 / num_frames)
    basis[:, 0] /= math.sqrt(2)
    return basis


def _constant(batch: SkeletonBatch) -> list[float]:
    """The length of constant offsets of all joints, at most, if their rms over existing joints and frames is 1."""
    frames = batch.mask.sum(dim=2).flatten(1)  # (N, V M) of each joint
    least = torch.where(frames > 0, frames, frames.amax(dim=1, keepdim=True)).amin(dim=1).clamp(min=1)
    return (frames.sum(dim=1) / least).double().sqrt().clamp(min=1e-30).tolist()
