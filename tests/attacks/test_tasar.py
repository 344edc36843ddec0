"""TASAR and BA: on linear networks, each step is the one that their formulas give."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from conftest import Linear, linear_case
from options import attack_of
from torch import Tensor

from skeleton_adv.attacks import passes_of
from skeleton_adv.attacks.ba import ba
from skeleton_adv.attacks.losses import cross_entropy
from skeleton_adv.attacks.smi import influence, informed
from skeleton_adv.attacks.tasar import tasar
from skeleton_adv.core.batch import SkeletonBatch

PLAIN: dict[str, Any] = {"motion": 0.0, "steps": 6, "eps": 0.05, "step": 0.02}


class Drawn:
    """A linear network whose posterior has two others, with this probability of each in a call: one after the other."""

    def __init__(self, mean: Linear, others: list[Linear], at_once: bool) -> None:
        self.mean, self.others, self.at_once, self.calls = mean, others, at_once, 0

    def __call__(self, x: Tensor) -> Tensor:
        return self.mean(x)  # type: ignore[no-any-return]

    def __posterior__(self, x: Tensor, draws: int, scale: float) -> Tensor:
        self.calls += 1
        chosen = self.others if self.at_once else [self.others[self.calls % len(self.others)]]
        return torch.stack([network(x) for network in chosen])


def drawn(batch: SkeletonBatch, at_once: bool) -> Drawn:
    return Drawn(Linear(batch), [Linear(batch, seed=seed) for seed in (1, 2)], at_once)


def gradient_of(loss: Callable[[Tensor], Tensor], batch: SkeletonBatch, delta: Tensor) -> Tensor:
    delta = delta.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(batch.x + delta).sum(), delta)
    return torch.where(batch.movable, gradient, 0)


def normalised(g: Tensor, batch: SkeletonBatch) -> Tensor:
    per_clip = (-1, 1, 1, 1, 1)
    return g / (g.abs().flatten(1).sum(dim=1) / batch.movable.flatten(1).sum(dim=1)).view(per_clip)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("attack", [partial(tasar, **PLAIN), partial(ba, steps=6, eps=0.05, step=0.02, momentum=0.0)])
def test_without_variance_it_is_the_plain_gradient_attack(attack: Any, targeted: bool) -> None:
    model, batch = linear_case(n=4, t=6)
    batch = batch.with_labels((batch.y + 1) % 5) if targeted else batch
    delta = torch.zeros_like(batch.x)
    for _ in range(6):
        loss = gradient_of(lambda x: cross_entropy(model(x), batch.y), batch, delta)
        delta = (delta + 0.02 * loss.sign() * (-1 if targeted else 1)).clamp(-0.05, 0.05)
    torch.testing.assert_close(attack(model, batch, targeted=targeted).x_adv, batch.x + delta)


def test_a_step_follows_the_mean_loss_of_the_draws() -> None:
    _, batch = linear_case(n=4, t=6)
    model = drawn(batch, at_once=True)
    g = gradient_of(lambda x: sum(cross_entropy(one(x), batch.y) for one in model.others), batch, 0 * batch.x)  # type: ignore[arg-type, return-value]
    one = {"steps": 1, "eps": 1.0, "step": 0.01}
    found = tasar(model, batch, motion=0.0, direction="value", **one).x_adv  # type: ignore[arg-type]
    torch.testing.assert_close(found, batch.x + 0.01 * normalised(g, batch))
    one_by_one = ba(drawn(batch, at_once=False), batch, draws=2, **one).x_adv  # type: ignore[arg-type]
    torch.testing.assert_close(one_by_one, batch.x + 0.01 * g.sign())


@pytest.mark.parametrize("motion_of", ["draws", "mean"])
@pytest.mark.parametrize("order", [1, 2])
def test_the_motion_gradient_is_the_informed_one_with_momentum(motion_of: Any, order: Any) -> None:
    _, batch = linear_case(n=4, t=8)
    model, shares = drawn(batch, at_once=True), influence(batch, order)
    assert all((share != 0).any() for share in shares) and len(shares) == order
    delta, memory = torch.zeros_like(batch.x), torch.zeros_like(batch.x)
    for _ in range(3):
        draws = gradient_of(lambda x: sum(cross_entropy(one(x), batch.y) for one in model.others) / 2, batch, delta)  # type: ignore[arg-type, return-value]
        mean = gradient_of(lambda x: cross_entropy(model(x), batch.y), batch, delta)
        own = {"draws": draws, "mean": mean}[motion_of]
        memory = torch.where(batch.movable, informed(own, shares) + memory, 0)
        delta = delta + 0.01 * (0.8 * normalised(draws, batch) + 0.2 * normalised(memory, batch))
    settings: dict[str, Any] = {"direction": "value", "step": 0.01, "eps": 9.0, "steps": 3, "order": order}
    torch.testing.assert_close(tasar(model, batch, motion_of=motion_of, **settings).x_adv, batch.x + delta)


def test_gradients_accumulate_only_if_asked() -> None:
    _, batch = linear_case(n=4, t=6)
    settings: dict[str, Any] = {"motion": 0.0, "direction": "value", "step": 0.01, "eps": 9.0, "steps": 2}
    for accumulate in (False, True):
        model, delta, total = drawn(batch, at_once=False), torch.zeros_like(batch.x), torch.zeros_like(batch.x)
        for number in (1, 0):
            own = gradient_of(lambda x: cross_entropy(model.others[number](x), batch.y), batch, delta)  # noqa: B023
            total = total + own if accumulate else own
            delta = delta + 0.01 * normalised(total, batch)
        found = tasar(model, batch, accumulate=accumulate, **settings).x_adv
        torch.testing.assert_close(found, batch.x + delta)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_last_iterate_is_inside_the_budget_and_fools_the_network(norm: Any) -> None:
    model, batch = linear_case(n=6, t=6)
    eps = 4.0 if norm == "l2" else 0.5
    for attack in (tasar, ba):
        result = attack(model, batch, norm=norm, eps=eps, step=eps / 5, steps=12)
        size = (result.x_adv - batch.x).flatten(1)
        assert (size.abs().amax(dim=1) if norm == "linf" else size.norm(dim=1)).max() <= eps + 1e-9
        assert result.found.double().mean() > 0.8


def test_passes_are_those_of_the_settings(tmp_path: Any) -> None:
    _, batch = linear_case(n=2, t=4)
    passes = {name: passes_of(attack_of(name, tmp_path, batch)) for name in ("tasar", "tasar_released", "ba")}
    assert passes == {"tasar": 3 + 1, "tasar_released": 6 + 1, "ba": 9 + 1}  # of three steps
