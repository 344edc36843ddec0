"""The nearest clips that accelerate as the clean clips do and whose bones have almost clean lengths."""

import torch
from torch import Tensor

from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import coordinates
from skeleton_adv.core.tree import levels

ROUNDS = 10  # of the alternation; more change clips by less than a millimetre


class Manifold:
    """BASAR's positional projection, ``min |X - x'|^2 + w |D2 X - D2 x|^2`` with bone lengths within a share.

    BASAR (Diao et al., CVPR 2021, arXiv 2103.05266) solves it with IPOPT. Here the quadratic part, a
    smoothing of the displacement over time, is solved in closed form per joint, and bones are clamped from the root
    outwards; the two alternate with the multipliers of ADMM, and the clamp comes last, so that bones end within
    their limits.
    """

    def __init__(self, batch: SkeletonBatch) -> None:
        self.batch = batch
        there = batch.mask[:, 0].permute(0, 2, 3, 1)  # (N, V, M, T)
        inner = (there[..., :-2] & there[..., 1:-1] & there[..., 2:]).to(batch.x.dtype)
        identity = torch.eye(there.shape[-1], dtype=batch.x.dtype, device=batch.x.device)
        second = identity[2:] - 2 * identity[1:-1] + identity[:-2]  # (T - 2, T)
        curvature = second.T @ (inner[..., None] * second)  # D2' D2 over frames that exist
        self.values, self.vectors = torch.linalg.eigh(curvature)
        self.clean, movable = coordinates(batch.x, batch.skeleton), coordinates(batch.movable, batch.skeleton)
        self.levels = []  # joints, parents, clean bones (N, C, T, B, M), which coordinates may move
        for joints, parents in levels(batch.skeleton):
            both = batch.mask[:, :, :, joints] & batch.mask[:, :, :, parents]
            bones = self.clean[:, :, :, joints] - self.clean[:, :, :, parents]
            self.levels.append((joints, parents, bones, both & movable[:, :, :, joints]))

    def project(self, x_adv: Tensor, weight: Tensor, share: Tensor) -> Tensor:
        """The projection of ``x_adv`` (N, C, T, V, M); ``weight`` and ``share`` are w and the bones' share, (N,)."""
        clean, movable = self.batch.x, self.batch.movable
        target = torch.where(movable, x_adv - clean, 0)
        near = self.clamped(clean + self._smoothed(target, weight, 1.0), share)
        multiplier = torch.zeros_like(target)
        for _ in range(ROUNDS):
            smooth = self._smoothed(target + near - clean - multiplier, weight, 2.0)
            near = self.clamped(clean + smooth + multiplier, share)
            multiplier = multiplier + smooth - (near - clean)
        return near

    def clamped(self, x: Tensor, share: Tensor) -> Tensor:
        """Clips whose bones have their direction in ``x`` and a length within ``share`` (N,) of the clean length.

        A bone of length 0 gets its clean direction. Joints that may not move do not move.
        """
        share = broadcast(share)
        moved = coordinates(torch.where(self.batch.movable, x, self.batch.x), self.batch.skeleton).clone()
        for joints, parents, clean, able in self.levels:
            bone = moved[:, :, :, joints] - moved[:, :, :, parents]
            length, usual = bone.norm(dim=1, keepdim=True), clean.norm(dim=1, keepdim=True)
            bounded = torch.minimum(torch.maximum(length, (1 - share) * usual), (1 + share) * usual)
            bone = torch.where(length > 0, bone * (bounded / length.clamp(min=1e-30)), clean)
            within = ~able | (bounded == length)
            moved[:, :, :, joints] = torch.where(within, moved[:, :, :, joints], moved[:, :, :, parents] + bone)
        if moved.shape == x.shape:
            return moved
        coords = torch.tensor(self.batch.skeleton.coords, device=x.device)
        return self.batch.x.index_copy(1, coords, moved)

    def _smoothed(self, displacement: Tensor, weight: Tensor, anchor: float) -> Tensor:
        """``(anchor I + w D2' D2)^-1`` applied to displacements (N, C, T, V, M) along time."""
        series = displacement.permute(0, 3, 4, 1, 2)  # (N, V, M, C, T)
        scale = anchor + broadcast(weight) * self.values[:, :, :, None]
        solved: Tensor = ((series @ self.vectors) / scale) @ self.vectors.mT
        return solved.permute(0, 3, 4, 1, 2)
