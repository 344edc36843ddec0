"""The graph over joints for graph convolutions, derived from the skeleton's tree."""

import torch
from torch import Tensor

from skeleton_adv.core.skeleton import Skeleton

# Where 2s-AGCN's graphs have their centre (those of other skeletons: where victims centre), and the
# joints that they attach elsewhere than the tree of bones does: a hand's tip to its thumb, as the
# recorded order of joints suggests, and OpenPose's hips to the shoulders.
_CENTER = {"ntu25": 20, "kinect20": 1, "openpose18": 1}
_ATTACHED = {"ntu25": {21: 22, 23: 24}, "openpose18": {8: 2, 11: 5}}
# Where the bones of the bone stream start, if not at the centre.
_BONES_FROM = {"openpose18": 0}


def bone_links(skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """Pairs (joint, joint that it is taken from) of 2s-AGCN's bone stream."""
    return inward_links(skeleton, _BONES_FROM.get(skeleton.name))


def inward_links(skeleton: Skeleton, center: int | None = None) -> tuple[tuple[int, int], ...]:
    """Pairs (joint, next joint towards the graph's centre), one for every joint but the centre."""
    attached = _ATTACHED.get(skeleton.name, {})
    neighbours: dict[int, list[int]] = {joint: [] for joint in range(skeleton.num_joints)}
    for joint, parent in skeleton.bones:
        other = attached.get(joint, parent)
        neighbours[joint].append(other)
        neighbours[other].append(joint)
    inward: dict[int, int] = {}
    reached = [_CENTER.get(skeleton.name, skeleton.center) if center is None else center]
    for joint in reached:
        for neighbour in neighbours[joint]:
            if neighbour not in reached:
                inward[neighbour] = joint
                reached.append(neighbour)
    return tuple(sorted(inward.items()))


def spatial_adjacency(skeleton: Skeleton) -> Tensor:
    """(3, V, V): identity, links towards the centre and away from it, the last two normalised by column.

    Two-Stream Adaptive Graph Convolutional Networks (Shi et al., arXiv 1805.07694), strategy
    ``spatial``; ``out[v] = sum_u in[u] A[u, v]``.
    """
    size = skeleton.num_joints
    inward = torch.zeros(size, size)
    for joint, center in inward_links(skeleton):
        inward[center, joint] = 1
    return torch.stack([torch.eye(size), _by_column(inward), _by_column(inward.T)])


def _by_column(matrix: Tensor) -> Tensor:
    return matrix / matrix.sum(dim=0).clamp(min=1)
