"""MIG: completeness of its integrated gradients, its baselines, and its steps."""

from typing import Literal

import pytest
import torch
from conftest import Linear, linear_case, make_batch
from torch import Tensor

from skeleton_adv.attacks.losses import margin
from skeleton_adv.attacks.mig import baseline_of, integrated_gradients, mig, path_gradient
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.core.skeleton import OPENPOSE18


class Curved(Linear):
    """A victim with a hidden layer, whose probabilities change several times between a baseline and a clip."""

    def forward(self, x: Tensor) -> Tensor:
        return 6 * (8 * super().forward(x)).sin()


@pytest.mark.parametrize("kind", ["mean_pose", "origin"])
def test_attributions_sum_to_the_difference_of_the_outputs(kind: Literal["mean_pose", "origin"]) -> None:
    batch = make_batch(n=6)
    model, start = Curved(batch), baseline_of(batch, kind)
    ends = [model(x).softmax(dim=1).gather(1, batch.y[:, None])[:, 0] for x in (start, batch.x)]
    difference = ends[1] - ends[0]
    errors = []
    for points in (10, 100, 300):
        total = integrated_gradients(model, batch.x, start, batch.y, points).flatten(1).sum(dim=1)
        errors.append(float((total - difference).abs().max()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.01 * float(difference.abs().max())
    assert errors[1] / errors[2] == pytest.approx(9, rel=0.1)  # the midpoint rule is of second order


def test_the_gradient_of_a_linear_probability_is_exact_with_one_point() -> None:
    """Near the middle of a sigmoid all points have the same gradient, so that attributions are those of one point."""
    batch = make_batch()
    model = Linear(batch)
    model.weight.mul_(1e-4)
    one, many = (path_gradient(model, batch.x, baseline_of(batch, "origin"), batch.y, points) for points in (1, 7))
    torch.testing.assert_close(one, many, rtol=1e-3, atol=1e-9)


def test_a_baseline_is_one_pose_per_person() -> None:
    batch = make_batch(skeleton=OPENPOSE18)
    mean, origin = baseline_of(batch, "mean_pose"), baseline_of(batch, "origin")
    still = batch.movable & batch.movable[:, :, :1]
    first = mean[:, :, :1].expand_as(mean)
    assert torch.equal(mean[still], first[still])
    torch.testing.assert_close(mean[1, :2, 0], batch.x[1, :2].mean(dim=1))
    assert not origin[batch.movable].any()
    for x in (mean, origin):
        assert torch.equal(x[~batch.movable], batch.x[~batch.movable])  # scores and absent joints
    limited = batch.limited(joints=[3])
    assert torch.equal(baseline_of(limited, "mean_pose"), mean)  # a mask limits moves, not the path


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("released", [False, True])
def test_it_stays_in_its_ball_and_changes_the_margin(targeted: bool, released: bool) -> None:
    model, batch = linear_case(n=6)
    batch = batch.with_labels((batch.y + 1) % 5) if targeted else batch
    result = mig(model, batch, targeted=targeted, eps=0.02, steps=5, points=4, released=released)
    moved = result.x_adv - batch.x
    assert moved.abs().max() <= 0.02 + 1e-12 and not moved[~batch.movable].any()
    before, after = (margin(model(x), batch.y, targeted) for x in (batch.x, result.x_adv))
    assert (after < before).all()


def test_the_paper_s_factor_climbs_below_the_baseline() -> None:
    """The reason for the factor ``distance``: one step along it is one step of I-FGSM, the other loses a part of it."""
    model, batch = linear_case(n=6)
    model.weight.data = model.weight[:2]
    batch = batch.with_labels(model(batch.x).argmax(dim=1))
    settings = {"eps": 0.01, "steps": 1, "points": 5}
    plain = pgd(model, batch, eps=0.01, step=0.01, steps=1, random_start=False)
    distance, difference = (mig(model, batch, **settings, factor=name) for name in ("distance", "difference"))  # type: ignore[arg-type]
    torch.testing.assert_close(distance.x_adv, plain.x_adv)
    values = [margin(model(result.x_adv), batch.y) for result in (distance, difference)]
    assert (values[1] > values[0] + 0.01).all()
