"""Clips that are done leave their passes to others: the rows are those without, bit for bit, in fewer passes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from judged import CONSTRAINTS, FRAMES, PERSONS, evaluation
from torch import Tensor, nn

from skeleton_adv.attacks import stages_of
from skeleton_adv.attacks.admm import admm
from skeleton_adv.attacks.apgd import apgd
from skeleton_adv.attacks.autoattack import autoattack
from skeleton_adv.core.batch import Context
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.noise import normal
from skeleton_adv.data.clips import hashed_order, load_batch
from skeleton_adv.defenses import none
from skeleton_adv.evaluation.made import Kept
from skeleton_adv.models.victim import Victim

COST = ("seconds", "forwards", "gradients")
ATTACKS: dict[str, Callable[..., Any]] = {
    "autoattack": partial(autoattack, eps=0.02, steps=6, targets=3, queries=20),
    "autoattack_rand": partial(autoattack, eps=0.02, steps=6, version="rand", eot=2),
    "apgd_t": partial(apgd, eps=0.015, steps=6, targets=4, loss="targeted_dlr"),
    "apgd_restarts": partial(apgd, eps=0.02, steps=3, restarts=4, norm="rms"),
    "apgd_masked": partial(apgd, eps=0.05, steps=3, restarts=3, joints=["left_hand", "right_hand"], frames="0:8"),
    "admm": partial(admm, constraints=CONSTRAINTS, outer_steps=40, inner_steps=3, lr=3e-3, stop=0.1),
    "admm_best": partial(admm, constraints=CONSTRAINTS, outer_steps=40, inner_steps=3, lr=3e-3, stop=0.1, keep="best"),
}


class Curved(nn.Module):
    """A network of two layers that is right about these clips, by more or less."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(3 * FRAMES * 20 * PERSONS, 64, generator=rng) / 10)
        wanted = torch.logspace(-1, 1.5, len(y))[:, None] * torch.nn.functional.one_hot(y, 27)
        self.second = nn.Parameter(torch.linalg.lstsq(self.hidden(x), wanted).solution)

    def hidden(self, x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ self.first)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        return self.hidden(x) @ self.second


class Noisy(Curved):
    """The same with noise of its own at each call."""

    randomised = True

    def forward(self, x: Tensor, context: Context) -> Tensor:
        logits = super().forward(x, context)
        return logits + 0.05 * normal(logits, context.index, context.seed, context.purpose, context.draw)


@pytest.fixture(scope="module")
def victims(data: Any) -> dict[str, Victim]:
    batch = load_batch(*data, hashed_order(data[1].clips, "test"))
    networks: dict[str, nn.Module] = {"curved": Curved(batch.x, batch.y), "noisy": Noisy(batch.x, batch.y)}
    return {name: Victim(network, none, "cpu") for name, network in networks.items()}


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


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("victim", ["curved", "noisy"])
@pytest.mark.parametrize("name", list(ATTACKS))
def test_rows_are_those_without_in_fewer_passes(
    data: Any, victims: dict[str, Victim], name: str, victim: str, targeted: bool
) -> None:
    attack, changes = ATTACKS[name], {"victim": victims[victim], "targeted": targeted, "batch_size": 5}
    assert stages_of(attack, targeted) is not None
    rows, passes, clips = run(data, attack, compact=True, **changes)
    others, most, their_clips = run(data, attack, compact=False, **changes)
    assert repr(rows) == repr(others)
    assert all((clips[number] == their_clips[number]).all() for number in rows)
    if victim == "curved" and not targeted:
        assert sum(row["success"] for row in rows.values()) > 0
        assert passes < most
    resumed, _, _ = run(data, attack, done=tuple(rows)[:3], compact=True, **changes)
    assert repr(resumed) == repr(dict(list(rows.items())[3:]))


def test_kept_clips_are_those_without_and_a_damaged_file_is_made_again(
    data: Any, victims: dict[str, Victim], tmp_path: Any
) -> None:
    attack, changes = ATTACKS["autoattack"], {"victim": victims["curved"], "batch_size": 5}
    wanted, _, _ = run(data, attack, compact=False, **changes)
    for _ in range(2):
        kept = Kept(tmp_path)
        assert repr(run(data, attack, kept=kept, **changes)[0]) == repr(wanted)
        first = sorted(tmp_path.iterdir())[0]
        first.write_bytes(first.read_bytes()[:50])


def test_a_trace_has_no_stop() -> None:
    with pytest.raises(SettingError, match=r"attack\.stop"):
        admm(None, None, constraints={}, stop=0.01, trace=True)  # type: ignore[arg-type]
