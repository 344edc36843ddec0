"""Laws of the mapping between bodies, over all pairs of known skeletons."""

from itertools import product

import numpy as np
import pytest

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.mapping import canonical, correspondence, mapped
from skeleton_adv.core.skeleton import (
    BODY25,
    COCO17,
    HDM31,
    KINECT20,
    KINECT20_SDK,
    NTU25,
    OPENPOSE18,
    SKELETONS,
    SMPL22,
    Skeleton,
)

ALL = tuple(SKELETONS.values())
PAIRS = [pytest.param(a, b, id=f"{a.name}-{b.name}") for a, b in product(ALL, ALL)]
OWN = Skeleton("own", ("hips", "left_knee", "head"), (0, 0, 0), (), center=0)


@pytest.mark.parametrize("skeleton", [*ALL, OWN], ids=lambda s: s.name)
def test_a_body_maps_to_itself_as_it_is(skeleton: Skeleton) -> None:
    assert correspondence(skeleton, skeleton) == tuple(range(skeleton.num_joints))
    assert len({*canonical(skeleton)}) == skeleton.num_joints


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_there_and_back_is_the_same_joint(a: Skeleton, b: Skeleton) -> None:
    there, back = correspondence(a, b), correspondence(b, a)
    for joint, source in enumerate(there):
        assert source is None or back[source] == joint
    assert sum(joint is not None for joint in there) == sum(joint is not None for joint in back) >= 12


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_left_stays_left_and_both_sides_correspond(a: Skeleton, b: Skeleton) -> None:
    def side(skeleton: Skeleton, joint: int) -> str:
        found = skeleton.joints[joint].partition("_")[0]
        return found if found in ("left", "right") else ""

    found = [(source, joint) for joint, source in enumerate(correspondence(a, b)) if source is not None]
    sides = [side(a, source) for source, _ in found]
    assert sides == [side(b, joint) for _, joint in found] and sides.count("left") == sides.count("right")


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_a_detour_leads_to_no_other_joint(a: Skeleton, b: Skeleton) -> None:
    direct = correspondence(a, b)
    for c in ALL:
        first = correspondence(a, c)
        for joint, middle in enumerate(correspondence(c, b)):
            if middle is not None and first[middle] is not None:
                assert first[middle] == direct[joint]


def test_limbs_correspond_in_every_body_and_the_spine_where_it_is_marked() -> None:
    limbs = [f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist", "hip", "knee")]
    for skeleton in ALL:
        assert {*limbs, "left_ankle", "right_ankle"} <= {*skeleton.joints}

    def same(a: Skeleton, one: str, b: Skeleton, two: str) -> bool:
        return correspondence(a, b)[b.joints.index(two)] == a.joints.index(one)

    assert same(NTU25, "spine", OPENPOSE18, "neck") and same(NTU25, "spine", KINECT20, "shoulder_center")
    assert same(NTU25, "middle_of_spine", KINECT20, "spine") and same(SMPL22, "pelvis", NTU25, "base_of_spine")
    assert same(HDM31, "shoulder_center", BODY25, "neck") and same(BODY25, "left_big_toe", KINECT20, "left_foot")
    assert correspondence(NTU25, OPENPOSE18)[0] is None and correspondence(OPENPOSE18, NTU25)[2] is None
    assert correspondence(OWN, NTU25)[13] == 1


def test_the_two_orders_of_kinects_first_body() -> None:
    """Kinect's own order from its documentation, and the same bones and angles as in UTD-MHAD's order."""
    assert KINECT20_SDK.joints[:5] == ("hip_center", "spine", "shoulder_center", "head", "left_shoulder")
    assert KINECT20_SDK.parents == (0, 0, 1, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18)
    order = correspondence(KINECT20, KINECT20_SDK)
    assert {(order[a], order[b]) for a, b in KINECT20_SDK.bones} == {*KINECT20.bones}
    moved = [tuple(order[joint] for joint in triple) for triple in KINECT20_SDK.angles]
    assert moved == [*KINECT20.angles] and order[KINECT20_SDK.center] == KINECT20.center


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_clips_move_with_their_mask(a: Skeleton, b: Skeleton) -> None:
    rng = np.random.default_rng(0)
    exists = rng.random((2, 1, 4, a.num_joints, 2)) < 0.7
    x = np.where(exists, rng.normal(size=(2, a.channels, 4, a.num_joints, 2)), 0).astype(np.float32)
    if len(a.coords) != len(b.coords):
        with pytest.raises(SettingError, match="two bodies in space"):
            mapped(x, exists, a, b)
        return
    y, found = mapped(x, exists, a, b)
    assert y.shape == (2, b.channels, 4, b.num_joints, 2) and found.shape == (2, 1, 4, b.num_joints, 2)
    assert y.dtype == np.float32 and not y[~np.broadcast_to(found, y.shape)].any()
    for joint, source in enumerate(correspondence(a, b)):
        if source is None:
            assert not found[..., joint, :].any()
        else:
            np.testing.assert_array_equal(found[..., joint, :], exists[..., source, :])
            np.testing.assert_array_equal(y[:, list(b.coords), :, joint], x[:, list(a.coords), :, source])


def test_a_score_is_kept_or_is_1() -> None:
    x, exists = np.full((1, 3, 2, 18, 1), 0.5), np.ones((1, 1, 2, 18, 1), bool)
    assert (mapped(x, exists, OPENPOSE18, COCO17)[0][:, 2] == 0.5).all()
    y, found = mapped(x[:, :2], exists, OPENPOSE18.without_score(), BODY25)
    assert (y[:, 2] == found[:, 0]).all() and found.any() and not found.all()
    assert mapped(x, exists, OPENPOSE18, COCO17.without_score())[0].shape == (1, 2, 2, 17, 1)


def test_a_clip_of_another_body_is_refused() -> None:
    x, exists = np.zeros((1, 3, 2, 20, 1)), np.ones((1, 1, 2, 20, 1), bool)
    for wrong in ((x[:, :2], exists), (x[..., :19, :], exists[..., :19, :]), (x, exists[:, 0])):
        with pytest.raises(SettingError, match="do not fit kinect20"):
            mapped(*wrong, KINECT20, NTU25)
