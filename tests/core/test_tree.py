"""The tree of a skeleton: order, limbs, and clips rebuilt from factors of bones."""

import pytest
import torch
from conftest import make_batch

from skeleton_adv.core.geometry import bone_lengths, bones_exist
from skeleton_adv.core.skeleton import COCO17, KINECT20, NTU25, OPENPOSE18, SKELETONS, Skeleton
from skeleton_adv.core.tree import below, limbs, outwards, rebuilt

every = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))


@every
def test_bones_follow_those_of_their_parents(skeleton: Skeleton) -> None:
    known = {skeleton.root}
    for joint, parent in outwards(skeleton):
        assert parent in known and joint not in known
        known.add(joint)
    assert known == {*range(skeleton.num_joints)} == {*below(skeleton, skeleton.root)}


@every
def test_limbs_are_disjoint_chains_without_the_root(skeleton: Skeleton) -> None:
    joints = [joint for limb in limbs(skeleton) for joint in limb]
    assert len(joints) == len({*joints}) and skeleton.root not in joints
    assert all({*limb} == {*below(skeleton, limb[0])} and len(limb) > 1 for limb in limbs(skeleton))


def test_limbs_by_hand() -> None:
    def named(skeleton: Skeleton) -> set[str]:
        return {skeleton.joints[limb[0]] for limb in limbs(skeleton)}

    assert named(NTU25) == {"neck", "left_shoulder", "right_shoulder", "left_hip", "right_hip"}
    assert named(KINECT20) == {"left_shoulder", "right_shoulder", "left_hip", "right_hip"}
    assert {"left_elbow", "right_elbow", "left_hip", "right_hip"} < named(COCO17)
    star = Skeleton("star", ("a", "b", "c", "d"), (0, 0, 0, 0), (), 0)
    assert limbs(star) == ((1,), (2,), (3,))


@pytest.mark.parametrize("skeleton", [NTU25, OPENPOSE18], ids=["ntu25", "openpose18"])
def test_factors_scale_bones_and_leave_directions(skeleton: Skeleton) -> None:
    batch = make_batch(n=3, skeleton=skeleton)
    factors = 0.8 + 0.4 * torch.rand(3, 2, skeleton.num_joints - 1, generator=torch.Generator().manual_seed(0)).double()
    x = rebuilt(batch, factors)
    before, after = bone_lengths(batch.x, skeleton), bone_lengths(x, skeleton)
    exists = bones_exist(batch)
    torch.testing.assert_close(after[exists], (before * factors[:, None])[exists])
    assert torch.equal(x[:, :, :, skeleton.root], batch.x[:, :, :, skeleton.root])
    assert torch.equal(x[~batch.movable], batch.x[~batch.movable])
    assert torch.equal(rebuilt(batch, torch.ones_like(factors)), batch.x)
