"""k-anonymity: balanced ranks, the hinge in closed form, and uniform ranks of the true class on a linear victim."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import Linear, linear_case, make_batch
from scipy.stats import chisquare
from torch import Tensor

from skeleton_adv.attacks.k_a3 import drawn_ranks, k_a3, k_a3_admm, rank_of, ranking
from skeleton_adv.constraints.body import BoneLength
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError


def numbered(n: int, first: int = 0) -> SkeletonBatch:
    batch = make_batch(n=n, t=1, m=1)
    return SkeletonBatch(batch.x, batch.y, batch.mask, torch.arange(first, first + n), batch.dt, batch.skeleton)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_drawn_ranks_are_balanced_and_seeded(k: int) -> None:
    batch = numbered(12 * k)
    ranks = drawn_ranks(batch, k, False, 0)
    for block in ranks.view(-1, k):
        assert sorted(block.tolist()) == list(range(1, k + 1))
    assert torch.equal(drawn_ranks(batch, k, True, 0), ranks + 1)
    assert torch.equal(drawn_ranks(numbered(k, first=4 * k), k, False, 0), ranks[4 * k : 5 * k])
    if k > 1:
        assert not torch.equal(drawn_ranks(batch, k, False, 1), ranks)
        assert len({tuple(block.tolist()) for block in ranks.view(-1, k)}) > 1


def test_the_place_in_the_order_decides_not_the_number_of_a_clip() -> None:
    batch = numbered(20)
    shuffled = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    placed = replace(batch, index=5 * shuffled, place=torch.arange(20))
    assert torch.equal(drawn_ranks(placed, 5, False, 0), drawn_ranks(batch, 5, False, 0))


def test_the_rank_is_that_of_a_sorted_list() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, 3.0]] * 4)
    assert rank_of(logits, torch.arange(4)).tolist() == [4, 1, 3, 2]
    drawn = torch.randn(200, 7, generator=torch.Generator().manual_seed(0))
    y = torch.arange(200) % 7
    assert torch.equal(rank_of(drawn, y) == 1, drawn.argmax(dim=1) == y)


def test_the_hinge_in_closed_form() -> None:
    logits = torch.tensor([[2.0, 5.0, 1.0, 1.5]])
    y = torch.tensor([0])

    def loss(rank: int, conf: float) -> float:
        return ranking(logits, y, torch.tensor([rank]), conf).item()

    assert loss(1, 0.0) == 3 and loss(2, 0.0) == 0
    assert loss(3, 0.0) == 0.5 and loss(4, 0.0) == 1.5
    assert loss(2, 1.0) == pytest.approx(0.5) and loss(4, 1.0) == pytest.approx(1.5 + 2)


def test_the_hinge_is_0_exactly_at_the_rank() -> None:
    rng = torch.Generator().manual_seed(1)
    logits, y = torch.randn(300, 6, generator=rng), torch.randint(6, (300,), generator=rng)
    wanted = torch.randint(1, 7, (300,), generator=rng)
    assert torch.equal(ranking(logits, y, wanted, 0.0) == 0, rank_of(logits, y) == wanted)


def anonymised(attack: Any, hide: bool) -> tuple[Any, SkeletonBatch, Tensor]:
    model, batch = linear_case(n=60, t=2, m=1)
    settings: dict[str, Any] = {"k": 4, "hide": hide, "conf": 0.05}
    if attack is k_a3:
        settings |= {"norm": "l2", "eps": 20.0, "step": 0.05, "steps": 200, "distance": 0.0}
    else:
        settings |= {"constraints": {"bone": BoneLength(eps=0.5)}, "lr": 0.02, "outer_steps": 10}
    return attack(model, batch, **settings), batch, model(batch.x)


@pytest.mark.parametrize("attack", [k_a3, k_a3_admm])
@pytest.mark.parametrize("hide", [False, True])
def test_ranks_on_a_linear_victim_are_uniform(attack: Any, hide: bool) -> None:
    result, batch, _ = anonymised(attack, hide)
    ranks = result.columns["rank"]
    assert (ranks == result.columns["drawn_rank"]).float().mean() > 0.98
    counts = torch.bincount(ranks - (2 if hide else 1), minlength=4)
    assert len(counts) == 4 and chisquare(counts.numpy()).pvalue > 0.5
    assert torch.equal(result.found, ranks > 1)
    model = Linear(batch)
    expected = (model(result.x_adv) > model(result.x_adv).gather(1, batch.y[:, None])).sum(dim=1) + 1
    assert torch.equal(ranks, expected)


def test_a_clip_that_has_its_rank_does_not_move() -> None:
    result, batch, clean = anonymised(k_a3, False)
    there = rank_of(clean, batch.y) == result.columns["drawn_rank"]
    moved = (result.x_adv != batch.x).flatten(1).any(dim=1)
    assert there.any() and torch.equal(moved, ~there)


@pytest.mark.parametrize(("k", "hide"), [(6, False), (5, True)])
def test_more_ranks_than_classes_are_refused(k: int, hide: bool) -> None:
    model, batch = linear_case(n=2, t=1, m=1)
    with pytest.raises(SettingError, match=rf"attack\.k={k} ") as caught:
        k_a3(model, batch, k=k, hide=hide)
    assert "\n" not in str(caught.value)
