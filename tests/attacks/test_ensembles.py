"""ENS, SVRE and CWA on ensembles whose steps are known."""

from typing import Any

import pytest
import torch
from conftest import Linear, linear_case, make_batch
from torch import Tensor

from skeleton_adv.attacks.cwa import cwa
from skeleton_adv.attacks.ens import ens
from skeleton_adv.attacks.losses import margin
from skeleton_adv.attacks.momentum import loss_gradient, remembered
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.attacks.svre import svre
from skeleton_adv.constraints import Ball
from skeleton_adv.constraints.ball import unit
from skeleton_adv.core.batch import SkeletonBatch


class Ensemble:
    """The mean of the members' logits."""

    def __init__(self, *networks: Any) -> None:
        self.__members__ = networks  # see attacks.members

    def __call__(self, x: Tensor) -> Tensor:
        return torch.stack([network(x) for network in self.__members__]).mean(dim=0)


def flat(batch: SkeletonBatch, seed: int) -> Linear:
    """A victim with such small logits that its gradient is the same everywhere."""
    model = Linear(batch, seed=seed)
    model.weight.mul_(1e-7)
    return model


@pytest.mark.parametrize("fusion", ["mean", "sum", "losses"])
@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_ens_with_one_network_is_mi_fgsm_bit_for_bit(fusion: Any, momentum: float) -> None:
    model, batch = linear_case(n=6)
    settings = {"eps": 0.05, "steps": 10, "momentum": momentum}
    plain = pgd(model, batch, step=0.005, random_start=False, **settings)  # type: ignore[arg-type]
    for victim in (model, Ensemble(model)):
        assert torch.equal(ens(victim, batch, fusion=fusion, **settings).x_adv, plain.x_adv)  # type: ignore[arg-type]


def test_the_fusions_of_ens() -> None:
    batch = make_batch(n=6)
    networks = [Linear(batch, seed=seed) for seed in range(3)]
    ensemble = Ensemble(*networks)
    settings = {"norm": "l2", "eps": 0.5, "steps": 5, "momentum": 1.0}
    plain = {"step": 0.1, "random_start": False} | settings
    mean, total, losses = (ens(ensemble, batch, fusion=name, **settings) for name in ("mean", "sum", "losses"))  # type: ignore[arg-type]
    assert torch.equal(mean.x_adv, pgd(ensemble, batch, **plain).x_adv)  # type: ignore[arg-type]
    scaled = pgd(lambda x: 3 * ensemble(x), batch, **plain)  # type: ignore[arg-type]
    torch.testing.assert_close(total.x_adv, scaled.x_adv)
    once = ens(ensemble, batch, fusion="losses", norm="l2", eps=0.5, steps=1)
    gradient = sum(loss_gradient(network, batch, torch.zeros_like(batch.x), False) for network in networks)
    torch.testing.assert_close(once.x_adv - batch.x, -0.5 * unit(gradient))  # type: ignore[arg-type]
    assert not torch.equal(losses.x_adv, mean.x_adv)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_svre_with_identical_members_follows_their_gradient(norm: Any) -> None:
    model, batch = linear_case(n=6)
    result = svre(Ensemble(model, model, model), batch, norm=norm, eps=0.1, steps=2, inner_steps=1)
    budget, delta, outer = Ball(norm, 0.1).of(batch), torch.zeros_like(batch.x), torch.zeros_like(batch.x)
    for _ in range(2):
        inner, memory = delta, torch.zeros_like(delta)
        for _ in range(3):
            memory = remembered(memory, loss_gradient(model, batch, inner, False), 1.0)
            inner = budget.shortened(inner - 0.05 * budget.steepest(memory))
        outer = remembered(outer, memory, 1.0)
        delta = budget.shortened(delta - 0.05 * budget.steepest(outer))
    torch.testing.assert_close(result.x_adv, batch.x + delta)


def test_svre_has_no_variance_where_gradients_are_constant() -> None:
    """Then every draw gives the gradient of the whole ensemble."""
    batch = make_batch(n=6)
    ensemble = Ensemble(*(flat(batch, seed) for seed in range(3)))
    plain = pgd(ensemble, batch, norm="l2", eps=0.5, step=0.1, steps=5, momentum=1.0, random_start=False)
    result = svre(ensemble, batch, norm="l2", eps=0.5, steps=5)
    torch.testing.assert_close(result.x_adv, plain.x_adv, rtol=0, atol=1e-6)


def test_the_draws_of_svre_depend_on_the_seed_alone() -> None:
    batch = make_batch(n=6)
    ensemble = Ensemble(*(Linear(batch, seed=seed) for seed in range(3)))
    one, again, other = (svre(ensemble, batch, eps=0.1, steps=2, seed=seed).x_adv for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_cwa_with_one_network_and_no_reverse_step_takes_the_step_of_i_fgsm() -> None:
    model, batch = linear_case(n=6)
    plain = pgd(model, batch, norm="l2", eps=0.5, step=0.2, steps=1, random_start=False)
    result = cwa(model, batch, norm="l2", eps=0.5, step=0.2, steps=1, reverse=0.0)
    torch.testing.assert_close(result.x_adv, plain.x_adv)


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_cwa_adds_unit_gradients_of_the_members(momentum: float) -> None:
    """With constant gradients, the first counts twice in an inner memory that forgets nothing."""
    batch = make_batch(n=6)
    networks = [flat(batch, seed) for seed in range(2)]
    networks[1].weight.mul_(10)  # lengths do not count
    first, second = (unit(loss_gradient(network, batch, torch.zeros_like(batch.x), False)) for network in networks)
    settings = {"norm": "l2", "eps": 0.5, "step": 0.2, "steps": 1, "inner": 0.01, "reverse": 0.0}
    moved = cwa(Ensemble(*networks), batch, momentum=momentum, **settings).x_adv - batch.x  # type: ignore[arg-type]
    torch.testing.assert_close(moved, -0.2 * unit((1 + momentum) * first + second), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
@pytest.mark.parametrize("attack", [ens, svre, cwa])
@pytest.mark.parametrize("targeted", [False, True])
def test_they_stay_in_the_ball_and_lower_the_margin_of_the_ensemble(attack: Any, norm: Any, targeted: bool) -> None:
    batch = make_batch(n=6)
    ensemble = Ensemble(*(Linear(batch, seed=seed) for seed in range(3)))
    y = ensemble(batch.x).argmax(dim=1)
    batch = batch.with_labels((y + 1) % 5 if targeted else y)
    result = attack(ensemble, batch, targeted=targeted, norm=norm, eps=0.02, steps=4)
    moved = result.x_adv - batch.x
    limit = Ball(norm, 0.02).on(batch)
    assert (limit.violation(result.x_adv) <= 1e-12).all() and not moved[~batch.movable].any()
    before, after = (margin(ensemble(z), batch.y, targeted) for z in (batch.x, result.x_adv))
    assert (after < before).all()
