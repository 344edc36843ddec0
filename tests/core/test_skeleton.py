"""Trees are trees, and angles join neighbouring bones."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_adv.core.skeleton import (
    BODY25,
    COCO17,
    H36M17,
    HDM31,
    KINECT20,
    MEDIAPIPE33,
    NTU25,
    OPENPOSE18,
    SKELETONS,
    SMPL22,
    Skeleton,
    derived_angles,
)

ALL = tuple(SKELETONS.values())
RULED = tuple(body for body in ALL if body != OPENPOSE18)  # OpenPose's 18 have a released list of angles


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
        Skeleton("broken", ("a", "b", "c"), (0, 0, 1), ((0, 1, 3),), center=0)


def test_every_known_skeleton_comes_back_from_json() -> None:
    for skeleton in SKELETONS.values():
        again = Skeleton.from_dict(json.loads(json.dumps(skeleton.as_dict())))
        assert again == skeleton and hash(again) == hash(skeleton)
        flat = skeleton.without_score()
        assert Skeleton.from_dict(flat.as_dict()) == flat and flat.channels == len(skeleton.coords)


def test_angles_are_derived_where_two_bones_meet() -> None:
    """A chain, a fork, and a star, whose only joint between bones is its root."""
    assert derived_angles((0, 0, 1, 2)) == ((0, 1, 2), (1, 2, 3))
    assert derived_angles((0, 0, 1, 1)) == ((0, 1, 2), (0, 1, 3))
    assert derived_angles((0, 0, 0, 0)) == ((1, 0, 2), (2, 0, 3))
    fork = Skeleton.from_dict({"name": "fork", "joints": ["a", "b", "c", "d"], "parents": [1, 1, 1, 2]})
    assert (fork.angles, fork.center, fork.root) == (((1, 2, 3),), 1, 1)


@given(st.integers(3, 12).flatmap(lambda n: st.tuples(*(st.integers(0, max(0, v - 1)) for v in range(n)))))
def test_derived_angles_join_two_bones_of_any_tree(parents: tuple[int, ...]) -> None:
    found = Skeleton("tree", tuple(f"joint {v}" for v in range(len(parents))), parents, (), center=0)
    bones = {frozenset(bone) for bone in found.bones}
    assert found.angles and len(set(found.angles)) == len(found.angles)
    for end, middle, other in found.angles:
        assert end != other and {frozenset((end, middle)), frozenset((middle, other))} <= bones


def test_public_layouts() -> None:
    assert [SKELETONS[name].num_joints for name in ("coco17", "body25", "h36m17")] == [17, 25, 17]
    left = [joint for joint in COCO17.joints if joint.startswith("left")]
    assert [joint.replace("left", "right") for joint in left] == [j for j in COCO17.joints if j.startswith("right")]
    pyskl = [(15, 13), (13, 11), (16, 14), (14, 12), (11, 5), (12, 6), (9, 7), (7, 5)]
    pyskl += [(10, 8), (8, 6), (5, 0), (6, 0), (1, 0), (3, 1), (2, 0), (4, 2)]
    assert {*COCO17.bones} == {*pyskl}
    openpose = [(1, 8), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11), (8, 12), (12, 13)]
    openpose += [(13, 14), (1, 0), (0, 15), (15, 17), (0, 16), (16, 18), (14, 19), (19, 20), (14, 21), (11, 22)]
    openpose += [(22, 23), (11, 24)]
    assert {(parent, joint) for joint, parent in BODY25.bones} == {*openpose}
    assert H36M17.parents == (0, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)


def test_layouts_of_motion_capture_and_estimators() -> None:
    """MediaPipe's connections that are in its tree; SMPL's parents; HDM05's arms start at the shoulder centre."""
    mediapipe = [(0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (11, 13), (13, 15), (12, 14), (14, 16)]
    mediapipe += [(15, 17), (15, 19), (15, 21), (16, 18), (16, 20), (16, 22), (11, 23), (12, 24), (23, 25), (24, 26)]
    mediapipe += [(25, 27), (26, 28), (27, 29), (28, 30), (27, 31), (28, 32)]
    own = {(0, 9), (0, 10), (0, 11), (0, 12)}  # mouth and shoulders hang from the nose
    assert {(parent, joint) for joint, parent in MEDIAPIPE33.bones} == {*mediapipe} | own
    smpl = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
    assert SMPL22.parents[1:] == smpl[1:] and SMPL22.joints[15] == "head" and len(SMPL22.joints) == 22
    names = [HDM31.joints[HDM31.parents[HDM31.joints.index(name)]] for name in ("left_shoulder", "left_wrist", "neck")]
    assert names == ["shoulder_center", "left_forearm", "shoulder_center"] and len(HDM31.bones) == 30
    for skeleton in (HDM31, MEDIAPIPE33, SMPL22, H36M17, COCO17, BODY25):
        assert skeleton.angles == derived_angles(skeleton.parents)


GOOD = {"name": "own", "joints": ["a", "b", "c"], "parents": [0, 0, 1]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parents": [0, 0]}, "2 parents for 3 joints"),
        ({"parents": [0, 0, 3]}, "outside 0..2"),
        ({"parents": [0, 1, 1]}, "its own parent, but these are: a, b"),
        ({"parents": [1, 2, 0]}, "these are: none"),
        ({"parents": [0, 2, 1]}, "b lead in a circle"),
        ({"parents": [0, 0, -1]}, "outside"),
        ({"parents": [0, 0, "a"]}, "whole numbers"),
        ({"parents": [0, 0, True]}, "whole numbers"),
        ({"joints": ["a", "b", "b"]}, "two joints are named 'b'"),
        ({"joints": ["a", "b", ""]}, "empty name"),
        ({"joints": "abc"}, "a list of names"),
        ({"joints": ["a", "b"], "parents": [0, 0]}, "at least three"),
        ({"angles": [[0, 1, 3]]}, "outside"),
        ({"angles": [[0, 1, 0]]}, "three different joints"),
        ({"angles": [[0, 1]]}, "three different joints"),
        ({"angles": 3}, "triples"),
        ({"center": 3}, "outside"),
        ({"channels": 2}, "channel outside 0..1"),
        ({"coords": [0, 0]}, "different channels"),
        ({"coords": [0]}, "two or three"),
        ({"length_floor": 0}, "length_floor"),
        ({"length_floor": "x"}, "a number"),
        ({"edges": []}, "no field 'edges'"),
        ({"name": ""}, "text"),
        ({"name": "ntu25"}, "known skeleton"),
    ],
)
def test_what_is_no_body_is_refused_in_one_line(changes: dict[str, Any], words: str) -> None:
    assert Skeleton.from_dict(GOOD).num_joints == 3
    with pytest.raises(ValueError, match=words) as caught:
        Skeleton.from_dict(GOOD | changes)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="requires parents"):
        Skeleton.from_dict({"name": "own", "joints": ["a", "b", "c"]})
