"""The square attack: its windows, its budget, and what it accepts."""

import pytest
import torch
from conftest import linear_case, make_batch
from torch import Tensor

from skeleton_adv.attacks.losses import margin
from skeleton_adv.attacks.square import square
from skeleton_adv.attacks.windows import Windows, bones_between
from skeleton_adv.constraints import Ball
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton

NORMS = pytest.mark.parametrize("norm", ["linf", "l2", "rms"])


def connected(joints: set[int], skeleton: Skeleton) -> bool:
    reached, edge = set(), {min(joints)}
    while edge:
        reached |= edge
        edge = {b for a in reached for b in joints if skeleton.parents[a] == b or skeleton.parents[b] == a} - reached
    return reached == joints


def test_bones_between_joints_are_those_of_the_path() -> None:
    found = bones_between(KINECT20)
    names = KINECT20.joints.index
    assert found[names("head"), names("head")] == 0 and torch.equal(found, found.T)
    assert found[names("left_hand"), names("head")] == 5  # wrist, elbow, shoulder, shoulder_center, head
    assert found[names("left_foot"), names("right_foot")] == 8


@pytest.mark.parametrize("skeleton", [NTU25, OPENPOSE18])
@pytest.mark.parametrize("share", [0.8, 0.2, 0.01, 0.0001])
def test_a_window_is_a_run_of_frames_of_connected_joints(skeleton: Skeleton, share: float) -> None:
    batch = make_batch(n=6, t=9, skeleton=skeleton)
    windows, starts = Windows(batch, 0), set()
    for draw in range(20):
        window, weight = windows.draw(share, "test", draw)
        assert torch.equal(weight > 0, window)
        for n, one in enumerate(window[:, 0]):
            persons = one.any(dim=(0, 1)).nonzero()[:, 0].tolist()
            assert len(persons) == 1 and batch.mask[n, ..., persons[0]].any()
            frames, joints = (one.any(dim=(other, 2)).nonzero()[:, 0].tolist() for other in (1, 0))
            assert int(one.sum()) == len(frames) * len(joints)
            assert frames == [*range(frames[0], frames[-1] + 1)] and connected({*joints}, skeleton)
            assert len(joints) == max(round(share**0.5 * skeleton.num_joints), 1)
            assert len(frames) == max(round(share**0.5 * 9), 1)
            starts.add(frames[0])
    assert len(starts) > 1 or share == 0.8


def test_windows_are_drawn_where_joints_can_move() -> None:
    batch = make_batch(n=4, t=9)
    batch.mask[:, :, :3] = batch.mask[:, :, 7:] = False
    for draw in range(20):
        window, _ = Windows(batch, 0).draw(0.3, "test", draw)
        assert not window[:, :, :3].any() and not window[:, :, 7:].any()


@NORMS
def test_the_best_margin_never_rises_and_the_budget_is_filled(norm: str) -> None:
    """In float64, of the clips in float32."""
    model, batch = linear_case(n=4, t=4, dtype=torch.float32)
    result = square(model, batch, norm=norm, eps=1e-3, queries=60, trace=True)  # type: ignore[arg-type]
    assert result.trace is not None and result.trace["loss"].shape == (60, 4)
    assert (result.trace["loss"].diff(dim=0) <= 0).all() and (result.trace["loss"][-1] < result.trace["loss"][0]).all()
    torch.testing.assert_close(margin(model(result.x_adv), batch.y), result.trace["loss"][-1])
    limits = Ball(norm, 1e-3).on(batch.to(dtype=torch.float64))  # type: ignore[arg-type]
    assert limits.satisfied(result.x_adv.double()).all()
    assert not Ball(norm, 0.99e-3).on(batch.to(dtype=torch.float64)).satisfied(result.x_adv.double()).any()  # type: ignore[arg-type]


def test_queries_are_counted_per_clip() -> None:
    model, batch = linear_case(n=6, t=4)
    asked: list[Tensor] = []

    def scores(x: Tensor) -> Tensor:
        asked.append(margin(model(x), batch.y) < 0)
        return model(x)  # type: ignore[no-any-return]

    result = square(scores, batch, eps=0.03, queries=200)
    assert result.found.any()
    first = torch.stack(asked).int().argmax(dim=0) + 1
    expected = torch.where(result.found, first, 200)
    assert torch.equal(result.columns["queries"], expected)
    assert len(asked) <= min(200, int(expected.max()) + 10)


@NORMS
def test_reaches_most_of_the_worst_case_of_a_linear_victim(norm: str) -> None:
    model, batch = linear_case(n=4, t=4)
    model.weight.data = model.weight[:2]
    batch = batch.with_labels(model(batch.x).argmax(dim=1))
    across = ((model.weight[0] - model.weight[1]).view(1, *batch.x.shape[1:]) * batch.movable).flatten(1)
    joints = batch.mask.flatten(1).sum(dim=1).to(across).sqrt() if norm == "rms" else 1.0
    dual = across.abs().sum(dim=1) if norm == "linf" else across.norm(dim=1) * joints
    fall = margin(model(batch.x), batch.y) - margin(model(_attacked(model, batch, norm)), batch.y)
    assert (fall >= (0.4 if norm == "linf" else 0.2) * 1e-4 * dual).all(), fall / (1e-4 * dual)


def _attacked(model, batch, norm) -> Tensor:  # type: ignore[no-untyped-def]
    return square(model, batch, norm=norm, eps=1e-4, queries=300).x_adv
