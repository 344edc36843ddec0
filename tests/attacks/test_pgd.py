"""PGD and its variants on a linear victim, for which one step is optimal, and laws of the ball."""

import pytest
import torch
from conftest import linear_case
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.command import cli

KIN = ("pgd", "fgsm", "bim", "mi_fgsm", "ifgvm")


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_fools_a_linear_victim_exactly_when_the_ball_reaches_the_border(norm: str) -> None:
    model, batch = linear_case(n=6)
    model.weight.data = model.weight[:2]
    batch = batch.with_labels(model(batch.x).argmax(dim=1))
    across = (model.weight[0] - model.weight[1]).view(1, *batch.x.shape[1:]) * batch.movable
    dual = across.flatten(1).norm(dim=1) if norm == "l2" else across.abs().flatten(1).sum(dim=1)
    reach = margin(model(batch.x), batch.y) / dual  # (N,) radius of the smallest ball that contains a fooling clip
    for factor, expected in ((0.98, False), (1.02, True)):
        for n in range(len(batch)):
            eps = factor * float(reach[n])
            result = pgd(model, batch, norm=norm, eps=eps, step=eps / 4, steps=40, random_start=False)  # type: ignore[arg-type]
            assert bool(result.found[n]) is expected
            assert torch.equal(result.found, fooled(model(result.x_adv), batch.y, False))


@pytest.mark.parametrize("name", KIN)
def test_only_existing_joints_move_within_the_ball(name: str) -> None:
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        attack = instantiate(compose("config", [f"attack={name}"]), _convert_="all")["attack"]
    model, batch = linear_case(n=4)
    result = attack(model, batch)
    moved = result.x_adv - batch.x
    assert moved.any() and not (moved[~batch.movable]).any()
    assert moved.abs().max() <= 0.01 + 1e-12
    assert (margin(model(result.x_adv), batch.y) < margin(model(batch.x), batch.y)).all()
    if name == "fgsm":
        assert torch.isin(moved.abs().round(decimals=9), torch.tensor([0, 0.01], dtype=moved.dtype)).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_random_starts_fill_the_ball_and_depend_on_the_clip(norm: str) -> None:
    model, batch = linear_case(n=4)
    model.weight.zero_()  # no gradient, so the start does not move
    settings = {"norm": norm, "eps": 0.5, "steps": 1, "step": 1e-9}
    first = pgd(model, batch, **settings).x_adv - batch.x  # type: ignore[arg-type]
    size = first.flatten(1).norm(dim=1) if norm == "l2" else first.abs().flatten(1).amax(dim=1)
    assert ((size > 0.45) & (size <= 0.5)).all() and not first[~batch.movable].any()
    assert not torch.equal(first, pgd(model, batch, **settings, seed=1).x_adv - batch.x)  # type: ignore[arg-type]
    assert torch.equal(first, pgd(model, batch, **settings).x_adv - batch.x)  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_whole_budget_is_used(norm: str) -> None:
    model, batch = linear_case(n=4)
    result = pgd(model, batch, norm=norm, eps=20.0, step=1.0, steps=60, loss="margin", random_start=False)  # type: ignore[arg-type]
    moved = (result.x_adv - batch.x).flatten(1)
    size = moved.norm(dim=1) if norm == "l2" else moved.abs().amax(dim=1)
    torch.testing.assert_close(size, torch.full_like(size, 20.0))
    assert result.found.all()


def test_more_restarts_never_have_less_success() -> None:
    model, batch = linear_case(n=6)
    settings = {"norm": "l2", "eps": 0.3, "step": 0.05, "steps": 3, "loss": "margin"}
    once, often = (pgd(model, batch, **settings, restarts=r) for r in (1, 4))  # type: ignore[arg-type]
    assert (often.found | ~once.found).all()
    worse = margin(model(often.x_adv), batch.y) > margin(model(once.x_adv), batch.y) + 1e-9
    assert not (worse & ~often.found).any()


def test_targeted_reaches_the_target() -> None:
    model, batch = linear_case(n=6)
    goal = batch.with_labels((batch.y + 1) % 5)
    result = pgd(model, goal, targeted=True, norm="l2", eps=20.0, step=2.0, steps=60, loss="margin")
    assert result.found.all() and torch.equal(model(result.x_adv).argmax(dim=1), goal.y)
