"""APGD on a linear victim, whose worst case in a ball is known, its schedule and its losses."""

from pathlib import Path

import pytest
import torch
from conftest import Linear, linear_case
from torch import Tensor

from skeleton_adv.attacks.apgd import apgd, schedule
from skeleton_adv.attacks.dlr import dlr, ranked, targeted_dlr
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.constraints import Ball
from skeleton_adv.core.batch import SkeletonBatch

LOGITS = torch.tensor([[4.0, 1.0, 2.0, -1.0], [0.0, 3.0, 1.0, 2.5]])
Y = torch.tensor([0, 3])


def two_classes(n: int = 6) -> tuple[Linear, SkeletonBatch]:
    """A linear victim of two classes, whose margin has one gradient everywhere."""
    model, batch = linear_case(n=n, t=4)
    model.weight.data = model.weight[:2]
    return model, batch.with_labels(model(batch.x).argmax(dim=1))


def steepness(model: Linear, batch: SkeletonBatch, norm: str) -> Tensor:
    """(N,) by how much the margin of two classes falls per metre of ``norm``: the dual norm of its gradient."""
    across = ((model.weight[0] - model.weight[1]).view(1, *batch.x.shape[1:]) * batch.movable).flatten(1)
    if norm == "linf":
        return across.abs().sum(dim=1)
    joints = batch.mask.flatten(1).sum(dim=1) if norm == "rms" else torch.ones(len(batch))
    return across.norm(dim=1) * joints.to(across).sqrt()


def test_checkpoints_are_those_of_the_paper() -> None:
    assert sorted(schedule(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert max(schedule(3)) <= 3


@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_reaches_the_worst_case_of_a_linear_victim(norm: str, loss: str) -> None:
    model, batch = two_classes()
    result = apgd(model, batch, norm=norm, eps=0.01, steps=40, loss=loss)  # type: ignore[arg-type]
    worst = margin(model(batch.x), batch.y) - 0.01 * steepness(model, batch, norm)
    torch.testing.assert_close(margin(model(result.x_adv), batch.y), worst, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("loss", ["cross_entropy", "dlr", "targeted_dlr", "margin"])
def test_misses_no_more_clips_than_pgd(loss: str) -> None:
    model, batch = linear_case(n=32, t=4)
    for eps in (0.003, 0.01, 0.03):
        ours = apgd(model, batch, eps=eps, steps=20, loss=loss)  # type: ignore[arg-type]
        theirs = pgd(model, batch, eps=eps, step=eps / 4, steps=20)
        assert int(ours.found.sum()) >= int(theirs.found.sum())


@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
def test_stays_in_the_ball(norm: str) -> None:
    """In float64, of the clips in float32."""
    model, batch = linear_case(n=4, dtype=torch.float32)
    result = apgd(model, batch, norm=norm, eps=0.02, steps=20)  # type: ignore[arg-type]
    limits = Ball(norm, 0.02).on(batch.to(dtype=torch.float64))  # type: ignore[arg-type]
    assert limits.satisfied(result.x_adv.double()).all()


def test_draws_are_averaged() -> None:
    """A victim whose gradient points the wrong way in one of three draws is fooled in most draws."""
    model, batch = two_classes()
    eps = float(2 * (margin(model(batch.x), batch.y) / steepness(model, batch, "linf")).max())
    calls = [0]

    def noisy(x: Tensor) -> Tensor:
        calls[0] += 1
        logits: Tensor = model(x)
        return -0.1 * logits if calls[0] % 3 == 0 else logits

    result = apgd(noisy, batch, eps=eps, steps=10, eot=3)
    assert calls == [33] and result.found.all()
    assert fooled(model(result.x_adv), batch.y, False).all()


def test_dlr_is_the_ratio_of_differences() -> None:
    torch.testing.assert_close(dlr(LOGITS, Y), torch.tensor([(4 - 2) / (4 - 1), (2.5 - 3) / (3 - 1)]))
    torch.testing.assert_close(dlr(5 * LOGITS + 3, Y), dlr(LOGITS, Y))
    target = torch.tensor([1, 2])
    torch.testing.assert_close(targeted_dlr(LOGITS, Y, target), torch.tensor([3 / (4 - 0), 1.5 / (3 - 0.5)]))
    torch.testing.assert_close(dlr(LOGITS, target, targeted=True), torch.tensor([3 / 4, 2 / 2.5]))
    assert ranked(LOGITS, Y, 9).tolist() == [[2, 1, 3], [1, 2, 0]]


def test_few_classes_have_the_margin() -> None:
    torch.testing.assert_close(dlr(LOGITS[:, :2], Y.clamp(max=1)), margin(LOGITS[:, :2], Y.clamp(max=1)))
    three, y = LOGITS[:, :3], torch.tensor([0, 1])
    torch.testing.assert_close(targeted_dlr(three, y, torch.tensor([1, 2])), torch.tensor([3.0, 2.0]))
    torch.testing.assert_close(dlr(three, Y.clamp(max=2), targeted=True), margin(three, Y.clamp(max=2), True))
    assert dlr(torch.ones(1, 4), Y[:1]).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["hcn", "agcn_small"])
def test_misses_at_most_two_of_a_hundred_more_than_pgd_on_shipped_victims(
    model: str, shared: Path, tmp_path: Path
) -> None:
    import skeleton_adv as sa

    clips = sa.load_clips("utd_mhad", root=shared / "datasets/utd_mhad", limit=50, cache_dir=tmp_path)
    victim = sa.load_victim(model, dataset="utd_mhad", num_frames=32)
    for eps in (0.001, 0.002):
        ours, theirs = (sa.attack(victim, clips, name, eps=eps, steps=20) for name in ("apgd_ce", "pgd"))
        assert ours.success_rate.hits >= theirs.success_rate.hits - 1
