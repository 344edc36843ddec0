"""C&W on a linear victim, for which the nearest adversarial clip is known in closed form."""

import pytest
import torch
from conftest import linear_case
from torch import Tensor

from skeleton_adv.attacks.cw import cw
from skeleton_adv.attacks.losses import fooled


def nearest(model: torch.nn.Module, batch, targets: Tensor | None = None) -> Tensor:  # type: ignore[no-untyped-def]
    """(N,) distance to the nearest clip of another class, over movable entries."""
    logits = model(batch.x)
    weight = model.weight.view(-1, *batch.x.shape[1:])
    true = logits.argmax(dim=1)
    distances = []
    for n in range(len(batch)):
        others = [k for k in range(logits.shape[1]) if k != true[n]] if targets is None else [int(targets[n])]
        across = [
            float((logits[n, true[n]] - logits[n, k]) / ((weight[true[n]] - weight[k]) * batch.movable[n]).norm())
            for k in others
        ]
        distances.append(min(across))
    return torch.tensor(distances)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_close_to_the_optimum_on_a_linear_victim(scale: float) -> None:
    model, batch = linear_case(n=6)
    model.weight.mul_(scale)
    result = cw(model, batch)
    length = (result.x_adv - batch.x).flatten(1).norm(dim=1)
    optimum = nearest(model, batch)
    assert result.found.all() and fooled(model(result.x_adv), batch.y, False).all()
    assert (length >= optimum * (1 - 1e-9)).all()
    assert (length <= 1.10 * optimum).all(), length / optimum


def test_targeted_on_two_classes_is_untargeted() -> None:
    model, batch = linear_case(n=4)
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
    result = cw(model, batch, c=1e-12, search_steps=1, steps=3)
    assert not result.found.any() and not fooled(model(result.x_adv), batch.y, False).any()
    assert torch.isfinite(result.x_adv).all()


def test_early_stopping_costs_little_and_keeps_the_number_of_draws() -> None:
    model, batch = linear_case(n=6)
    calls = [0, 0]  # the draws of a noisy victim are numbered by calls, which must not depend on stopped clips

    def counted(which: int):  # type: ignore[no-untyped-def]
        def call(x: Tensor) -> Tensor:
            calls[which] += 1
            return model(x)

        return call

    long, short = (cw(counted(i), batch, abort_early=bool(i)).x_adv for i in (0, 1))
    assert calls == [5 * 200 + 1, 5 * 200 + 1]
    lengths = [(x - batch.x).flatten(1).norm(dim=1) for x in (long, short)]
    assert (lengths[1] <= 1.05 * lengths[0]).all() and (lengths[1] != lengths[0]).any()


def test_the_confidence_is_reached() -> None:
    model, batch = linear_case(n=4)
    logits = model(cw(model, batch, conf=0.5).x_adv)
    true = logits.gather(1, batch.y[:, None])[:, 0]
    other = logits.scatter(1, batch.y[:, None], -torch.inf).amax(dim=1)
    assert (other - true >= 0.5 - 1e-9).all()
