"""Clips that are done leave their passes to others: the rows are those without, bit for bit, in fewer passes."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from conftest import make_batch
from judged import CONSTRAINTS, evaluation
from torch import Tensor, nn

from skeleton_adv.attacks import AttackResult, stages_of
from skeleton_adv.attacks.admm import admm
from skeleton_adv.attacks.apgd import apgd
from skeleton_adv.attacks.autoattack import autoattack
from skeleton_adv.attacks.square import square
from skeleton_adv.attacks.stages import Staged, State
from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.noise import normal
from skeleton_adv.data.clips import hashed_order, load_batch
from skeleton_adv.defenses import none
from skeleton_adv.evaluation.compaction import Slots, clips_of
from skeleton_adv.evaluation.made import Kept
from skeleton_adv.models.victim import Victim

COST = ("seconds", "forwards", "gradients")
ATTACKS: dict[str, Callable[..., Any]] = {
    "autoattack": partial(autoattack, steps=6, targets=2, queries=70),
    "autoattack_rand": partial(autoattack, steps=4, version="rand", eot=2),
    "apgd_t": partial(apgd, steps=4, targets=3, loss="targeted_dlr"),
    "apgd_restarts": partial(apgd, steps=3, restarts=3),
    "square": partial(square, queries=120),
    "admm": partial(admm, constraints=CONSTRAINTS, outer_steps=12, inner_steps=2, lr=3e-3, conf=0.0, stop=0.5),
}


class Fitted(nn.Module):
    """A linear network that is right about these clips, by more or less."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        super().__init__()
        margins = torch.logspace(-1, 1, len(y))[torch.arange(len(y)) * 7 % len(y)]  # in no order of the chunks
        wanted = margins[:, None] * torch.nn.functional.one_hot(y, 27)
        self.weight = nn.Parameter(torch.linalg.lstsq(x.flatten(1), wanted, driver="gelsd").solution)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        return x.flatten(1) @ self.weight

    def reach(self, x: Tensor, y: Tensor, movable: Tensor) -> float:
        """The l-infinity budget that fools about half of the clips."""
        logits, weight = x.flatten(1) @ self.weight, self.weight.detach().T
        across = ((weight[y][:, None] - weight).abs() * movable.flatten(1)[:, None]).sum(dim=2)
        lead = logits.gather(1, y[:, None]) - logits
        distance = (lead / across.clamp(min=1e-12)).scatter(1, y[:, None], torch.inf).amin(dim=1)
        return float(distance.sort().values[len(y) // 2 - 1 :][:2].mean())


class Noisy(Fitted):
    """The same with noise of its own at each call."""

    randomised = True

    def forward(self, x: Tensor, context: Context) -> Tensor:
        logits = super().forward(x, context)
        return logits + 0.02 * normal(logits, context.index, context.seed, context.purpose, context.draw)


@pytest.fixture(scope="module")
def victims(data: Any) -> tuple[dict[str, Victim], float]:
    """A victim and one that draws noise, and a budget that fools about half of the clips."""
    batch = load_batch(*data, hashed_order(data[1].clips, "test"))
    networks = {"plain": Fitted(batch.x, batch.y), "noisy": Noisy(batch.x, batch.y)}
    with torch.no_grad():
        eps = networks["plain"].reach(batch.x, batch.y, batch.movable)
    return {name: Victim(network, none, "cpu") for name, network in networks.items()}, eps


def run(data: Any, attack: Any, done: tuple[int, ...] = (), **changes: Any) -> tuple[dict[int, Any], int, Any]:
    """The rows by clip without their cost, the number of passes over a chunk, and the saved clips."""
    found: list[dict[str, Any]] = []
    saved: dict[int, Any] = {}
    passes = [0]

    def count() -> None:
        passes[0] += 1

    victim = changes["victim"]
    attacked = Victim(victim.module, none, "cpu", count)
    order = hashed_order(data[1].clips, "test")

    def save(numbers: list[int], rows: list[Any], arrays: Any) -> None:
        saved.update(zip(numbers, arrays["x_adv"], strict=True))

    made = evaluation(data, attack, attacked=attacked, **changes)
    made.run(order, set(done), found.extend, lambda starts, _: starts, save)
    assert [row["index"] for row in found] == [number for number in order if number not in done]
    rows = {row["index"]: {name: value for name, value in row.items() if name not in COST} for row in found}
    return rows, passes[0], saved


@pytest.mark.parametrize(
    ("name", "victim", "targeted"),
    [(name, "plain", False) for name in ATTACKS]
    + [("autoattack", "plain", True), ("autoattack", "noisy", False), ("autoattack_rand", "noisy", False)]
    + [("apgd_t", "noisy", False), ("apgd_restarts", "noisy", True)],
)
def test_rows_are_those_without_in_fewer_passes(
    data: Any, victims: tuple[dict[str, Victim], float], name: str, victim: str, targeted: bool
) -> None:
    budget = {} if name == "admm" else {"eps": victims[1]}
    attack = partial(ATTACKS[name], **budget)
    changes = {"victim": victims[0][victim], "targeted": targeted, "batch_size": 5}
    assert stages_of(attack, targeted) is not None
    rows, passes, clips = run(data, attack, compact=True, **changes)
    others, most, their_clips = run(data, attack, compact=False, **changes)
    assert repr(rows) == repr(others)
    assert all((clips[number] == their_clips[number]).all() for number in rows)
    if victim == "plain" and not targeted and budget:
        assert 0 < sum(row["found"] for row in rows.values()) < len(rows)
        assert passes < most
    if name == "apgd_t":
        resumed, _, _ = run(data, attack, done=tuple(rows)[:3], compact=True, **changes)
        assert repr(resumed) == repr(dict(list(rows.items())[3:]))


def test_kept_clips_are_those_without_and_a_damaged_file_is_made_again(
    data: Any, victims: tuple[dict[str, Victim], float], tmp_path: Any
) -> None:
    attack = partial(ATTACKS["apgd_t"], eps=victims[1], joints=["left_hand", "right_hand"], frames="0:8")
    changes = {"victim": victims[0]["plain"], "batch_size": 5}
    wanted, _, _ = run(data, attack, compact=False, **changes)
    for _ in range(2):
        kept = Kept(tmp_path)
        assert repr(run(data, attack, kept=kept, **changes)[0]) == repr(wanted)
        first = sorted(tmp_path.iterdir())[0]
        first.write_bytes(first.read_bytes()[:50])


def counting(needed: dict[int, int], shapes: list[int]) -> Staged:
    """An attack whose stages take a pass each; the clip with number n is done after ``needed[n]`` of them."""

    def begin(model: Any, batch: SkeletonBatch) -> State:
        stage = torch.zeros_like(batch.y)
        return {"done": torch.tensor([needed[n] == 0 for n in batch.index.tolist()]), "stage": stage, "x": 0 * batch.x}

    def advance(model: Any, batch: SkeletonBatch, state: State) -> State:
        shapes.append(len(batch))
        model(batch.x)
        assert len({*state["stage"].tolist()}) == 1 and not state["done"].any()
        stage = state["stage"] + 1
        done = stage >= torch.tensor([needed[n] for n in batch.index.tolist()])
        return {"done": done, "stage": stage, "x": state["x"] + batch.index.view(-1, 1, 1, 1, 1)}

    return Staged(begin, advance, lambda batch, state: AttackResult(state["x"], state["done"]), fixed=True)


def test_passes_are_full_while_clips_are_left_and_draws_are_a_clips_own() -> None:
    """Twelve clips in chunks of four, which need 0 to 5 stages: the passes are as few as they can be."""
    batch = make_batch(n=12, t=4)
    batch = replace(batch, index=torch.arange(12))
    needed, shapes, firsts = {n: (5 * n) % 6 for n in range(12)}, list[int](), list[int]()
    victim = Victim(Still(), none, "cpu")

    def view(clips: SkeletonBatch, first: int) -> Any:
        firsts.append(first)
        return victim.view(clips, "attack", 0, first)

    slots = Slots(counting(needed, shapes), view, lambda seen: seen, size=4)
    chunks = [(clips_of(batch, slice(start, start + 4)), 4) for start in (0, 4, 8)]
    found = list(slots.run(chunks))
    x_adv = torch.cat([one.result.x_adv for one in found])
    moved = torch.tensor([n * needed[n] for n in range(12)]).view(-1, 1, 1, 1, 1)
    assert torch.equal(x_adv, moved.expand_as(batch.x).to(batch.x.dtype))
    assert torch.cat([one.forwards for one in found]).tolist() == [*needed.values()]
    assert {*shapes} == {4} and len(shapes) == sum(-(-sum(k > s for k in needed.values()) // 4) for s in range(5))
    assert max(firsts) == 4 and [len(one) for one in found[0].answers] == [needed[n] for n in range(4)]


class Still(nn.Module):
    def forward(self, x: Tensor, context: Context) -> Tensor:
        return x.flatten(1)[:, :3]


def test_a_trace_has_no_stop() -> None:
    with pytest.raises(SettingError, match=r"attack\.stop"):
        admm(None, None, constraints={}, stop=0.01, trace=True)  # type: ignore[arg-type]
