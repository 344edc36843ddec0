"""Sparse attacks on a linear victim, for which the best joints and the smallest budget are known."""

from typing import Any

import pytest
import torch
from black_box import two_classes

from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.attacks.one_joint_de import one_joint_de
from skeleton_adv.attacks.sparse import sparse
from skeleton_adv.core.batch import SkeletonBatch


def slope(model: Any, batch: SkeletonBatch) -> torch.Tensor:
    """(N, C, T, V, M) gradient of the margin over movable entries."""
    sign = torch.where(batch.y == 0, 1.0, -1.0).double().view(-1, 1, 1, 1, 1)
    return sign * (model.weight[0] - model.weight[1]).view(1, *batch.x.shape[1:]) * batch.movable


@pytest.mark.parametrize(("part", "rest"), [("joint", (1, 2)), ("frame", (1, 3, 4))])
@pytest.mark.parametrize("count", [1, 2])
def test_the_parts_of_the_largest_gradient_move_by_the_whole_budget(part: Any, rest: Any, count: int) -> None:
    model, batch, _ = two_classes(n=5, t=4, m=2)
    gradient = slope(model, batch)
    size = gradient.square().sum(dim=rest, keepdim=True)
    best = size >= size.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1, 1)
    gain = torch.where(best, gradient.abs(), 0).flatten(1).sum(dim=1)
    reach = margin(model(batch.x), batch.y) / gain  # the budget with which these parts reach the border
    for factor, expected in ((0.97, False), (1.03, True)):
        for n in range(len(batch)):
            eps = factor * float(reach[n])
            result = sparse(model, batch, part=part, count=count, eps=eps, step=eps / 10, steps=12)
            moved = (result.x_adv != batch.x)[n]
            assert bool(result.found[n]) is expected
            assert not (moved & ~best[n]).any() and int(result.columns["joint_frames"][n]) == moved.any(dim=0).sum()
            assert (result.x_adv - batch.x).abs().max() <= eps * (1 + 1e-9)
            if not expected:
                assert torch.equal(moved, best[n] & batch.movable[n])


def test_no_joint_is_added_without_need() -> None:
    model, batch, _ = two_classes(n=4, t=4)
    one, three = (sparse(model, batch, count=count, eps=50.0, step=5.0) for count in (1, 3))
    assert one.found.all() and torch.equal(one.x_adv, three.x_adv)
    assert (one.columns["joint_frames"] <= 4).all()


def test_one_joint_in_one_frame_is_found_from_scores() -> None:
    model, batch, _ = two_classes(n=4, t=4, m=2)
    best = slope(model, batch).abs().sum(dim=1).flatten(1).amax(dim=1)
    before = margin(model(batch.x), batch.y)
    eps = 0.1 * float((before / best).min())
    calls = []

    def scores(x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        logits: torch.Tensor = model(x)
        return logits

    result = one_joint_de(scores, batch, eps=eps, queries=500, candidates=50)
    assert len(calls) == 500 and (result.columns["joint_frames"] == 1).all()
    fall = before - margin(model(result.x_adv), batch.y)
    assert (fall > 0.5 * eps * best).all() and (fall <= eps * best * (1 + 1e-9)).all()
    assert (result.x_adv - batch.x).abs().max() <= eps * (1 + 1e-9) and not result.found.any()
    random = one_joint_de(scores, batch, eps=eps, queries=50, candidates=50).x_adv
    assert (margin(model(result.x_adv), batch.y) < margin(model(random), batch.y)).all()
    wide = one_joint_de(scores, batch, eps=1000 * eps, queries=60, candidates=50)
    assert wide.found.any() and torch.equal(wide.found, fooled(model(wide.x_adv), batch.y, False))
