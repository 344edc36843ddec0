"""The transfer setting: ten steps of eps / 10, and a momentum whose scale does not count."""

import pytest
import torch
from conftest import linear_case, make_batch
from options import chosen

from skeleton_adv.attacks.momentum import descend, loss_gradient, remembered
from skeleton_adv.constraints import Ball
from skeleton_adv.constraints.ball import broadcast


@pytest.mark.parametrize(("name", "momentum"), [("ifgsm", 0.0), ("mi_fgsm_paper", 1.0)])
def test_the_steps_of_the_papers(name: str, momentum: float) -> None:
    settings = chosen("attack", name, "attack.eps=0.05")
    assert settings["step"] == pytest.approx(0.05 / 10)
    expected = {"steps": 10, "random_start": False, "restarts": 1, "momentum": momentum, "loss": "cross_entropy"}
    assert {key: settings[key] for key in expected} == expected


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_division_by_the_mean_absolute_value_gives_the_same_steps(norm: str) -> None:
    """The implementations of transfer attacks divide by the mean over existing entries; the paper by the l1 norm."""
    model, batch = linear_case(n=4)
    budget = Ball(norm, 0.05).of(batch)  # type: ignore[arg-type]
    plain = descend(
        batch, budget, lambda delta, _: loss_gradient(model, batch, delta, False), steps=5, step=0.01, momentum=0.9
    )
    delta, memory = torch.zeros_like(batch.x), torch.zeros_like(batch.x)
    entries = broadcast(batch.movable.flatten(1).sum(dim=1))
    for _ in range(5):
        gradient = loss_gradient(model, batch, delta, False)
        memory = 0.9 * memory + gradient / (broadcast(gradient.abs().flatten(1).sum(dim=1)) / entries)
        delta = budget.shortened(delta - 0.01 * budget.steepest(memory))
    torch.testing.assert_close(plain, delta)


def test_a_vanished_gradient_leaves_the_memory_finite() -> None:
    batch = make_batch(n=2)
    memory = remembered(torch.ones_like(batch.x), torch.zeros_like(batch.x), 0.5)
    assert torch.equal(memory, torch.full_like(batch.x, 0.5))
