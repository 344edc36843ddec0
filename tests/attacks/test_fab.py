"""FAB on a linear victim, for which the nearest adversarial clip is known in closed form."""

import pytest
import torch
from conftest import linear_case
from nearest import nearest, size

from skeleton_adv.attacks.fab import fab
from skeleton_adv.attacks.losses import fooled
from skeleton_adv.constraints import Ball

NORMS = pytest.mark.parametrize("norm", ["l2", "linf", "rms"])


@NORMS
def test_close_to_the_optimum_on_a_linear_victim(norm: str) -> None:
    model, batch = linear_case(n=6, t=4)
    result = fab(model, batch, norm=norm, steps=30)  # type: ignore[arg-type]
    optimum = nearest(model, batch, norm)
    length = size(result.x_adv - batch.x, batch, norm)
    assert result.found.all() and fooled(model(result.x_adv), batch.y, False).all()
    assert (length >= optimum * (1 - 1e-9)).all() and (length <= 1.02 * optimum).all(), length / optimum
    assert not (result.x_adv != batch.x)[~batch.movable].any()


@NORMS
def test_a_budget_is_reached_exactly_when_it_is_large_enough(norm: str) -> None:
    """In float64, of the clips in float32."""
    model, batch = linear_case(n=2, t=4, dtype=torch.float32)
    optimum = nearest(model, batch, norm)
    for factor, some in ((0.97, False), (1.03, True)):
        for n in (0, 1):
            eps = factor * float(optimum[n])
            result = fab(model, batch, norm=norm, eps=eps, steps=20)  # type: ignore[arg-type]
            assert bool(result.found[n]) is some
            limits = Ball(norm, eps).on(batch.to(dtype=torch.float64))  # type: ignore[arg-type]
            assert limits.satisfied(result.x_adv.double()).all()


def test_targeted_reaches_the_target() -> None:
    model, batch = linear_case(n=6, t=4)
    goal = batch.with_labels((batch.y + 1) % 5)
    result = fab(model, goal, targeted=True, steps=60)
    assert result.found.all() and torch.equal(model(result.x_adv).argmax(dim=1), goal.y)


def test_more_targets_are_never_longer() -> None:
    model, batch = linear_case(n=6, t=4)
    lengths = [(fab(model, batch, targets=n, steps=10).x_adv - batch.x).flatten(1).norm(dim=1) for n in (1, 4)]
    assert (lengths[1] <= lengths[0]).all()
