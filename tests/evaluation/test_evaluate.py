"""The evaluation of attacks: fixed chunks, targets, judgement by the victim, and consistent records."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skeleton_adv.attacks import AttackResult
from skeleton_adv.attacks.admm import admm
from skeleton_adv.constraints import BoneLength, JointAngle, Speed
from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.noise import normal
from skeleton_adv.data.clips import Prepared, hashed_order, load_batch
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.defenses import none
from skeleton_adv.defenses.noise_filter import NoiseFilter
from skeleton_adv.evaluation.attack import Evaluation
from skeleton_adv.evaluation.targets import random_target, resolve_class
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import build_network
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.models.victim import Victim

CONSTRAINTS = {"bone": BoneLength(), "angle": JointAngle(), "speed": Speed()}
ATTACK = partial(admm, constraints=CONSTRAINTS, outer_steps=2, inner_steps=4)


@pytest.fixture(scope="module")
def data(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[UTDMHAD, Prepared, nn.Module]:
    dataset = UTDMHAD(str(mat_folder), num_frames=16)
    torch.manual_seed(0)
    network = build_network(partial(HCN, fc7=16), CenterPerFrame, dataset)
    for weight in network.parameters():
        weight.data.mul_(1.3)
    return dataset, prepare(dataset, tmp_path_factory.mktemp("cache")), network


def evaluation(data: Any, **changes: Any) -> Evaluation:
    dataset, prepared, network = data
    settings: dict[str, Any] = {"attack": ATTACK, "targeted": False, "target": "random", "seed": 0, "batch_size": 5}
    settings |= changes
    victim = Victim(network, none, "cpu")
    settings = {"victim": victim, "attacked": victim, "constraints": CONSTRAINTS, **settings}
    return Evaluation(dataset, prepared, **settings)


def records(data: Any, done: Sequence[int] = (), limit: int | None = None, **changes: Any) -> list[Any]:
    """The rows of a run, with their values as attributes."""
    found: list[dict[str, Any]] = []
    order = hashed_order(data[1].clips, "test")[:limit]
    evaluation(data, **changes).run(order, set(done), found.extend, lambda starts, _: starts)
    return [SimpleNamespace(**row) for row in found]


def key(record: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name != "seconds"}


def test_every_clip_once_and_in_order(data: Any) -> None:
    found = records(data)
    assert [record.index for record in found] == hashed_order(data[1].clips, "test")
    assert all(record.forwards == 9 and record.gradients == 8 for record in found)
    assert [record.name for record in found] == [data[1].clips[record.index].name for record in found]


@pytest.mark.parametrize("kept", [1, 5, 7, 11])
def test_resuming_gives_the_same_rows_to_the_bit(data: Any, kept: int) -> None:
    whole = records(data)
    rest = records(data, done=[record.index for record in whole[:kept]])
    assert [key(record) for record in rest] == [key(record) for record in whole[kept:]]


def test_a_limit_gives_the_same_first_rows(data: Any) -> None:
    whole = records(data)
    assert [key(record) for record in records(data, limit=7)] == [key(record) for record in whole[:7]]


def test_success_is_judged_by_the_victim_not_the_attack(data: Any) -> None:
    def overclaiming(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        return AttackResult(batch.x, torch.ones(len(batch), dtype=torch.bool))

    for record in records(data, attack=overclaiming):
        assert record.found and record.success == (record.clean_pred != record.label)
        assert record.adv_pred == record.clean_pred and record.l2 == 0 and record.feasible


def test_success_is_judged_on_the_clip_as_saved(data: Any) -> None:
    """A perturbation that is rounded away in float32 is no success."""

    def tiny(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        return AttackResult(batch.x.double() + 1e-12 * batch.movable, torch.ones(len(batch), dtype=torch.bool))

    assert all(record.l2 == 0 for record in records(data, attack=tiny))


def test_a_diverged_attack_is_a_failure(data: Any) -> None:
    def diverged(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        return AttackResult(torch.where(batch.movable, torch.nan, batch.x), torch.ones(len(batch), dtype=torch.bool))

    for targeted in (False, True):
        rows = records(data, attack=diverged, targeted=targeted, target="swipe_left")
        assert not any(row.success or row.feasible for row in rows)


def test_rows_agree_with_a_judgement_from_scratch(data: Any) -> None:
    dataset, prepared, network = data
    kept: list[Tensor] = []

    def remembering(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        result = ATTACK(model, batch, targeted=targeted)
        kept.append(result.x_adv)
        return result

    rows = records(data, attack=remembering)
    x_adv = torch.cat(kept)[: len(rows)]
    clean = load_batch(dataset, prepared, [row.index for row in rows])
    network.eval()
    predictions = torch.cat([network(part).argmax(dim=1) for part in x_adv.split(5)])
    assert [row.adv_pred for row in rows] == predictions.tolist()
    distance = (x_adv.double() - clean.x.double()).flatten(1).norm(dim=1)
    assert [row.l2 for row in rows] == pytest.approx(distance.tolist(), rel=1e-9)
    assert any(row.success for row in rows)


def test_random_targets_are_seeded_and_never_the_true_class(data: Any) -> None:
    rows = records(data, targeted=True)
    assert all(row.target not in (row.label, -1) and 0 <= row.target < 27 for row in rows)
    assert [row.target for row in rows] == [random_target(0, row.index, row.label, 27) for row in rows]
    assert [row.target for row in rows] != [row.target for row in records(data, targeted=True, seed=1)]
    drawn = [random_target(0, index, 3, 5) for index in range(4000)]
    assert 3 not in drawn and all(900 < drawn.count(k) < 1100 for k in (0, 1, 2, 4))


def test_least_likely_and_named_targets(data: Any) -> None:
    dataset, prepared, network = data
    network.eval()
    for row in records(data, targeted=True, target="least_likely"):
        logits = network(load_batch(dataset, prepared, [row.index]).x)[0]
        logits[row.label] = torch.inf
        assert row.target == int(logits.argmin())
    assert {row.target for row in records(data, targeted=True, target="throw")} == {4}


def test_an_unknown_target_is_refused_with_the_nearest() -> None:
    classes = ("walk", "jog", "throw")
    assert resolve_class("jog", classes) == 1 and resolve_class(2, classes) == 2
    with pytest.raises(SettingError, match="did you mean 'throw'"):
        resolve_class("thorw", classes)
    with pytest.raises(SettingError, match="0 to 2"):
        resolve_class(3, classes)


def test_transfer_is_made_on_the_surrogate_and_judged_by_the_victim(data: Any) -> None:
    dataset, prepared, _ = data
    torch.manual_seed(1)
    other = build_network(partial(HCN, fc7=16), CenterPerFrame, dataset)
    white = records((dataset, prepared, other))
    transfer = records(data, attacked=Victim(other, none, "cpu"))
    assert [record.l2 for record in transfer] == [record.l2 for record in white]
    assert [record.clean_pred for record in transfer] == [record.clean_pred for record in records(data)]
    assert [record.found for record in transfer] == [record.found for record in white]
    assert any(a.adv_pred != b.adv_pred for a, b in zip(transfer, white, strict=True))
    assert all((record.adv_pred != record.label) == record.success for record in transfer)


def test_an_oblivious_attack_is_the_attack_on_the_undefended_network(data: Any) -> None:
    defended = Victim(data[2], partial(NoiseFilter, sigma=0.3, draws=4, eot=2), "cpu")
    bare = records(data)
    unaware = records(data, victim=defended)
    adaptive = records(data, victim=defended, attacked=defended)
    assert [record.l2 for record in unaware] == [record.l2 for record in bare]
    assert all(a.l2 != b.l2 for a, b in zip(adaptive, bare, strict=True) if b.l2)
    assert [key(record) for record in adaptive] == [
        key(record) for record in records(data, victim=defended, attacked=defended)
    ]


class Dice(nn.Module):
    """A defense that makes the victim random: every call predicts one of three classes."""

    randomised = True

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, context: Context) -> Tensor:
        thrown = normal(x.new_zeros(len(x), 3), context.index, context.seed, context.purpose, context.draw)
        return torch.cat([thrown, x.new_full((len(x), 24), -100.0)], dim=1)


def test_a_victim_with_noise_judges_many_times(data: Any) -> None:
    rows = records(data, victim=Victim(data[2], Dice, "cpu"), judgements=300)
    assert all(row.judgements == 300 and row.name for row in rows)
    for share in ("clean_share", "adv_share"):
        mean = sum(getattr(row, share) for row in rows) / len(rows)
        assert mean == pytest.approx(1 / 3, abs=4 * (2 / 9 / 300 / len(rows)) ** 0.5)
    assert all(row.adv_share + row.success_share == pytest.approx(1) for row in rows)  # untargeted
    assert all(row.success == (row.success_share > 0.5) for row in rows)
    once = records(data, judgements=300)
    assert all(row.judgements == 1 and row.success_share == float(row.success) for row in once)


def test_evaluations_of_one_victim_judge_clean_clips_once(data: Any) -> None:
    purposes: list[str] = []

    class Counted(Dice):
        def forward(self, x: Tensor, context: Context) -> Tensor:
            purposes.append(context.purpose)
            return super().forward(x, context)

    victim, clean = Victim(data[2], Counted, "cpu"), {}  # type: ignore[var-annotated]
    first = records(data, victim=victim, judgements=7, clean=clean)
    assert purposes.count("clean") == 7 * len(clean) > 0
    other = {"targeted": True, "seed": 0, "judgements": 7}
    second = records(data, victim=victim, clean=clean, **other)
    assert purposes.count("clean") == 7 * len(clean)
    assert [*map(key, second)] == [*map(key, records(data, victim=victim, **other))]
    assert {row.clean_share for row in first} == {row.clean_share for row in second}
