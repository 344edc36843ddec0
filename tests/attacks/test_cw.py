"""C&W on a linear victim, for which the nearest adversarial clip is known in closed form."""

from functools import partial
from typing import Any

import pytest
import torch
from conftest import linear_case, make_batch
from nearest import l2
from torch import Tensor

from skeleton_adv.attacks import passes_of
from skeleton_adv.attacks.cw import cw
from skeleton_adv.attacks.ddn import ddn
from skeleton_adv.attacks.fmn import fmn
from skeleton_adv.attacks.losses import fooled
from skeleton_adv.core.batch import SkeletonBatch


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("start", ["both", "clean"])
def test_close_to_the_optimum_on_a_linear_victim(scale: float, start: Any) -> None:
    model, batch = linear_case(n=4)
    model.weight.mul_(scale)
    result = cw(model, batch, start=start)
    length = (result.x_adv - batch.x).flatten(1).norm(dim=1)
    optimum = l2(model, batch)
    assert result.found.all() and fooled(model(result.x_adv), batch.y, False).all()
    assert (length >= optimum * (1 - 1e-9)).all()
    # From the clean clip alone, the search may end at a class that is not the nearest.
    assert (length <= (1.10 if start == "both" else 1.7) * optimum).all(), length / optimum


@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_warm_searches_are_as_close_to_the_optimum_in_a_quarter_of_the_passes(scale: float) -> None:
    model, batch = linear_case(n=4)
    model.weight.mul_(scale)
    calls = [0]

    def counted(x: Tensor) -> Tensor:
        calls[0] += 1
        return model(x)  # type: ignore[no-any-return]

    few: dict[str, Any] = {"search_steps": 3, "steps": 60, "start_steps": 75, "warm": True}
    result = cw(counted, batch, **few)
    length = (result.x_adv - batch.x).flatten(1).norm(dim=1)
    assert calls[0] == passes_of(partial(cw, **few)) == 332 <= 0.35 * 5 * 200
    assert result.found.all() and (length <= 1.05 * l2(model, batch)).all(), length / l2(model, batch)


def test_targeted_on_two_classes_is_untargeted() -> None:
    model, batch = linear_case(n=2, t=4)
    model.weight.data = model.weight[:2]
    batch = batch.with_labels(model(batch.x).argmax(dim=1))
    untargeted = cw(model, batch).x_adv
    targeted = cw(model, batch.with_labels(1 - batch.y), targeted=True).x_adv
    torch.testing.assert_close(untargeted, targeted)


def test_only_existing_joints_move() -> None:
    model, batch = linear_case(n=4)
    moved = cw(model, batch, search_steps=2, steps=50).x_adv != batch.x
    assert moved.any() and not (moved & ~batch.movable).any()


def test_without_success_the_last_iterate_is_returned() -> None:
    model, batch = linear_case(n=3)
    result = cw(model, batch, c=1e-12, search_steps=1, steps=3, start="clean")
    assert not result.found.any() and not fooled(model(result.x_adv), batch.y, False).any()
    assert torch.isfinite(result.x_adv).all()


def test_early_stopping_costs_little_and_keeps_the_number_of_draws() -> None:
    model, batch = linear_case(n=4, t=4)
    calls = [0, 0]  # the draws of a noisy victim are numbered by calls, which must not depend on stopped clips

    def counted(which: int):  # type: ignore[no-untyped-def]
        def call(x: Tensor) -> Tensor:
            calls[which] += 1
            return model(x)

        return call

    long, short = (cw(counted(i), batch, abort_early=bool(i), start="clean").x_adv for i in (0, 1))
    assert calls == [5 * 200 + 1, 5 * 200 + 1]
    lengths = [(x - batch.x).flatten(1).norm(dim=1) for x in (long, short)]
    assert (lengths[1] <= 1.05 * lengths[0]).all() and (lengths[1] != lengths[0]).any()


def test_the_confidence_is_reached() -> None:
    model, batch = linear_case(n=4)
    logits = model(cw(model, batch, conf=0.5).x_adv)
    true = logits.gather(1, batch.y[:, None])[:, 0]
    other = logits.scatter(1, batch.y[:, None], -torch.inf).amax(dim=1)
    assert (other - true >= 0.5 - 1e-9).all()


def test_the_paper_has_one_moment_per_coordinate_and_a_constant_rate() -> None:
    """One step of Adam then moves every coordinate by the learning rate."""
    model, batch = linear_case(n=2, t=2)
    one = {"search_steps": 1, "steps": 1, "start": "clean", "lr": 1e-9}
    moved = [cw(model, batch, per_coordinate=each, falling=False, **one).x_adv - batch.x for each in (True, False)]
    torch.testing.assert_close(
        moved[0][batch.movable].abs(), torch.tensor(1e-9).double().expand(int(batch.movable.sum()))
    )
    assert moved[1][batch.movable].abs().std() > 1e-10


class Curved(torch.nn.Module):
    """A random network with one hidden layer."""

    def __init__(self, batch: SkeletonBatch) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.first = torch.randn(batch.x[0].numel(), 32, generator=rng, dtype=torch.float64)
        self.second = torch.randn(32, 5, generator=rng, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return (3 * x.flatten(1) @ self.first / len(self.first) ** 0.5).sin() @ self.second


def test_a_refined_start_is_never_longer_than_the_start() -> None:
    """On a victim whose nearest border the gradient at the clean clip does not show."""
    batch = make_batch(n=4, t=2)
    victim = Curved(batch)
    batch = batch.with_labels(victim(batch.x).argmax(dim=1))
    length = {}
    for start in ("ddn", "fmn", "both"):
        result = cw(victim, batch, search_steps=2, steps=20, start=start, start_steps=100)
        length[start] = (result.x_adv - batch.x).flatten(1).norm(dim=1)
        assert result.found.all()
    for name, attack in (("ddn", ddn), ("fmn", fmn)):
        alone = (attack(victim, batch, steps=100).x_adv - batch.x).flatten(1).norm(dim=1)
        assert (length[name] <= alone * (1 + 1e-6)).all() and (length["both"] <= alone * (1 + 1e-6)).all()
