"""Trees are trees, and angles join neighbouring bones."""

import pytest

from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton

ALL = (NTU25, KINECT20, OPENPOSE18)
RULED = (NTU25, KINECT20)  # the angles of the third skeleton are a released list


@pytest.mark.parametrize("skeleton", ALL, ids=lambda s: s.name)
def test_every_joint_reaches_the_root(skeleton: Skeleton) -> None:
    for joint in range(skeleton.num_joints):
        seen = set()
        while skeleton.parents[joint] != joint:
            assert joint not in seen
            seen.add(joint)
            joint = skeleton.parents[joint]
        assert joint == skeleton.root
    assert len(skeleton.bones) == skeleton.num_joints - 1


@pytest.mark.parametrize("skeleton", RULED, ids=lambda s: s.name)
def test_angles_join_two_bones_and_are_symmetric(skeleton: Skeleton) -> None:
    bones = {frozenset(bone) for bone in skeleton.bones}
    for end, middle, other in skeleton.angles:
        assert frozenset((end, middle)) in bones and frozenset((middle, other)) in bones

    def mirrored(joint: int) -> int:
        name = skeleton.joints[joint]
        side = {"left": "right", "right": "left"}.get(name.partition("_")[0])
        return skeleton.joints.index(f"{side}_{name.partition('_')[2]}") if side else joint

    angles = {(frozenset((a, c)), b) for a, b, c in skeleton.angles}
    assert len(angles) == len(skeleton.angles)
    assert {(frozenset(map(mirrored, ends)), mirrored(middle)) for ends, middle in angles} == angles
    assert {frozenset(map(mirrored, bone)) for bone in bones} == bones


def test_counts_and_the_papers_preceding_joints() -> None:
    assert (len(NTU25.bones), len(NTU25.angles)) == (24, 22)
    assert (len(KINECT20.bones), len(KINECT20.angles)) == (19, 17)
    paper = (1, 21, 3, 21, 5, 6, 7, 21, 9, 10, 11, 1, 13, 14, 15, 1, 17, 18, 19, 2, 8, 8, 12, 12)
    assert tuple(parent + 1 for parent in NTU25.parents[1:]) == paper


def test_a_joint_index_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        Skeleton("broken", ("a", "b"), (0, 0), ((0, 1, 2),), center=0)
