"""Masks of joints and frames."""

from typing import Any

import pytest

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.masks import allowed


def test_only_the_chosen_joints_and_frames_may_move(batch: SkeletonBatch) -> None:
    names = batch.skeleton.joints
    limited = batch.limited([names[3], 7, "9"], "2:5")
    moves = limited.movable.any(dim=0).any(dim=0).any(dim=-1)
    assert [(t, v) for t, v in moves.nonzero().tolist()] == [(t, v) for t in (2, 3, 4) for v in (3, 7, 9)]
    assert ((limited.movable & batch.movable) == limited.movable).all()
    assert (limited.limited(None, "4:").movable == batch.limited([3, 7, 9], "4:5").movable).all()  # masks add up
    assert (batch.limited().movable == batch.movable).all() and (
        batch.limited(frames=":").movable == batch.movable
    ).all()


@pytest.mark.parametrize(
    ("joints", "frames", "words"),
    [
        (["elbow"], None, "has no joint elbow"),
        ([25], None, "joint 25 is out of range"),
        ([], None, "must be a list"),
        ("head", None, "must be a list"),
        (None, "3", "must have the form a:b"),
        (None, "-1:3", "must have the form a:b"),
        (None, "3:3", "out of range"),
        (None, "0:9", "out of range"),
    ],
)
def test_what_does_not_exist_is_named(batch: SkeletonBatch, joints: Any, frames: Any, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        allowed(batch.skeleton, 8, joints, frames)
