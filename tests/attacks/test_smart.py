"""SMART: its perceptual loss by hand, its mixes, its goals, and the stop of each clip."""

import pytest
import torch
from conftest import linear_case, make_batch

from skeleton_adv.attacks.losses import margin
from skeleton_adv.attacks.smart import normalised, perceptual_loss, perceptual_weights, smart, spine_of
from skeleton_adv.core.skeleton import KINECT20, NTU25


def test_the_mixes_of_the_two_programs() -> None:
    assert perceptual_weights("official", 0.7, 0.4) == pytest.approx((0.42, 0.18, 0.40))
    assert perceptual_weights("rbhar", 0.7, 0.4) == pytest.approx((0.70, 0.12, 0.18))


def test_the_perceptual_loss_is_a_sum_over_existing_joints() -> None:
    """Joint by joint, frame by frame, written out."""
    batch = make_batch(n=2, t=6)
    delta = 0.01 * torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved, there, dt = batch.x + delta, batch.mask[:, 0], 1 / 30
    for number, weights in enumerate(((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0))):
        expected = torch.zeros(2, dtype=torch.float64)
        for clip, frame, joint, person in there.nonzero().tolist():
            parent = NTU25.parents[joint]
            here = delta[clip, :, :, joint, person]
            if number == 0 and parent != joint and there[clip, frame, parent, person]:
                lengths = [
                    (z[clip, :, frame, joint, person] - z[clip, :, frame, parent, person]).norm()
                    for z in (batch.x, moved)
                ]
                expected[clip] += (lengths[1] - lengths[0]) ** 2
            if number == 1 and 0 < frame < 5 and there[clip, frame - 1 : frame + 2, joint, person].all():
                second = here[:, frame + 1] - 2 * here[:, frame] + here[:, frame - 1]
                expected[clip] += second.square().sum() / dt**4
            if number == 2:
                share = 0.04 if joint in (1, 2, 20) else 0.02
                expected[clip] += share * here[:, frame].square().sum()
        torch.testing.assert_close(perceptual_loss(batch, weights)(delta), expected, rtol=1e-5, atol=0)
    assert not perceptual_loss(batch, (1, 1, 1))(torch.zeros_like(delta)).any()
    assert spine_of(KINECT20) == {1, 2}


def test_gradients_are_normalised_per_frame_or_per_clip() -> None:
    gradient = torch.randn(2, 3, 4, 5, 2, generator=torch.Generator().manual_seed(0))
    gradient[0, :, 1] = 0
    frames = normalised(gradient, per_frame=True).square().sum(dim=(1, 3, 4))
    torch.testing.assert_close(frames, torch.tensor([[1.0, 0, 1, 1], [1, 1, 1, 1]]))
    torch.testing.assert_close(normalised(gradient, per_frame=False).flatten(1).norm(dim=1), torch.ones(2))


def test_the_first_step_is_that_of_the_goal_alone() -> None:
    """At the clean clip the perceptual loss has no gradient, so that every frame moves by weight * step."""
    model, batch = linear_case(n=4)
    moved = smart(model, batch, steps=1, step=0.01, weight=0.6).x_adv - batch.x
    torch.testing.assert_close(moved.square().sum(dim=(1, 3, 4)).sqrt(), torch.full((4, 8), 0.006, dtype=torch.float64))
    short = smart(model, batch, steps=1, longest=0.001, stretch=5.0).x_adv - batch.x
    torch.testing.assert_close(short.flatten(1).norm(dim=1), torch.full((4,), 0.005, dtype=torch.float64))


@pytest.mark.parametrize("mix", ["official", "rbhar"])
def test_a_clip_stops_when_it_is_fooled(mix: str) -> None:
    model, batch = linear_case(n=6)
    few, many = (smart(model, batch, steps=steps, step=0.3, mix=mix) for steps in (30, 33))  # type: ignore[arg-type]
    assert many.found.all() and torch.equal(few.x_adv, many.x_adv)
    closest = margin(model(many.x_adv), batch.y)
    assert (closest < 0).all() and (closest > -1).all()


def test_anything_but_n_leaves_the_likeliest_classes() -> None:
    model, batch = linear_case(n=6)
    ranks = {}
    for goal in ("ab", "abn"):
        logits = model(smart(model, batch, goal=goal, n=3, steps=40, step=0.3).x_adv)  # type: ignore[arg-type]
        ranks[goal] = (logits > logits.gather(1, batch.y[:, None])).sum(dim=1)
    assert (ranks["abn"] >= 3).float().mean() >= 0.5 and (ranks["ab"] < 3).any()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_budget_holds(norm: str) -> None:
    model, batch = linear_case(n=4)
    goal = batch.with_labels((batch.y + 1) % 5)
    moved = smart(model, goal, targeted=True, norm=norm, eps=0.02, steps=20).x_adv - batch.x  # type: ignore[arg-type]
    size = moved.flatten(1).norm(dim=1) if norm == "l2" else moved.flatten(1).abs().amax(dim=1)
    assert (size <= 0.02 + 1e-12).all() and (size > 0.015).all() and not moved[~batch.movable].any()
