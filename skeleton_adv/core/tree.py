"""The tree of a skeleton: bones from the root outwards, the path to each joint, and limbs."""

from functools import cache

import torch
from torch import Tensor

from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.geometry import bones_exist, incidence, joints_last
from skeleton_adv.core.skeleton import Skeleton


@cache
def outwards(skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """The bones (joint, parent), each after the bone of its parent."""
    order, known, left = [], {skeleton.root}, list(skeleton.bones)
    while left:
        following = [bone for bone in left if bone[1] in known]
        order += following
        known |= {joint for joint, _ in following}
        left = [bone for bone in left if bone not in following]
    return tuple(order)


@cache
def levels(skeleton: Skeleton) -> tuple[tuple[list[int], list[int]], ...]:
    """The bones as (joints, parents), one pair of lists for each distance from the root."""
    depth: dict[int, int] = {skeleton.root: 0}
    found: list[tuple[list[int], list[int]]] = []
    for joint, parent in outwards(skeleton):
        depth[joint] = depth[parent] + 1
        if depth[joint] > len(found):
            found.append(([], []))
        found[depth[joint] - 1][0].append(joint)
        found[depth[joint] - 1][1].append(parent)
    return tuple(found)


@cache
def below(skeleton: Skeleton, joint: int) -> tuple[int, ...]:
    """The joint and all joints that hang from it, from the joint outwards."""
    found = [joint]
    for child, parent in outwards(skeleton):
        if parent in found:
            found.append(child)
    return tuple(found)


@cache
def limbs(skeleton: Skeleton) -> tuple[tuple[int, ...], ...]:
    """The joints of each limb, from the trunk outwards.

    The trunk is the root and every joint from which two chains of at least two joints branch off, with the joints
    between them; limbs are the chains of at least two joints that hang from the trunk: arms, legs, and neck with head
    on most skeletons. A body without such chains has single joints as limbs.
    """
    children = {joint: [c for c, parent in skeleton.bones if parent == joint] for joint in range(skeleton.num_joints)}
    long = {joint for joint in children if children[joint]}
    branches = [joint for joint in children if sum(child in long for child in children[joint]) > 1]
    trunk = {skeleton.root}
    for joint in branches:
        while joint not in trunk:
            trunk.add(joint)
            joint = skeleton.parents[joint]
    hanging = [joint for joint, parent in skeleton.bones if parent in trunk and joint not in trunk]
    chains = [below(skeleton, joint) for joint in hanging if joint in long]
    return tuple(chains or [(joint,) for joint in hanging])


@cache
def _paths(skeleton: Skeleton, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(E, V): 1 if the bone is on the path from the root to the joint."""
    matrix = torch.zeros(len(skeleton.bones), skeleton.num_joints, dtype=dtype)
    for bone, (joint, _) in enumerate(skeleton.bones):
        matrix[bone, list(below(skeleton, joint))] = 1
    return matrix.to(device)


def bone_vectors(x: Tensor, batch: SkeletonBatch | Context) -> Tensor:
    """(N, C, T, M, E) vectors from the parent to the joint of each bone, 0 for bones that do not exist."""
    vectors = joints_last(x, batch.skeleton) @ incidence(batch.skeleton, x.device, x.dtype)
    return torch.where(bones_exist(batch)[:, None], vectors, 0)


def rebuilt(batch: SkeletonBatch, factors: Tensor) -> Tensor:
    """The clips (N, C, T, V, M) whose bones are ``factors`` (N, M, E) times the clean bones, rebuilt from the root.

    The root's path and all bone directions stay. A bone that does not exist in a frame moves no joint there.
    """
    bones = bone_vectors(batch.x, batch) * (factors - 1)[:, None, None]
    return torch.where(batch.movable, batch.x + displacement(bones, batch), batch.x)


def displacement(bones: Tensor, batch: SkeletonBatch | Context) -> Tensor:
    """(N, C, T, V, M) displacements of all joints if the vectors of bones change by ``bones`` (N, C, T, M, E).

    The root stays; channels without coordinates are 0.
    """
    moved = (bones @ _paths(batch.skeleton, bones.device, bones.dtype)).transpose(3, 4)
    if len(batch.skeleton.coords) == batch.skeleton.channels:
        return moved
    coords = torch.tensor(batch.skeleton.coords, device=bones.device)
    n, _, *rest = moved.shape
    return moved.new_zeros(n, batch.skeleton.channels, *rest).index_add(1, coords, moved)
