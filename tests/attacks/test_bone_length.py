"""The bone-length attack: limits of the factors, and an optimum that a linear victim has in closed form."""

from typing import Any

import pytest
import torch
from conftest import linear_case
from torch import Tensor

from skeleton_adv.attacks.bone_length import bone_length
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.constraints import BoneFactor
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.tree import rebuilt

norms = pytest.mark.parametrize("norm", ["linf", "l2"])


def two_classes() -> tuple[Any, SkeletonBatch, Tensor]:
    """A linear victim of two classes, and the gradient (N, M, E) of the margin with respect to the factors."""
    model, batch = linear_case(n=6)
    model.weight.data = model.weight[:2]
    batch = batch.with_labels(model(batch.x).argmax(dim=1))
    ones = torch.ones(6, 2, 24, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(margin(model(rebuilt(batch, ones)), batch.y).sum(), ones)
    return model, batch, slope


@norms
@pytest.mark.parametrize("optimiser", ["pgd", "adam"])
def test_fools_a_linear_victim_exactly_when_the_budget_reaches_the_border(norm: str, optimiser: str) -> None:
    """The margin is linear in the factors, so the smallest budget is known; a bias makes it 0.3 for each clip.

    Adam's steps are nearly signs, which is not the best direction in an l2 ball.
    """
    model, batch, slope = two_classes()
    dual = slope.abs().sum(dim=(1, 2)) if norm == "linf" else slope.flatten(1).norm(dim=1)
    bias = torch.where(batch.y == 0, -1, 1) * (margin(model(batch.x), batch.y) - 0.3 * dual)

    def moved(x: Tensor) -> Tensor:
        logits: Tensor = model(x)
        return logits + torch.stack([bias, torch.zeros_like(bias)], dim=1)

    for factor, expected in ((0.97, False), (1.5 if (norm, optimiser) == ("l2", "adam") else 1.03, True)):
        eps = 0.3 * factor
        settings: dict[str, Any] = {"factor_norm": norm, "optimiser": optimiser}
        result = bone_length(moved, batch, factor_eps=eps, step=eps / 4, steps=40, **settings)
        assert (result.found == expected).all()
        assert torch.equal(result.found, fooled(moved(result.x_adv), batch.y, False))


@norms
@pytest.mark.parametrize("optimiser", ["pgd", "adam"])
def test_factors_are_constant_and_within_the_budget(norm: Any, optimiser: Any) -> None:
    model, batch, _ = two_classes()
    model.weight.mul_(1e-3)
    model.weight[0] += 1e-9  # small gradients must not matter
    result = bone_length(model, batch, factor_norm=norm, factor_eps=0.1, optimiser=optimiser)
    assert BoneFactor(0.1).satisfied(result.x_adv, batch).all()
    factors = BoneFactor(0.5).factors(result.x_adv, batch) - 1
    size = factors.abs().amax(dim=(1, 2)) if norm == "linf" else factors.flatten(1).norm(dim=1)
    assert (size <= 0.1 + 1e-9).all() and (size > 0.01).all()
    absent = ~batch.mask[:, 0].any(dim=1).any(dim=1)  # (N, M)
    assert not factors[absent].any() and torch.equal(result.x_adv[~batch.movable], batch.x[~batch.movable])
