"""The graph over joints for graph convolutions, derived from the skeleton's tree."""

import torch
from torch import Tensor

from skeleton_adv.core.skeleton import Skeleton

# The centre of 2s-AGCN's graph for each skeleton; other skeletons use the joint that victims centre on.
_CENTER = {"ntu25": 20, "kinect20": 1, "openpose18": 1}
# Joints whose neighbour in 2s-AGCN's graph is not their parent in the tree of bones: the tip of a hand is attached to
# its thumb, as the recorded order of joints suggests, and OpenPose's hips to the shoulders.
_ATTACHED = {"ntu25": {21: 22, 23: 24}, "openpose18": {8: 2, 11: 5}}
# The joint at which the bones of the bone stream start, if it is not the centre.
_BONES_FROM = {"openpose18": 0}


def bone_links(skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """Pairs (joint, origin) of 2s-AGCN's bone stream: a bone is the joint minus its origin."""
    return inward_links(skeleton, _BONES_FROM.get(skeleton.name))


def inward_links(skeleton: Skeleton, center: int | None = None) -> tuple[tuple[int, int], ...]:
    """Pairs (joint, next joint towards the centre of the graph), one for every joint except the centre."""
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
    """(3, V, V): the identity, the links towards the centre, and those away from it, both normalised by column.

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
