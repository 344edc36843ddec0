"""Input filtering: bones of constant length."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.geometry import bones_exist, length
from skeleton_adv.core.ranges import Range, checked
from skeleton_adv.core.tree import bone_vectors, displacement
from skeleton_adv.defenses import check_in_space
from skeleton_adv.defenses.median import median


class BoneProjection(nn.Module):
    """Each bone gets the median of its own lengths over the frames of the clip that the defense receives.

    The body is rebuilt from the root outwards: the root's path and the directions of all bones stay, so this is not the
    nearest clip with such bones. The defense never sees the clean clip; an attack moves the median too, and the
    gradient through it is exact. ``share`` is the part of the way from each length to the median, 1: all of it. A bone
    exists in the frames in which both of its joints do; the joints beyond a missing one move with those before it. A
    bone of length 0 has no direction and stays. The lengths are those of the clip's coordinates, so the defense has
    no meaning for joints in an image: it raises ``SettingError``.
    """

    in_space: ClassVar[bool] = True
    OFF: ClassVar[Mapping[str, Any]] = {"share": 0.0}  # with these settings, the defense changes nothing

    @checked
    def __init__(self, network: nn.Module, *, share: Annotated[float, Range("[0, 1]")] = 1.0) -> None:
        super().__init__()
        self.network, self.share = network, share

    def forward(self, x: Tensor, context: Context) -> Tensor:  # (N, C, T, V, M) -> (N, K)
        check_in_space("bone_projection", context.skeleton)
        moved = x + self.share * correction(x, context)
        logits: Tensor = self.network(torch.where(context.movable, moved, x), context)
        return logits


def correction(x: Tensor, context: Context) -> Tensor:
    """(N, C, T, V, M) displacements after which each bone of x has its median length in every frame."""
    bones = bone_vectors(torch.where(context.mask, x, 0), context)  # (N, C, T, M, E)
    lengths = length(bones)
    usable = bones_exist(context) & (lengths > 0)
    factors = torch.where(usable, usual_lengths(x, context)[:, None] / torch.where(usable, lengths, 1), 1)
    return displacement(bones * (factors - 1)[:, None], context)


def usual_lengths(x: Tensor, context: SkeletonBatch | Context) -> Tensor:
    """(N, M, E) the median length of each bone of x over the frames in which it exists, metres; 0 if there are none."""
    lengths = length(bone_vectors(torch.where(context.mask, x, 0), context))  # (N, T, M, E)
    return median(lengths.transpose(0, 1), bones_exist(context).transpose(0, 1))
