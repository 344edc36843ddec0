"""Clips that are kept for other victims, training clips for attackers, fitted parts, and members of ensembles."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import linear_case
from judged import Linear, evaluation, key, rows, still
from options import chosen, made
from torch import Tensor, nn

from skeleton_adv.attacks import AttackResult, members, needs, strongest_access
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import DataError
from skeleton_adv.data.clips import hashed_order, load_batch
from skeleton_adv.defenses import none
from skeleton_adv.evaluation.made import Kept
from skeleton_adv.evaluation.pool import TrainingPool
from skeleton_adv.models.ensemble import Ensemble
from skeleton_adv.models.victim import Victim
from skeleton_adv.tasks.fitting import fitted_part


class Other(Linear):
    """Another linear victim."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(-self.weight.detach().roll(1, dims=0))


def test_rows_of_kept_clips_equal_those_of_clips_made_again(data: Any, tmp_path: Path) -> None:
    source, calls = Victim(Linear(), none, "cpu"), []

    @needs("gradients", columns={"steps": "int"})
    def counted(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        calls.append(len(batch))
        found = pgd(model, batch, targeted=targeted, steps=3)
        return replace(found, columns={"steps": torch.full_like(batch.y, 3)})

    for targeted in (False, True):
        kept, victims = Kept(tmp_path / str(targeted)), [Victim(one(), none, "cpu") for one in (Linear, Other)]
        shared = [rows(data, counted, attacked=source, victim=v, kept=kept, targeted=targeted) for v in victims]
        once = len(calls)
        alone = [rows(data, counted, attacked=source, victim=v, targeted=targeted) for v in victims]
        assert len(calls) == 3 * once  # the second victim judged the clips of the first
        calls.clear()
        for one, other in zip(shared, alone, strict=True):
            assert [key(row) for row in one] == [key(row) for row in other]
        assert [key(row) for row in shared[0]] != [key(row) for row in shared[1]]


def test_a_damaged_file_of_kept_clips_is_made_again(data: Any, tmp_path: Path) -> None:
    first = rows(data, pgd, kept=Kept(tmp_path))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:50])
    assert [key(row) for row in rows(data, pgd, kept=Kept(tmp_path))] == [key(row) for row in first]


def test_the_pool_has_the_training_clips_in_the_attack_space(data: Any) -> None:
    dataset, prepared = data
    pool = TrainingPool(dataset, prepared, "cpu")
    numbers = hashed_order(prepared.clips, "train")
    assert len(pool) == len(numbers) and not {*numbers} & {*hashed_order(prepared.clips, "test")}
    batch, wanted = pool.batch([3, 0]), load_batch(dataset, prepared, [numbers[3], numbers[0]])
    assert torch.equal(batch.x, wanted.x) and torch.equal(batch.index, wanted.index)
    assert torch.equal(pool.labels[[3, 0]], wanted.y)
    empty: Any = SimpleNamespace(clips=[clip for clip in prepared.clips if clip.split == "test"])
    with pytest.raises(DataError, match="requires training clips"):
        TrainingPool(dataset, empty, "cpu").batch([0])


def test_an_attack_receives_the_pool_that_it_asks_for(data: Any) -> None:
    seen: list[int] = []

    @needs("labels", pool=True)
    def asking(model: Any, batch: SkeletonBatch, *, pool: Any, targeted: bool = False) -> AttackResult:
        seen.append(len(pool))
        return still(batch)

    rows(data, asking, limit=5, pool=TrainingPool(*data, "cpu"))
    assert seen == [len(hashed_order(data[1].clips, "train"))]


def counting(
    view: Any, pool: Any, state: Mapping[str, Tensor] | None, *, rounds: int = 3
) -> Iterator[dict[str, Tensor]]:
    """Adds the logits of the first training clip, once per round."""
    batch = pool.batch([0])
    total, done = (state["total"], int(state["done"])) if state else (torch.zeros(27), 0)
    for number in range(done, rounds):
        total = total + view(batch)(batch.x)[0]
        yield {"total": total, "done": torch.tensor(number + 1)}


@needs("none", fit=counting)
def using(
    model: Any, batch: SkeletonBatch, *, fitted: Mapping[str, Tensor], rounds: int = 3, targeted: bool = False
) -> AttackResult:
    return still(batch, batch.x + fitted["total"][0] * batch.movable)


def test_a_fit_is_done_once_and_continues_after_an_interruption(data: Any, tmp_path: Path) -> None:
    dataset, prepared = data
    victim, pool = Victim(Linear(), none, "cpu"), TrainingPool(dataset, prepared, "cpu")
    runtime = SimpleNamespace(checkpoint_dir=str(tmp_path))
    job: Any = SimpleNamespace(runtime=runtime, dataset=dataset, choices={"attack": "using"}, settings={}, command="")
    left = 2

    @needs("none", fit=lambda view, pool, state, rounds=3: stopping(view, pool, state, rounds))
    def killed(model: Any, batch: SkeletonBatch, *, fitted: Any, rounds: int = 3) -> AttackResult:
        return still(batch)

    def stopping(view: Any, pool: Any, state: Any, rounds: int) -> Iterator[dict[str, Tensor]]:
        for number, one in enumerate(counting(view, pool, state, rounds=rounds)):
            yield one
            if number + 1 == left:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted_part(job, killed, victim, pool, {"a": 1})
    part = fitted_part(job, using, victim, pool, {"a": 1})
    batch = pool.batch([0])
    assert part is not None and int(part["done"]) == 3
    torch.testing.assert_close(part["total"], 3 * Linear()(batch.x, None)[0])  # type: ignore[arg-type]
    again = fitted_part(job, using, Victim(Other(), none, "cpu"), pool, {"a": 1})  # from the disk
    assert again is not None and torch.equal(again["total"], part["total"])
    other = fitted_part(job, using, Victim(Other(), none, "cpu"), pool, {"a": 2})
    assert other is not None and not torch.equal(other["total"], part["total"])
    found = rows(data, using, limit=5, fitted=part)
    assert all(row["l2"] > 0 and row["forwards"] == 0 for row in found)
    assert evaluation(data, using).fitted is None


def test_an_attack_sees_the_members_of_an_ensemble_and_the_mean_of_their_logits() -> None:
    single, batch = linear_case(n=3, t=4)

    class Member(nn.Module):
        def __init__(self, sign: float) -> None:
            super().__init__()
            self.sign = sign

        def forward(self, x: Tensor, context: Any = None) -> Tensor:
            return single(x) * self.sign + self.sign  # type: ignore[no-any-return]

    view = Victim(Ensemble([Member(1.0), Member(3.0)], 5), none, "cpu").view(batch, "attack", 0)
    model = view.limited("gradients")
    torch.testing.assert_close(model(batch.x), 2 * single(batch.x) + 2)
    first, second = members(model)
    x = batch.x.clone().requires_grad_()
    torch.testing.assert_close(second(x), 3 * single(batch.x) + 3)
    torch.autograd.grad(first(x).sum(), x)
    assert (view.forwards, view.gradients) == (4, 1) and len(view.answers) == 1
    torch.autograd.grad(model(x).sum(), x)
    assert (view.forwards, view.gradients) == (6, 3)
    assert len(members(Victim(Member(1.0), none, "cpu").view(batch, "attack", 0).limited("gradients"))) == 1


@pytest.mark.parametrize(
    ("attack", "access"),
    [("isaac_n", "scores"), ("universal", "gradients"), ("corruption", "none"), ("pgd", "gradients")],
)
def test_the_access_of_an_attack_includes_its_fit(attack: str, access: str) -> None:
    assert strongest_access(made(chosen("attack", attack))) == access
