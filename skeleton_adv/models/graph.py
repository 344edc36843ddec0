"""The graphs over joints of graph convolutions, derived from the skeleton's tree.

Tensors are float32, because the public implementations round theirs to float32. Networks multiply in one of two ways:
by column, ``out[v] = sum_u in[u] A[u, v]``, or by row, ``out[u] = sum_v A[u, v] in[v]``.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton

Hands = Literal["chain", "fork"]  # NTU's tip of a hand is linked to its thumb, or to the hand like the thumb
# The centre of the published graphs for each skeleton; other skeletons use the joint that victims centre on.
_CENTER = {"ntu25": 20, "kinect20": 1, "kinect20_sdk": 2, "openpose18": 1}
# Joints whose neighbour in the published graphs is not their parent in the tree of bones: the tip of a hand is linked
# to its thumb, as the recorded order of joints suggests (only for ``chain``), and OpenPose's hips to the shoulders.
_CHAINED = {"ntu25": {21: 22, 23: 24}}
_ATTACHED = {"openpose18": {8: 2, 11: 5}}
# The joint at which the bones of the bone stream start, if it is not the centre.
_BONES_FROM = {"openpose18": 0}


def bone_links(skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """Pairs (joint, origin) of 2s-AGCN's bone stream: a bone is the joint minus its origin."""
    return inward_links(skeleton, _BONES_FROM.get(skeleton.name))


def graph_center(skeleton: Skeleton) -> int:
    """The joint to which the links of the published graphs lead."""
    return _CENTER.get(skeleton.name, skeleton.center)


def inward_links(skeleton: Skeleton, center: int | None = None, hands: Hands = "chain") -> tuple[tuple[int, int], ...]:
    """Pairs (joint, next joint towards the centre of the graph), one for every joint except the centre."""
    attached = _ATTACHED.get(skeleton.name, {}) | (_CHAINED.get(skeleton.name, {}) if hands == "chain" else {})
    neighbours: dict[int, list[int]] = {joint: [] for joint in range(skeleton.num_joints)}
    for joint, parent in skeleton.bones:
        other = attached.get(joint, parent)
        neighbours[joint].append(other)
        neighbours[other].append(joint)
    inward: dict[int, int] = {}
    reached = [graph_center(skeleton) if center is None else center]
    for joint in reached:
        for neighbour in neighbours[joint]:
            if neighbour not in reached:
                inward[neighbour] = joint
                reached.append(neighbour)
    return tuple(sorted(inward.items()))


def spatial_adjacency(skeleton: Skeleton, hands: Hands = "chain") -> Tensor:
    """(3, V, V): the identity, the links towards the centre, and those away from it, both normalised by column.

    Two-Stream Adaptive Graph Convolutional Networks (Shi et al., arXiv 1805.07694), strategy
    ``spatial``; ``out[v] = sum_u in[u] A[u, v]``.
    """
    inward = _inward(skeleton, hands)
    return torch.stack([torch.eye(len(inward)), by_column(inward), by_column(inward.T)])


def distance_adjacency(skeleton: Skeleton, hands: Hands = "chain") -> Tensor:
    """(3, V, V): ST-GCN's partition (Yan et al., arXiv 1801.07455) as its code computes it, normalised by column.

    A link belongs to the second part if its source is at most as far from the centre as its target, else to the
    third. The code measures distances up to one hop only: all joints further away are equally far.
    """
    inward, center = _inward(skeleton, hands), graph_center(skeleton)
    linked = inward + inward.T
    normal = by_column(linked + torch.eye(len(linked)))
    far = torch.where(linked[center] > 0, 1.0, torch.inf)
    far[center] = 0
    nearer = (far[:, None] >= far[None]) & (linked > 0)
    further = (far[:, None] < far[None]) & (linked > 0)
    return torch.stack([torch.diag(normal.diag()), normal * nearer, normal * further])


def binary_adjacency(skeleton: Skeleton, hands: Hands = "chain") -> Tensor:
    """(V, V): 1 for each link, in both directions."""
    inward = _inward(skeleton, hands)
    return inward + inward.T


def reach(links: Tensor) -> int:
    """The length of the longest shortest path, in links, of a connected graph (V, V)."""
    step = (links > 0).double() + torch.eye(len(links), dtype=torch.float64)
    power, hops = step, 1
    while (power == 0).any():
        power, hops = (power @ step).clamp(max=1), hops + 1
    return hops


def k_adjacency(links: Tensor, scales: int) -> Tensor:
    """(scales, V, V): the joints at exactly k links, k = 0, 1, ..., and each joint itself; entries are 0 or 1.

    MS-G3D (Liu et al., arXiv 2003.14111), Eq. 3, for a graph of 0 and 1 (V, V).
    """
    eye = torch.eye(len(links), dtype=torch.float64)
    within = [eye]
    for _ in range(scales - 1):
        within.append((within[-1] @ (links.double() + eye)).clamp(max=1))
    return torch.stack([eye, *(b - a + eye for a, b in pairwise(within))])


def window_links(links: Tensor, frames: int) -> Tensor:
    """(F V, F V): every joint of a window of F frames, linked to itself and its neighbours in every frame.

    MS-G3D, Eq. 4; index ``frame * V + joint``.
    """
    return (links + torch.eye(len(links))).clamp(max=1).repeat(frames, frames)


def symmetric(adjacency: Tensor) -> Tensor:
    """D^-1/2 A D^-1/2 of each matrix (S, V, V) of 0 and 1, in float32.

    The inverse roots of the degrees are those that NumPy computes in float32 on a CPU with AVX-512, as in MS-G3D's
    published numbers: the rounded values, except that degrees 6 and 7 are off by one unit in the last place.
    """
    degree = adjacency.double().sum(dim=2)
    root = degree.clamp(min=1e-30).rsqrt().float()
    root[degree == 6], root[degree == 7] = float.fromhex("0x1.a20bd6p-2"), float.fromhex("0x1.83092p-2")
    root[degree == 0] = 0
    wide = root.double()
    return (wide[:, :, None] * adjacency.double() * wide[:, None, :]).float()


def by_column(adjacency: Tensor) -> Tensor:
    """Each matrix (..., V, V) divided by the sums of its columns."""
    return adjacency / adjacency.sum(dim=-2, keepdim=True).clamp(min=1)


def ancestors(skeleton: Skeleton, steps: int) -> Tensor:
    """(V, V): ``O^steps``, where O[joint, next joint towards ``skeleton.center``] = 1: InfoGCN's tree."""
    step = torch.zeros(skeleton.num_joints, skeleton.num_joints, dtype=torch.float64)
    for joint, towards in inward_links(skeleton, skeleton.center):
        step[joint, towards] = 1
    power: Tensor = torch.linalg.matrix_power(step, steps)
    return power.float()


# HD-GCN's groups of joints by their distance from a centre of mass, counted from 1 (Lee et al., arXiv 2208.10741).
_GROUPS = {
    ("ntu25", 1): "1 | 2 13 17 | 14 18 21 | 3 5 9 15 19 | 4 6 10 16 20 | 7 11 | 8 12 22 23 24 25",
    ("ntu25", 2): "2 | 1 21 | 13 17 3 5 9 | 14 18 4 6 10 | 15 19 7 11 | 16 20 8 12 | 22 23 24 25",
    ("ntu25", 21): "21 | 2 3 5 9 | 4 6 10 1 | 7 11 13 17 | 8 12 14 18 | 22 23 24 25 15 19 | 16 20",
}


def hierarchy(skeleton: Skeleton, center: int = 1) -> tuple[tuple[int, ...], ...]:
    """HD-GCN's seven groups of joints for a centre of mass at joint 1, 2 or 21 of NTU (counted from 1).

    Raises ``SettingError`` for any other skeleton or centre: no groups are published for it.
    """
    groups = _GROUPS.get((skeleton.name, center))
    if groups is None:
        known = ", ".join(f"{name} with center {joint}" for name, joint in _GROUPS)
        raise SettingError(
            f"HD-GCN has no groups of joints for {skeleton.name} with center {center}, only for {known}: "
            "choose another model"
        )
    return tuple(tuple(int(joint) - 1 for joint in group.split()) for group in groups.split("|"))


def hierarchical_adjacency(skeleton: Skeleton, center: int = 1) -> Tensor:
    """(6, 3, V, V): for each two neighbouring groups, the identity, the links from first to second, and those back.

    HD-GCN (Lee et al., arXiv 2208.10741), Sec. 3.2; the links are normalised by column.
    """
    groups = hierarchy(skeleton, center)
    found = torch.zeros(len(groups) - 1, 3, skeleton.num_joints, skeleton.num_joints)
    for level, (near, far) in enumerate(pairwise(groups)):
        for joint in (*near, *far):
            found[level, 0, joint, joint] = 1
        for a in near:
            for b in far:
                found[level, 1, b, a] = found[level, 2, a, b] = 1
    return torch.stack([found[:, 0], by_column(found[:, 1]), by_column(found[:, 2])], dim=1)


def _inward(skeleton: Skeleton, hands: Hands) -> Tensor:
    """(V, V) with A[j, i] = 1 for each link of joint i to its neighbour j towards the centre."""
    matrix = torch.zeros(skeleton.num_joints, skeleton.num_joints)
    for joint, towards in inward_links(skeleton, hands=hands):
        matrix[towards, joint] = 1
    return matrix
