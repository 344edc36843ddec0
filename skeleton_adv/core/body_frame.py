"""The body's own directions: to the left, up and forward, in the first frame that shows them."""

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch

PAIRS = (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"))


def yaw(batch: SkeletonBatch) -> Tensor:
    """(N, M, 2) cosine and sine of each person's angle about the vertical axis.

    The angle is that of the horizontal direction from the right hip (otherwise the shoulder) to the left one, in the
    first frame in which both exist and do not lie above each other; 0 if there is no such frame. Joints in an image
    have no vertical axis, so their angle is 0.
    """
    n, _, t, _, m = batch.x.shape
    straight = torch.stack([torch.ones(n, m), torch.zeros(n, m)], dim=2).to(batch.x)
    joints = batch.skeleton.joints
    pair = next((pair for pair in PAIRS if {*pair} <= {*joints}), None)
    if len(batch.skeleton.coords) < 3 or pair is None:
        return straight
    left, right = (joints.index(name) for name in pair)
    across, _, away = batch.skeleton.coords
    flat = (batch.x[:, [across, away], :, left] - batch.x[:, [across, away], :, right]).movedim(1, -1)  # (N, T, M, 2)
    size = flat.norm(dim=-1)
    seen = batch.mask[:, 0, :, left] & batch.mask[:, 0, :, right] & (size > 1e-6)
    first = torch.where(seen, torch.arange(t, device=size.device).view(1, t, 1), t).amin(dim=1)  # (N, M)
    place = first.clamp(max=t - 1)[:, None, :, None]
    direction = flat.gather(1, place.expand(n, 1, m, 2))[:, 0]
    unit = direction / direction.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    return torch.where((first < t)[..., None], unit, straight)


def to_camera(vectors: Tensor, turn: Tensor, batch: SkeletonBatch) -> Tensor:
    """Vectors (3, T, V) in the body's frame as vectors (N, C, T, V, M) in the camera's, for persons with ``turn``.

    The body's first axis points to its left, its second up; two coordinates of an image are returned as they are.
    """
    n, _, t, v, m = batch.x.shape
    found = torch.zeros_like(batch.x)
    coords = batch.skeleton.coords
    own = [vectors[axis].view(1, t, v, 1).expand(n, t, v, m) for axis in range(len(coords))]
    if len(coords) == 3:
        cos, sin = (turn[..., axis].view(n, 1, 1, m) for axis in (0, 1))
        own = [cos * own[0] - sin * own[2], own[1], sin * own[0] + cos * own[2]]
    for channel, values in zip(coords, own, strict=True):
        found[:, channel] = values
    return found


def to_body(x: Tensor, turn: Tensor, batch: SkeletonBatch) -> Tensor:
    """Vectors (N, C, T, V, M) in the camera's frame as vectors (N, 3, T, V, M) in each person's; see ``to_camera``."""
    own = [x[:, channel] for channel in batch.skeleton.coords]
    if len(own) == 3:
        cos, sin = (turn[..., axis].view(len(x), 1, 1, -1) for axis in (0, 1))
        own = [cos * own[0] + sin * own[2], own[1], cos * own[2] - sin * own[0]]
    return torch.stack(own, dim=1)
