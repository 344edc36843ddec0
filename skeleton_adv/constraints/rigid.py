"""Rigid bones: the length of each bone changes by one factor over the whole clip."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skeleton_adv.constraints.base import SLACK, Constraint, Limits, Unit
from skeleton_adv.constraints.split import Split, to_length
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import bone_lengths, bones_exist, incidence
from skeleton_adv.core.ranges import Probability

HALVINGS = 40  # of the interval in which the factor of a bone is searched


@dataclass(frozen=True)
class RigidBone(Constraint):
    """Each bone has one factor f within ``1 +- eps`` over the clip: ``|B' - f B| <= spread B`` in every frame.

    The method is ours, after Eq. 4 of Zheng et al. (arXiv 2005.07151), which lets a bone grow in one frame and shrink
    in the next. A bone of constant length, as in motion capture, keeps a constant length; a bone that jitters in the
    clean clip, as in Kinect's, keeps this jitter. Unlike ``BoneFactor``, bones may turn and the root may move.

    - ``eps``: by which the length of a bone may change, as a fraction
    - ``spread``: by which single frames may differ from that factor, as a fraction
    """

    eps: Probability = 0.01
    spread: Probability = 0.001
    name = "rigid"
    symbol = "ΔB/B"
    unit: Unit = "share"

    def on(self, batch: SkeletonBatch) -> Limits:
        clean = bone_lengths(batch.x, batch.skeleton)  # (N, T, M, E)
        exists = bones_exist(batch) & (clean > 0)

        def deviation(x_adv: Tensor) -> Tensor:
            lengths = bone_lengths(x_adv, batch.skeleton)
            return (lengths - self._middle(lengths, clean, exists) * clean).abs().flatten(1)

        return Limits(
            deviation=deviation,
            tolerance=(self.spread * clean).flatten(1),
            scale=(clean + batch.skeleton.length_floor).flatten(1),
            slack=torch.full_like(clean, SLACK).flatten(1),
            exists=exists.flatten(1),
        )

    def split(self, batch: SkeletonBatch, tighter: float = 0.0) -> Split:
        clean, spread = bone_lengths(batch.x, batch.skeleton), self.spread * (1 - tighter)
        exists = bones_exist(batch) & (clean > 0)
        joints = incidence(batch.skeleton, batch.x.device, batch.x.dtype)

        def nearest(bones: Tensor) -> Tensor:
            factor = self._nearest_factor(bones.norm(dim=1), clean.where(exists, 0), spread)
            low, high = ((factor + sign * spread) * clean for sign in (-1, 1))
            return to_length(bones, low.clamp(min=0).where(exists, 0), high.where(exists, torch.inf))

        return Split(joints, nearest)

    def _middle(self, lengths: Tensor, clean: Tensor, exists: Tensor) -> Tensor:
        """(N, 1, M, E) the factor within the limits whose largest deviation from a bone's ratios is the smallest."""
        ratio = lengths / clean.where(exists, 1)
        low, high = (ratio.where(exists, missing).aminmax(dim=1, keepdim=True) for missing in (torch.inf, -torch.inf))
        middle = ((low.min + high.max) / 2).where(exists.any(dim=1, keepdim=True), 1)
        return middle.clamp(1 - self.eps, 1 + self.eps)

    def _nearest_factor(self, lengths: Tensor, clean: Tensor, spread: float) -> Tensor:
        """(N, 1, M, E) the factor for which lengths (N, T, M, E) are nearest to ``(f +- spread) clean``, by bisection.

        The sum of squared distances is convex in f; its derivative is -2 times the sum of ``clean`` times the excess.
        """
        low = torch.full_like(clean[:, :1], 1 - self.eps)
        high = torch.full_like(low, 1 + self.eps)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            excess = lengths - middle * clean
            excess = excess - excess.clamp(-spread * clean, spread * clean)
            slope = (clean * excess).sum(dim=1, keepdim=True)
            low, high = torch.where(slope >= 0, middle, low), torch.where(slope <= 0, middle, high)
        return (low + high) / 2
