"""Smoothing noise that is correlated in time: a fixed covariance, so a certificate in its Mahalanobis length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from skeleton_adv.certificates.terms import Terms, motion_terms, rigid_terms
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.core.turning import Up


@dataclass(frozen=True)
class Correlated:
    """Displacements of existing joints with the covariance s_j^2 ((1 - nu) K + nu I) in time, for each coordinate.

    K is the squared exponential exp(-(t - t')^2 / 2 l^2) of a length l in frames; nu is the ``nugget``, without which K
    cannot be inverted; s_j are the ``joint_scales`` by name, 1 unless given. The covariance does not depend on the
    clip, so Cohen et al.'s theorem (arXiv 1902.02918) applies after a change of variables: the parameters are p (N, C,
    T, V, M), and L p is the displacement, with L L' the covariance. Absent entries do not move, so the length of a
    displacement d is (d' S^-1 d)^(1/2) with the block S of the existing entries.
    """

    length_frames: float = 4.0
    nugget: float = 0.01
    joint_scales: Mapping[str, float] = field(default_factory=dict)
    up: Up = "y"

    def parameters(self, batch: SkeletonBatch) -> Tensor:
        return torch.zeros_like(batch.x)

    def moved(self, batch: SkeletonBatch, params: Tensor) -> Tensor:
        factor = _factor(batch.x.shape[2], self.length_frames, self.nugget).to(params)
        smooth = torch.einsum("ts,ncsvm->nctvm", factor, params)
        return batch.x + smooth * self.scales(batch.skeleton).to(params).view(-1, 1) * batch.movable

    def covariance(self, num_frames: int) -> Tensor:
        """(T, T) in time, for a joint with scale 1 and noise with sigma 1."""
        return covariance(num_frames, self.length_frames, self.nugget)

    def scales(self, skeleton: Skeleton) -> Tensor:
        """(V,) the scale of each joint."""
        return torch.tensor([float(self.joint_scales.get(name, 1.0)) for name in skeleton.joints], dtype=torch.float64)

    def whitened(self, batch: SkeletonBatch, moved: Tensor) -> Tensor:
        """Values (N, C, T, V, M) in float64 whose l2 norm is the length of displacements (N, C, T, V, M)."""
        scaled = moved.double() * batch.movable / self.scales(batch.skeleton).to(moved.device).view(-1, 1)
        rows = scaled.permute(0, 3, 4, 2, 1).flatten(0, 2)  # (N V M, T, C)
        shown = batch.mask[:, 0].permute(0, 2, 3, 1).flatten(0, 2)  # (N V M, T)
        whole = self.covariance(batch.x.shape[2]).to(moved.device)
        found = torch.zeros_like(rows)
        patterns, which = torch.unique(shown, dim=0, return_inverse=True)
        for number, there in enumerate(patterns):
            chosen = (which == number).nonzero()[:, :1]
            frames = there.nonzero()[:, 0]
            if len(frames):
                block = torch.linalg.cholesky(whole[frames][:, frames])
                found[chosen, frames] = torch.linalg.solve_triangular(block, rows[chosen, frames], upper=False)
        n, c, t, v, m = moved.shape
        return found.view(n, v, m, t, c).permute(0, 4, 3, 1, 2)

    def length(self, batch: SkeletonBatch, moved: Tensor) -> Tensor:
        """(N,) lengths of displacements (N, C, T, V, M), in the unit of the radius: Mahalanobis, times sigma."""
        length: Tensor = self.whitened(batch, moved).flatten(1).norm(dim=1)
        return length

    def terms(self, batch: SkeletonBatch, radii: Sequence[float]) -> list[Terms]:
        motions = motion_terms(batch, radii, self.covariance(batch.x.shape[2]), self.scales(batch.skeleton))
        rigid = rigid_terms(batch, radii, self.whitened, self.up)
        return [one | other for one, other in zip(motions, rigid, strict=True)]

    def check(self, skeleton: Skeleton, num_frames: int) -> None:
        joints = [*skeleton.joints]
        for name, scale in self.joint_scales.items():
            if name not in skeleton.joints:
                raise SettingError(f"joint_scales: {skeleton.name} has no joint {name}: {nearest(name, joints)}")
            if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < float("inf"):
                raise SettingError(f"joint_scales.{name}={scale} must be a number above 0")


def covariance(num_frames: int, length_frames: float, nugget: float) -> Tensor:
    """(T, T) in float64: (1 - nu) exp(-(t - t')^2 / 2 l^2) + nu I.

    At T = 32, a length of 4 frames has a condition number of 2.5e17 without the nugget.
    """
    times = torch.arange(num_frames, dtype=torch.float64)
    smooth = (-((times[:, None] - times) ** 2) / (2 * length_frames**2)).exp()
    found: Tensor = (1 - nugget) * smooth + nugget * torch.eye(num_frames, dtype=torch.float64)
    return found


@cache
def _factor(num_frames: int, length_frames: float, nugget: float) -> Tensor:
    factor: Tensor = torch.linalg.cholesky(covariance(num_frames, length_frames, nugget))
    return factor
