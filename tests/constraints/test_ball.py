"""The lp ball: membership, projection, and uniform draws."""

from typing import Any

import pytest
import torch
from conftest import make_batch
from scipy.stats import kstest

from skeleton_adv.constraints import Ball, BoneLength, JointAngle, Speed
from skeleton_adv.constraints.ball import unit
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import OPENPOSE18

both = pytest.mark.parametrize("norm", ["l2", "linf", "rms"])


def moved(batch: SkeletonBatch, far: float = 0.3, seed: int = 1) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return batch.x + far * torch.randn(batch.x.shape, generator=rng, dtype=batch.x.dtype) * batch.movable


@both
def test_violation_by_hand(norm: Any) -> None:
    batch = make_batch(n=2, m=1)
    x_adv = batch.x.clone()
    x_adv[0, 0, 1, 3, 0] += 0.3
    x_adv[0, 2, 4, 2, 0] -= 0.4
    ball = Ball(norm, 0.1)
    reach = {"l2": 0.5, "linf": 0.4, "rms": 0.5 / int(batch.mask[0].sum()) ** 0.5}[norm]
    violation = ball.violation(x_adv, batch)
    excess = {"l2": 0.4, "linf": 0.5, "rms": max(reach - 0.1, 0)}[norm]  # linf: two coordinates
    assert violation.sum(dim=1).tolist() == pytest.approx([excess, 0])
    assert ball.satisfied(x_adv, batch).tolist() == [norm == "rms", True]
    for eps, fine in ((reach - 0.9e-6, True), (reach - 1.1e-6, False)):
        assert Ball(norm, eps).satisfied(x_adv, batch).tolist() == [fine, True]
    assert (ball.symbol, ball.unit) == ({"l2": "ℓ2", "linf": "ℓ∞", "rms": "rms"}[norm], "m")


@both
def test_projection_is_the_nearest_point_of_the_ball(norm: Any) -> None:
    """For a convex set: it is in the set, does not move points of the set, and has an obtuse angle to all of them."""
    batch, ball = make_batch(n=4), Ball(norm, 0.2)
    far = moved(batch)
    near = ball.project(far, batch)
    assert ball.satisfied(near, batch).all() and not ball.satisfied(far, batch).any()
    torch.testing.assert_close(ball.project(near, batch), near, rtol=0, atol=1e-12)
    inside = batch.x + 0.001 * (far - batch.x)
    torch.testing.assert_close(ball.project(inside, batch), inside, rtol=0, atol=1e-12)
    for seed in range(20):
        other = batch.x + ball.of(batch).draw(seed, "test", 0)
        assert ball.satisfied(other, batch).all()
        assert (((far - near) * (other - near)).flatten(1).sum(dim=1) <= 1e-9).all()


@both
def test_projection_restores_immovable_entries(norm: Any) -> None:
    for batch in (make_batch(n=4), make_batch(n=2, skeleton=OPENPOSE18)):
        everything = batch.x + 5
        back = Ball(norm, 1000.0).project(everything, batch)
        assert torch.equal(back[~batch.movable], batch.x[~batch.movable])
        torch.testing.assert_close(back[batch.movable], everything[batch.movable])
        assert Ball(norm, 1e-9).satisfied(torch.where(batch.movable, batch.x, everything), batch).all()


def test_draws_are_uniform_in_the_ball() -> None:
    """linf: each coordinate is uniform; l2: the radius to the power of the dimension is; each clip has its stream."""
    batch = make_batch(n=400, t=1, m=1)
    linf = Ball("linf", 0.5).of(batch).draw(0, "test", 0)
    assert kstest(linf[batch.movable].numpy() / 0.5, "uniform", args=(-1, 2)).pvalue > 1e-3
    l2 = Ball("l2", 0.5).of(batch).draw(0, "test", 0)
    size = batch.movable.flatten(1).sum(dim=1)
    radius = (l2.flatten(1).norm(dim=1) / 0.5) ** size
    assert kstest(radius.numpy(), "uniform").pvalue > 1e-3
    assert not l2[~batch.movable].any() and not linf[~batch.movable].any()
    for changes in ((1, "test", 0), (0, "other", 0), (0, "test", 1)):
        assert not torch.equal(linf, Ball("linf", 0.5).of(batch).draw(*changes))


@both
def test_steepest_is_the_best_direction_of_length_one(norm: Any) -> None:
    batch, ball = make_batch(n=3), Ball(norm, 1.0)
    gradient = (moved(batch) - batch.x).detach()
    budget = ball.of(batch)
    gain = (budget.steepest(gradient) * gradient).flatten(1).sum(dim=1)
    assert ball.satisfied(batch.x + budget.steepest(gradient), batch).all()
    for seed in range(20):
        assert (gain >= (budget.draw(seed, "test", 0) * gradient).flatten(1).sum(dim=1)).all()


@pytest.mark.parametrize("size", [1e-12, 1e-25, 1e-36])
def test_tiny_gradients_have_a_direction(size: float) -> None:
    """The square of a tiny number is 0 in float32, and a gradient of 0 has no direction."""
    batch = make_batch(n=2, dtype=torch.float32)
    gradient = (moved(batch) - batch.x).detach()
    tiny = size * gradient
    tiny[1] = 0
    towards = Ball("l2", 1.0).of(batch).steepest(tiny)
    torch.testing.assert_close(towards[0], unit(gradient)[0], rtol=1e-2, atol=1e-4)
    assert not towards[1].any()


def test_the_rms_of_a_clip_does_not_depend_on_absent_joints() -> None:
    """Every existing joint moves by 3 mm in one direction: the rms is 3 mm, with one person and with two."""
    batch = make_batch(n=4)
    shift = torch.zeros_like(batch.x)
    shift[:, 1] = 0.003
    x_adv = batch.x + shift * batch.movable
    assert len(set(batch.mask.flatten(1).sum(dim=1).tolist())) > 1
    assert Ball("rms", 0.003).satisfied(x_adv, batch).all() and not Ball("rms", 0.00299).satisfied(x_adv, batch).any()


def test_joints_have_budgets_of_their_own() -> None:
    batch = make_batch(n=3)
    own = batch.limited(joint_eps={batch.skeleton.joints[3]: 0.05, "7": 0.0})
    budget = Ball("linf", 0.1).of(own)
    near = budget.shortened(torch.ones_like(batch.x)).amax(dim=(0, 1, 2, 4))
    wanted = [0.05 if joint == 3 else 0.0 if joint == 7 else 0.1 for joint in range(25)]
    assert near.tolist() == pytest.approx(wanted)
    assert budget.draw(0, "test", 0).abs().amax(dim=(0, 1, 2, 4))[7] == 0
    with pytest.raises(SettingError, match=r"attack\.joint_eps.*norm=l2"):
        Ball("l2", 0.1).of(own)
    with pytest.raises(SettingError, match="has no joint elbow"):
        batch.limited(joint_eps={"elbow": 0.1})


def test_a_body_has_no_projection_in_closed_form(batch: SkeletonBatch) -> None:
    assert [limit.project(batch.x, batch) for limit in (BoneLength(), JointAngle(), Speed())] == [None] * 3


def test_values_out_of_range_are_named() -> None:
    with pytest.raises(SettingError, match=r"constraint\.ball\.eps=0"):
        Ball(eps=0)
    with pytest.raises(SettingError, match=r"constraint\.ball\.norm=l1"):
        Ball(norm="l1")  # type: ignore[arg-type]
