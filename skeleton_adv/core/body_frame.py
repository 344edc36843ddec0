"""The body's own directions: to its left, up, and forward."""

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch

PAIRS = (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"))


def headings(batch: SkeletonBatch) -> tuple[Tensor, Tensor]:
    """(N, T, M, 2) cosine and sine of each person's angle about the vertical axis, and (N, T, M) whether it is known.

    The angle is that of the horizontal direction from the right hip (otherwise the shoulder) to the left one. It is 0
    where one of them does not exist, or where they are above each other. Joints in an image have no vertical axis, so
    their angle is 0 too.
    """
    n, _, t, _, m = batch.x.shape
    straight = batch.x.new_tensor([1.0, 0.0]).expand(n, t, m, 2)
    joints, coords = batch.skeleton.joints, batch.skeleton.coords
    pair = next((pair for pair in PAIRS if {*pair} <= {*joints}), None)
    if len(coords) < 3 or pair is None:
        return straight, torch.zeros(n, t, m, dtype=torch.bool, device=batch.x.device)
    left, right = (joints.index(name) for name in pair)
    level = [coords[0], coords[2]]
    direction = (batch.x[:, level, :, left] - batch.x[:, level, :, right]).movedim(1, -1)
    size = direction.norm(dim=-1)
    known = batch.mask[:, 0, :, left] & batch.mask[:, 0, :, right] & (size > 1e-6)
    return torch.where(known[..., None], direction / size.clamp(min=1e-6)[..., None], straight), known


def yaw(batch: SkeletonBatch) -> Tensor:
    """(N, M, 2) cosine and sine of each person's angle in the first frame in which it is known; see ``headings``."""
    turn, known = headings(batch)
    n, t, m = known.shape
    numbers = torch.arange(t, device=turn.device).view(1, t, 1)
    first = torch.where(known, numbers, t - 1).amin(dim=1)  # the angle of the last frame is 0 if none is known
    return turn.gather(1, first.view(n, 1, m, 1).expand(n, 1, m, 2))[:, 0]


def to_camera(vectors: Tensor, turn: Tensor, batch: SkeletonBatch) -> Tensor:
    """Vectors (D, T, V) in the body's frame as vectors (N, C, T, V, M) in the camera's, for persons with ``turn``.

    The body's first axis points to its left, its second up; two coordinates of an image are returned as they are.
    """
    n, _, t, v, m = batch.x.shape
    own = [vectors[axis].view(1, t, v, 1).expand(n, t, v, m) for axis in range(len(vectors))]
    if len(own) == 3:
        cos, sin = (turn[..., axis].view(n, 1, 1, m) for axis in (0, 1))
        own = [cos * own[0] - sin * own[2], own[1], sin * own[0] + cos * own[2]]
    found = dict(zip(batch.skeleton.coords, own, strict=True))
    still = torch.zeros_like(own[0])
    return torch.stack([found.get(channel, still) for channel in range(batch.x.shape[1])], dim=1)


def to_body(x: Tensor, turn: Tensor, batch: SkeletonBatch) -> Tensor:
    """Vectors (N, C, T, V, M) in the camera's frame as vectors (N, D, T, V, M) in each person's; see ``to_camera``.

    ``turn`` is (N, M, 2), or (N, T, M, 2) with an angle per frame.
    """
    own = [x[:, channel] for channel in batch.skeleton.coords]
    if len(own) == 3:
        cos, sin = ((turn[:, None] if turn.dim() == 3 else turn)[..., None, :, axis] for axis in (0, 1))
        own = [cos * own[0] + sin * own[2], own[1], cos * own[2] - sin * own[0]]
    return torch.stack(own, dim=1)
