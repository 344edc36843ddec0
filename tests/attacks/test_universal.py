"""Universal perturbations."""

from functools import partial
from typing import Any

import pytest
import torch
from black_box import PoolOf
from conftest import Linear, make_batch
from torch import Tensor, nn

from skeleton_adv.attacks import fit_of
from skeleton_adv.attacks.universal import fit_universal, universal
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.body_frame import to_body, yaw
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.geometry import bone_lengths, bones_exist
from skeleton_adv.core.skeleton import KINECT20


def body() -> SkeletonBatch:
    batch = make_batch(n=8, t=4, m=1, skeleton=KINECT20)
    return batch.with_labels(torch.arange(8) % 2)


class InTheBody(nn.Module):
    """A victim that is linear in the frame of the body, so that one displacement is the best for all clips."""

    def __init__(self, batch: SkeletonBatch, draw: int = 0) -> None:
        super().__init__()
        self.linear, self.batch = Linear(batch, classes=2), batch

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(to_body(x, yaw(self.batch), self.batch))  # type: ignore[no-any-return]


def test_a_victim_that_draws_noise_draws_anew_in_each_pass() -> None:
    batch, draws = body(), []

    def view(clips: SkeletonBatch, draw: int) -> nn.Module:
        draws.append(draw)
        return InTheBody(clips)

    *_, _ = fit_universal(view, PoolOf(batch), None, passes=3, clips=4)
    assert draws == [0, 0, 1, 1, 2, 2]


def fitted(batch: SkeletonBatch, **settings: Any) -> dict[str, Tensor]:
    *_, last = fit_universal(InTheBody, PoolOf(batch), None, **settings)
    return last


def test_gradients_find_the_best_displacement_of_a_victim_that_is_linear_in_the_body() -> None:
    """With one class to leave, each joint in each frame moves by eps along the difference of the weights."""
    batch = body().with_labels(torch.zeros(8, dtype=torch.long))
    part = fitted(batch, eps=0.01, passes=30, conf=1000.0)
    weight = (InTheBody(batch).linear.weight[1] - InTheBody(batch).linear.weight[0]).view(3, 4, 20, 1)[..., 0]
    best = 0.01 * weight / weight.norm(dim=0, keepdim=True)
    torch.testing.assert_close(part["delta"], best, rtol=0, atol=2e-4)


@pytest.mark.parametrize("method", ["gradient", "deepfool"])
def test_every_clip_stays_in_the_budget_and_moves_alike_in_its_own_frame(method: Any) -> None:
    batch = body()
    part = fitted(batch, eps=0.05, passes=3, method=method)
    assert float(part["delta"].norm(dim=0).max()) <= 0.05 * (1 + 1e-9) and part["delta"].any()
    result = universal(lambda x: x, batch, fitted=part, eps=0.05)
    moved = to_body(result.x_adv - batch.x, yaw(batch), batch)[..., 0]
    exists = batch.mask[:, 0, :, :, 0]
    for clip, present in zip(moved, exists, strict=True):
        torch.testing.assert_close(clip[:, present], part["delta"][:, present])


def test_deepfool_raises_the_share_of_fooled_training_clips() -> None:
    batch = body().with_labels(torch.zeros(8, dtype=torch.long))  # of two classes, one displacement serves one
    model = InTheBody(batch)
    assert (model(batch.x).argmax(dim=1) == 0).any()
    part = fitted(batch, eps=5.0, passes=4, method="deepfool")
    after = model(universal(lambda x: x, batch, fitted=part, eps=5.0).x_adv).argmax(dim=1)
    assert (after == 1).all()


def test_factors_of_bones_are_the_same_in_every_clip() -> None:
    batch = body()
    part = fitted(batch, kind="bones", factor_eps=0.1, passes=20)
    assert part["delta"].abs().max() == pytest.approx(0.1)
    result = universal(lambda x: x, batch, fitted=part, kind="bones", factor_eps=0.1)
    ratio = bone_lengths(result.x_adv, KINECT20) / bone_lengths(batch.x, KINECT20)
    for one, exists in zip(ratio, bones_exist(batch), strict=True):
        wanted = (1 + part["delta"]).expand_as(one)
        torch.testing.assert_close(one[exists], wanted[exists])


def test_a_fit_continues_where_it_stopped() -> None:
    batch = body()
    states = list(fit_universal(InTheBody, PoolOf(batch), None, passes=4))
    *_, again = fit_universal(InTheBody, PoolOf(batch), states[1], passes=4)
    assert torch.equal(again["delta"], states[-1]["delta"]) and len(states) == 4
    assert not torch.equal(states[0]["delta"], states[1]["delta"])


@pytest.mark.parametrize("method", ["gradient", "deepfool"])
def test_the_fit_moves_only_what_the_attack_may_move(method: Any) -> None:
    """A fit on the free joint alone uses its whole budget; a fit on all joints moves the others too."""
    attack = partial(universal, method=method, eps=5.0, passes=4, joints=["left_hand"], frames="1:3")
    batch, fit = body().with_labels(torch.zeros(8, dtype=torch.long)), fit_of(attack)
    assert fit is not None
    *_, part = fit(InTheBody, PoolOf(batch), None)
    moved = part["delta"].norm(dim=0) > 0
    hand = KINECT20.joints.index("left_hand")
    assert moved[1:3, hand].all() and int(moved.sum()) == 2


def test_a_budget_of_single_joints_is_refused() -> None:
    fit = fit_of(partial(universal, joint_eps={"left_hand": 0.001}))
    assert fit is not None
    with pytest.raises(SettingError, match="joint_eps"):
        next(fit(InTheBody, PoolOf(body()), None))
