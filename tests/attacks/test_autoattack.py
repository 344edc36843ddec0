"""AutoAttack: which member fools a clip, and the signs that a victim hides its gradient."""

from typing import Any

import pytest
import torch
from conftest import Linear, linear_case
from nearest import nearest
from torch import Tensor

from skeleton_adv.attacks.autoattack import autoattack
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.constraints import Ball
from skeleton_adv.core.batch import SkeletonBatch

FEW: dict[str, Any] = {"steps": 5, "targets": 2, "queries": 100}


@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
def test_fools_a_linear_victim_exactly_when_the_ball_reaches_the_border(norm: str) -> None:
    model, batch = linear_case(n=6, t=4, dtype=torch.float32)
    optimum = nearest(model, batch, norm)
    eps = float(optimum.sort().values[2:4].mean())
    result = autoattack(model, batch, norm=norm, eps=eps, **FEW | {"steps": 30, "targets": 4})  # type: ignore[arg-type]
    assert torch.equal(result.found, optimum < eps)
    assert torch.equal(result.found, fooled(model(result.x_adv), batch.y, False))
    assert torch.equal(result.columns["aa_member"] >= 0, result.found)
    assert Ball(norm, eps).on(batch.to(dtype=torch.float64)).satisfied(result.x_adv.double()).all()  # type: ignore[arg-type]
    assert not any(result.columns[flag].any() for flag in ("aa_varies", "aa_flat", "aa_probabilities"))


def test_a_clip_that_is_wrong_before_stays_as_it_is() -> None:
    model, batch = linear_case(n=6, t=4)
    wrong = batch.y.clone()
    wrong[2] = (wrong[2] + 1) % 5
    result = autoattack(model, batch.with_labels(wrong), eps=1e-6, **FEW)
    assert result.columns["aa_member"].tolist() == [-1, -1, 0, -1, -1, -1]
    assert torch.equal(result.x_adv[2], batch.x[2]) and result.found[2]
    assert (margin(model(result.x_adv), batch.y) <= margin(model(batch.x), batch.y)).all()


class Rounded(Linear):
    """A victim that rounds its logits, so that its gradient is 0."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits + (((20 * logits).round() / 20) - logits).detach() - (logits - logits.detach())


def test_a_hidden_gradient_is_seen_and_the_square_attack_does_without_it() -> None:
    _, batch = linear_case(n=6, t=4)
    model = Rounded(batch)
    batch = batch.with_labels(model(batch.x).argmax(dim=1))
    result = autoattack(model, batch, eps=0.05, **FEW | {"queries": 300})
    assert result.columns["aa_flat"].any()
    assert (result.columns["aa_member"] == 4).any()


def noisy(model: Linear) -> Any:
    """The victim with other logits at each call."""
    generator = torch.Generator().manual_seed(0)

    def call(x: Tensor) -> Tensor:
        logits: Tensor = model(x)
        return logits + 1e-3 * torch.randn(logits.shape, generator=generator, dtype=logits.dtype)

    return call


def test_noise_and_probabilities_are_seen() -> None:
    model, batch = linear_case(n=4, t=4)
    assert autoattack(noisy(model), batch, eps=1e-4, **FEW).columns["aa_varies"].all()
    result = autoattack(lambda x: model(x).softmax(dim=1), batch, eps=1e-4, **FEW)
    assert result.columns["aa_probabilities"].all() and not result.columns["aa_varies"].any()


def test_the_version_for_noise_averages_and_has_two_members() -> None:
    model, batch = linear_case(n=6, t=4)
    calls = [0]
    victim = noisy(model)

    def counted(x: Tensor) -> Tensor:
        calls[0] += 1
        return victim(x)  # type: ignore[no-any-return]

    eps = float(nearest(model, batch, "linf").median())
    result = autoattack(counted, batch, eps=eps, version="rand", eot=4, **FEW)
    assert calls == [2 + 2 * 6 * 4]
    assert {*result.columns["aa_member"].tolist()} <= {-1, 1, 2} and (result.columns["aa_member"] == 1).any()


def test_a_fooled_chunk_ends_early() -> None:
    model, batch = linear_case(n=4, t=4)
    calls = [0]

    def counted(x: Tensor) -> Tensor:
        calls[0] += 1
        return model(x)  # type: ignore[no-any-return]

    assert autoattack(counted, batch, eps=10.0, **FEW | {"steps": 100}).found.all()
    assert calls[0] < 40


def test_limits_of_joints_are_kept() -> None:
    model, batch = linear_case(n=4, t=4)
    moved = autoattack(model, batch, eps=0.01, joints=["head"], frames="1:3", **FEW).x_adv != batch.x  # type: ignore[call-arg]
    there = moved.any(dim=(0, 1, 4))
    assert there.nonzero().tolist() == [[1, 3], [2, 3]]


def test_chunks_of_one_clip_repeat_it() -> None:
    model, batch = linear_case(n=4, t=4)
    one = SkeletonBatch(
        *(getattr(batch, name)[[1, 1, 1, 1]] for name in ("x", "y", "mask", "index", "dt")), batch.skeleton
    )
    whole, alone = (autoattack(model, z, eps=0.004, **FEW) for z in (batch, one))
    assert torch.equal(whole.x_adv[1], alone.x_adv[0])
    assert all(whole.columns[name][1] == alone.columns[name][0] for name in whole.columns)
