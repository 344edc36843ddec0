"""Rotations of whole clips about a vertical axis."""

from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.skeleton import Skeleton

Up = Literal["y", "z"]


def level(skeleton: Skeleton, up: Up) -> list[int]:
    """The two horizontal channels of a body with three coordinates whose vertical one is the second or the third."""
    return [skeleton.coords[0], skeleton.coords[2 if up == "y" else 1]]


def first_root(batch: SkeletonBatch) -> Tensor:
    """(N, C) the first position of the root of the first person who has one; 0 if no root exists in a clip.

    It depends on the mask and on this position only, so it stays if a clip is rotated about it.
    """
    exists = batch.mask[:, 0, :, batch.skeleton.root].transpose(1, 2).flatten(1)  # (N, M T)
    place = exists.int().argmax(dim=1)
    roots = batch.x[:, :, :, batch.skeleton.root].transpose(2, 3).flatten(2)  # (N, C, M T)
    return roots.gather(2, place.view(-1, 1, 1).expand(-1, roots.shape[1], 1))[..., 0]


def turned(batch: SkeletonBatch, angle: Tensor, centre: Tensor | None, up: Up) -> Tensor:
    """The clips (N, C, T, V, M), rotated by ``angle`` (N,) radians about a vertical axis, all persons together.

    The axis passes through ``centre`` (N, C); None: through the camera. Entries that cannot move stay.
    """
    a, b = level(batch.skeleton, up)
    angle = angle.view(-1, 1, 1, 1)
    at = batch.x.new_zeros(batch.x.shape[:2]) if centre is None else centre
    across, deep = at[:, a].view(-1, 1, 1, 1), at[:, b].view(-1, 1, 1, 1)
    first, second = batch.x[:, a] - across, batch.x[:, b] - deep
    channels = list(batch.x.unbind(dim=1))
    channels[a] = across + first * angle.cos() + second * angle.sin()
    channels[b] = deep + second * angle.cos() - first * angle.sin()
    return torch.where(batch.movable, torch.stack(channels, dim=1), batch.x)
