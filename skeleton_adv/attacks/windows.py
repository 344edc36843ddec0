"""Random windows of clips: a run of consecutive frames of a connected set of joints of one person."""

from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import uniform
from skeleton_adv.core.skeleton import Skeleton


@dataclass(frozen=True)
class Windows:
    """Windows of the clips of a batch, drawn from (``seed``, purpose, clip, draw).

    A window of ``share`` contains about the square root of ``share`` of the frames, and the same fraction of the joints
    of one person: the joints that have the fewest bones between them and a random movable joint, ties broken at random.
    Such a set is connected. Frames and centre are drawn between the first and the last that can move.
    """

    batch: SkeletonBatch
    seed: int

    def draw(self, share: float, purpose: str, draw: int, least: int = 1) -> tuple[Tensor, Tensor]:
        """(N, 1, T, V, M) bool: a window per clip with at least ``least`` frames and joints where there are as many,
        and (N, 1, T, V, M) weights in it, which fall from its middle frame and its central joint outwards."""
        batch, (n, _, t, v, m) = self.batch, self.batch.x.shape
        chance = uniform(batch.x.new_empty(n, m + 2 * v + 1), batch.index, self.seed, purpose, draw)
        persons, joints, ties, place = torch.split(chance, [m, v, v, 1], dim=1)
        person = torch.where(self._present.any(dim=(1, 2)), persons, -1).argmax(dim=1)
        movable = self._present[torch.arange(n, device=person.device), :, :, person]  # (N, T, V)
        centre = torch.where(movable.any(dim=1), joints, -1).argmax(dim=1)
        bones = self._bones_between[centre]  # (N, V)
        count = min(max(round(share**0.5 * v), least), v)
        nearest = (bones + 0.5 * ties).topk(count, dim=1, largest=False).indices
        of_joints = torch.zeros_like(bones, dtype=torch.bool).scatter(1, nearest, True)
        frames = movable.any(dim=2)
        first = frames.int().argmax(dim=1)
        length = t - frames.flip(1).int().argmax(dim=1) - first
        run = (share**0.5 * length).round().clamp(min=least).minimum(length)
        start = first + (place[:, 0] * (length - run + 1)).floor().minimum(length - run)
        from_start = torch.arange(t, device=first.device) - start[:, None]  # (N, T)
        of_frames = (from_start >= 0) & (from_start < run[:, None])
        of_person = torch.arange(m, device=person.device) == person[:, None]
        window = (of_frames[:, :, None] & of_joints[:, None])[..., None] & of_person[:, None, None]
        from_middle = (from_start + 0.5 - run[:, None] / 2).abs()
        weight = (1 - from_middle / (run[:, None] / 2 + 0.5)).clamp(min=0)[:, :, None] / (1 + bones[:, None])
        return window[:, None], (window * weight[..., None])[:, None]

    @cached_property
    def _present(self) -> Tensor:
        """(N, T, V, M) bool: whether a joint can move."""
        return self.batch.movable.any(dim=1)

    @cached_property
    def _bones_between(self) -> Tensor:
        """(V, V) the number of bones between two joints, in the type of the coordinates."""
        return bones_between(self.batch.skeleton).to(self.batch.x)


@cache
def bones_between(skeleton: Skeleton) -> Tensor:
    """(V, V) int: the number of bones on the path between two joints."""
    v = skeleton.num_joints
    distance = torch.full((v, v), v)
    distance[range(v), range(v)] = 0
    for joint, parent in skeleton.bones:
        distance[joint, parent] = distance[parent, joint] = 1
    for between in range(v):  # Floyd and Warshall
        distance = torch.minimum(distance, distance[:, between, None] + distance[between])
    return distance
