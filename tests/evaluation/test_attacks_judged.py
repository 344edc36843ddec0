"""The access of attacks, the checks of their results, and constraints of any name."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_batch
from judged import CONSTRAINTS, Linear, evaluation, key, rows, still
from torch import Tensor, nn

from skeleton_adv.attacks import AttackResult, access_of, name_of, needs, own_columns
from skeleton_adv.attacks.admm import admm
from skeleton_adv.attacks.from_file import from_file
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.constraints import SLACK, Constraint, JointAngle, Limits
from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.errors import AttackError, SettingError
from skeleton_adv.data.clips import hashed_order, load_batch
from skeleton_adv.defenses import none
from skeleton_adv.evaluation.metrics import measure
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.schema import ATTACK, constraint_columns

# The columns of a row


def test_a_row_has_the_columns_of_its_kind_then_constraints_then_the_attacks_own(data: Any) -> None:
    @needs("labels", columns={"queries": "int", "share": "float", "stuck": "bool"})
    def counted(model: Any, batch: SkeletonBatch, *, targeted: bool = False, step: int = 1) -> AttackResult:
        n = len(batch)
        columns = {"queries": step * batch.index, "share": batch.index / 2, "stuck": torch.arange(n) % 2 == 0}
        return replace(still(batch), columns=columns)

    attack = partial(counted, step=3)
    made = evaluation(data, attack)
    assert list(made.columns) == [*ATTACK.columns, *constraint_columns(CONSTRAINTS), "queries", "share", "stuck"]
    kinds = {"int": int, "float": float, "bool": bool, "text": str}
    for place, row in enumerate(rows(data, attack)):
        assert list(row) == list(made.columns)
        assert all(type(row[name]) is kinds[kind] for name, kind in made.columns.items())
        assert (row["queries"], row["share"]) == (3 * row["index"], row["index"] / 2)
        assert row["stuck"] is (place % 5 % 2 == 0)


@pytest.mark.parametrize(
    "columns",
    [{}, {"queries": torch.zeros(5)}, {"queries": torch.zeros(4, dtype=torch.long)}, {"calls": torch.zeros(5)}],
    ids=["missing", "float", "shape", "name"],
)
def test_added_columns_must_be_declared(data: Any, columns: dict[str, Tensor]) -> None:
    @needs("none", columns={"queries": "int"})
    def careless(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        return replace(still(batch), columns=columns)

    with pytest.raises(AttackError, match="attack careless returned"):
        rows(data, careless)


def test_two_columns_with_the_same_name_are_refused(data: Any) -> None:
    @needs("none", columns={"bone_max": "float"})
    def greedy(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        return still(batch)

    with pytest.raises(SettingError, match="bone_max"):
        rows(data, greedy)
    with pytest.raises(SettingError, match="true_angle_ma"):
        rows(data, pgd, constraints={"true_angle": JointAngle()})


def test_saved_clips_are_the_judged_arrays(data: Any) -> None:
    kept: dict[int, Any] = {}

    def save(numbers: list[int], found: list[dict[str, Any]], arrays: Any) -> None:
        assert [row["index"] for row in found] == numbers and {*arrays} == {"x", "x_adv", "mask", "dt", "trace.loss"}
        assert all(type(values) is np.ndarray for values in arrays.values())
        for place, row in enumerate(found):
            kept[row["index"]] = ({name: values[place] for name, values in arrays.items()}, row)

    def traced(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        moved = batch.x.double() + 0.01 * batch.movable
        return replace(still(batch, moved), trace={"loss": torch.arange(3)[:, None] + batch.index.double()})

    order = hashed_order(data[1].clips, "test")
    evaluation(data, traced).run(order, set(), lambda found: None, lambda starts, _: starts, save)
    assert {*kept} == {*order}
    for index, (arrays, row) in kept.items():
        assert arrays["x"].dtype == arrays["x_adv"].dtype == arrays["trace.loss"].dtype == np.float32
        assert arrays["mask"].dtype == np.bool_ and arrays["trace.loss"].tolist() == [index, index + 1, index + 2]
        moved = arrays["x_adv"].astype(np.float64) - arrays["x"]
        assert row["l2"] == pytest.approx(float(np.sqrt((moved**2).sum())), rel=1e-12)


# The access of an attack


def test_declarations_of_an_attack_with_settings_are_found() -> None:
    def undeclared(model: Any, batch: SkeletonBatch, *, targeted: bool = False, c: int = 0) -> AttackResult:
        return still(batch)

    @needs("scores", columns={"queries": "int"})
    class Callable_:  # noqa: N801
        def __call__(self, model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
            return still(batch)

    assert access_of(undeclared) == access_of(partial(partial(undeclared, c=1), c=2)) == "gradients"
    assert access_of(partial(from_file, path="a")) == "labels" and name_of(partial(pgd, steps=1)) == "pgd"
    assert access_of(Callable_()) == "scores" and own_columns(partial(Callable_())) == {"queries": "int"}
    assert {access_of(attack) for attack in (admm, pgd)} == {"gradients"} and own_columns(admm) == {}


@pytest.mark.parametrize("access", ["gradients", "scores", "labels"])
def test_an_attack_gets_its_declared_access_and_its_calls_are_counted(data: Any, access: Any) -> None:
    seen: list[Tensor] = []

    @needs(access)
    def looking(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        x = batch.x.clone().requires_grad_(access == "gradients")
        for _ in range(3):
            seen.append(model(x))
        if access == "gradients":
            torch.autograd.grad(seen[0].sum(), x)
        with torch.no_grad():
            model(batch.x.clone().requires_grad_())  # without a graph, this requests no gradient
        for name in dir(model):
            if not name.startswith("_"):
                assert not isinstance(getattr(model, name), nn.Module | Victim)
        assert not [name for name in dir(model) if not name.startswith("_")]
        seen[-1].zero_()  # a copy: the evaluator's logits do not change
        return still(batch)

    found = rows(data, looking, limit=5)
    assert all((row["forwards"], row["gradients"]) == (4, int(access == "gradients")) for row in found)
    shape = (5,) if access == "labels" else (5, 27)
    assert all(tuple(answer.shape) == shape for answer in seen)
    assert all(answer.requires_grad == (access == "gradients") for answer in seen)
    if access == "labels":
        assert seen[0].tolist() == [row["clean_pred"] for row in found]


def test_an_attack_cannot_change_the_logits_of_the_weakness_check(data: Any) -> None:
    """An attack that overwrites its logits, or sees only labels, does not change ``falling``."""

    def falling(access: Any, spoil: bool) -> list[bool]:
        @needs(access)
        def walking(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
            for step in range(40):
                answer = model((1 - step / 50) * batch.x)  # logits shrink towards 0, and so do margins
                if spoil:
                    answer.zero_()
            return still(batch)

        return [row["falling"] for row in rows(data, walking, targeted=True, target="throw")]

    plain = falling("scores", False)
    assert any(plain) and plain == falling("scores", True) == falling("labels", False)


def test_undeclared_access_is_refused_in_one_line(data: Any) -> None:
    dishonest = {
        access: needs(access)(lambda model, batch, *, targeted=False: pgd(model, batch, steps=1))
        for access in ("scores", "labels", "none")
    }
    for access, words in (("scores", "asked for gradients"), ("labels", "asked for gradients"), ("none", "needs none")):
        with pytest.raises(AttackError, match=words) as caught:
            rows(data, dishonest[access])
        assert "\n" not in str(caught.value)


def test_logits_that_are_not_finite_have_no_label() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor, context: Context) -> Tensor:
            return torch.tensor([[0.0, 1.0], [torch.nan, 1.0], [torch.inf, 0.0]])

    batch = make_batch(n=3)
    assert Victim(Half(), none, "cpu").view(batch, "attack", 0).limited("labels")(batch.x).tolist() == [1, -1, -1]


# The checks of an attack's result


def test_an_attack_that_writes_into_its_clips_is_judged_like_any_other(data: Any) -> None:
    """An earlier version reported "success 81 %, feasible 81 %, l2 0" for such an attack."""

    def honest(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        return pgd(model, batch, eps=0.2, step=0.1, steps=3, random_start=False)

    def writing(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        result = honest(model, batch)
        batch.x.copy_(result.x_adv)
        batch.y.fill_(0)
        batch.index.fill_(0)
        batch.dt.fill_(9.0)
        batch.mask.fill_(False)
        return AttackResult(batch.x, result.found)

    expected, found = rows(data, honest), rows(data, writing)
    assert [*map(key, found)] == [*map(key, expected)]
    assert all(row["l2"] > 0.2 and not row["feasible"] for row in found) and any(row["success"] for row in found)


@pytest.mark.parametrize("amount", [1e-12, 0.3, torch.nan, torch.inf])
def test_a_moved_immovable_entry_is_named_with_attack_and_clip(data: Any, amount: float) -> None:
    def reckless(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        assert not batch.movable[2, ..., 1].any()
        x_adv = batch.x.clone()
        x_adv[2, 1, 4, 3, 1] += amount
        return still(batch, x_adv)

    with pytest.raises(AttackError) as caught:
        rows(data, partial(reckless))
    name = data[1].clips[hashed_order(data[1].clips, "test")[2]].name
    assert "attack reckless" in str(caught.value) and name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "result",
    [
        lambda batch: still(batch, batch.x[:, :, :-1]),
        lambda batch: still(batch, batch.x[:4]),
        lambda batch: AttackResult(batch.x, torch.zeros(len(batch))),
        lambda batch: AttackResult(batch.x, torch.zeros(len(batch), 1, dtype=torch.bool)),
    ],
    ids=["frames", "clips", "kind", "shape"],
)
def test_a_result_of_another_shape_is_refused(data: Any, result: Any) -> None:
    def odd(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        made: AttackResult = result(batch)
        return made

    with pytest.raises(AttackError, match="attack odd returned"):
        rows(data, odd)


def test_a_diverged_clip_is_a_row_and_other_clips_are_unchanged(data: Any) -> None:
    def partly(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
        x_adv = batch.x.clone()
        x_adv[1] = torch.where(batch.movable[1], torch.inf, x_adv[1])
        return still(batch, x_adv)

    plain = rows(data, lambda model, batch, *, targeted=False: still(batch), limit=5, constraints={})
    found = rows(data, partly, limit=5, constraints={})
    assert [row["adv_pred"] for row in found] == [plain[0]["adv_pred"], -1, *(row["adv_pred"] for row in plain[2:])]
    assert [row["feasible"] for row in found] == [True, False, True, True, True]
    assert not found[1]["success"] and found[1]["success_share"] == found[1]["adv_share"] == 0


def test_attacks_that_diverge_do_not_change_immovable_entries(data: Any) -> None:
    """An attack is not refused because of an infinite gradient at an absent joint."""

    class Steep(Linear):
        def forward(self, x: Tensor, context: Context) -> Tensor:
            return super().forward(x, context) + 0 * (x.sum(dim=(1, 2, 3, 4)) * 1e30 * 1e30).sum()

    victim = Victim(Steep(), none, "cpu")
    for attack in (partial(admm, constraints=CONSTRAINTS, outer_steps=1, inner_steps=2), partial(pgd, steps=2)):
        found = rows(data, attack, victim=victim, attacked=victim)
        assert all(row["adv_pred"] == -1 and not row["success"] and not row["found"] for row in found)


# Constraints of any name


@dataclass(frozen=True)
class Floor(Constraint):
    """No joint sinks by more than ``eps`` metres."""

    eps: float = 0.001
    name = "floor"
    symbol, unit = "Δy", "m"

    def on(self, batch: SkeletonBatch) -> Limits:
        clean = batch.x[:, 1]

        def deviation(x_adv: Tensor) -> Tensor:
            return (clean - x_adv[:, 1]).relu().flatten(1)

        ones = torch.ones_like(clean).flatten(1)
        return Limits(deviation, self.eps * ones, ones, SLACK * ones, batch.mask[:, 0].flatten(1))


def test_a_fourth_constraint_reaches_attack_measures_and_rows(data: Any) -> None:
    def run(constraints: dict[str, Constraint], **settings: Any) -> list[dict[str, Any]]:
        attack = partial(admm, constraints=constraints, outer_steps=6, inner_steps=6, lr=5e-3, conf=5.0, **settings)
        return rows(data, attack, constraints=four)

    four = {**CONSTRAINTS, "ground": Floor()}  # under another name than the class gives
    without, with_it, best = run(CONSTRAINTS), run(four, beta=20.0), run(four, beta=20.0, keep="best")
    columns = list(with_it[0])
    assert columns[-3:] == ["ground_mean", "ground_max", "ground_ok"] and len(columns) == len(ATTACK.columns) + 12
    assert sum(r["ground_max"] for r in with_it) < 0.5 * sum(r["ground_max"] for r in without)
    for row in [*without, *with_it, *best]:
        assert row["ground_ok"] == (row["ground_max"] <= 0.001 + SLACK)
        assert row["feasible"] == all(row[f"{name}_ok"] for name in four)
        assert row["ground_max"] <= row["linf"] + 1e-12 and row["ground_mean"] <= row["ground_max"]
    assert not all(row["ground_ok"] for row in without)


def test_a_fourth_constraint_is_measured_by_hand() -> None:
    batch = make_batch(n=2, m=1)
    moved = batch.x.clone()
    moved[0, 1, 3, 4, 0] -= 0.02
    moved[0, 1, 5, 4, 0] += 0.7  # upwards, which is allowed
    columns = measure(moved, batch, {"ground": Floor()})
    joints = float(batch.mask[0].sum())
    assert columns["ground_max"].tolist() == pytest.approx([0.02, 0.0])
    assert columns["ground_mean"].tolist() == pytest.approx([0.02 / joints, 0.0])
    assert columns["ground_ok"].tolist() == columns["feasible"].tolist() == [False, True]
    assert not [name for name in columns if name.startswith(("bone", "angle", "speed"))]


def test_an_attack_may_have_no_constraint_at_all() -> None:
    from conftest import linear_case

    model, batch = linear_case(n=3)
    for keep in ("last", "best"):
        result = admm(model, batch, constraints={}, outer_steps=2, lr=0.02, keep=keep)  # type: ignore[arg-type]
        assert result.found.all()


def test_every_constraint_names_its_measure() -> None:
    declared = {name: (constraint.symbol, constraint.unit) for name, constraint in CONSTRAINTS.items()}
    assert declared == {"bone": ("ΔB/B", "share"), "angle": ("ΔJ", "rad"), "speed": ("ΔS/S", "share")}


def test_batches_of_absent_persons_are_what_these_tests_need(data: Any) -> None:
    batch = load_batch(*data, hashed_order(data[1].clips, "test")[:5])
    assert not batch.mask[..., 1].any() and batch.mask[..., 0].all()
