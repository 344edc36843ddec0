"""The table of anonymised clips and their judges by hand: who judges, what is recognised, and how well."""

from pathlib import Path
from typing import Any

import pytest
import samples

from skeleton_adv.report.tables import by_table
from skeleton_adv.report.tables.anonymity_judged import TABLE, chance, hidden, role
from skeleton_adv.report.write import write
from skeleton_adv.runs.load import Run

ATTACK = {"k": 4, "hide": False, "norm": "linf", "eps": 0.01}
PEOPLE = {"label": "subject", "num_frames": 32}
ORIGIN = {
    **{"run": "abc", "attack": "k_a3", "settings": ATTACK, "attacked": "hcn", "weights": "weights"},
    **{"dataset": "utd_mhad_subjects", "label": "subject", "columns": ["rank", "drawn_rank"]},
}
SAME: dict[str, Any] = {"dataset": "utd_mhad_subjects", "stands_for": None}


def attacked(**changes: Any) -> Run:
    rows = samples.six_rows(rank=[1, 2, 3, 4, 1, 2], drawn_rank=[1, 2, 3, 4, 1, 2])
    settings = {"attack": ATTACK, "dataset": PEOPLE} | changes.pop("settings", {})
    return samples.run(
        rows, settings=settings, choices={"attack": "k_a3"} | changes.pop("choices", {}), **SAME, **changes
    )


def judged(identity: str, weights: str, data: Any, correct: int = 1, **facts: Any) -> Run:
    """The same clips before another network; ``correct`` of the six stay correct."""
    rows = samples.six_rows(adv_pred=[1] * correct + [2] * (6 - correct))
    settings = {"attack": {"path": "digest"}, "dataset": data, "checkpoint": weights, "prepared": f"of {identity}"}
    given = {"access": "none", "origin": ORIGIN, "identity": identity} | facts
    return samples.run(rows, settings=settings, choices={"attack": "from_file"}, **SAME, **given)


def every_judge() -> list[Run]:
    learnt = {"name": "saved_k_a3_12345678", "settings": {"attack": "k_a3", "run": "def", "clips": "12345678"}}
    return [
        attacked(),
        judged("never", "others", PEOPLE, 2),
        judged("again", "retrained", PEOPLE, 5, training=learnt),
        judged("action", "of actions", {"num_frames": 32}, 3, num_classes=27),
    ]


def test_judges_have_roles_and_the_wanted_accuracy_is_that_of_the_hidden_classes() -> None:
    runs = every_judge()
    assert [role(run) for run in runs] == ["attacked", "never attacked", "retrained on clips of k_a3", "never attacked"]
    assert [chance(run) for run in runs] == [0.25, 0.25, 0.25, None]
    assert {hidden(run) for run in runs} == {"subjects from hcn: k_a3 linf ε=0.01, ranks 1 to 4"}


def test_a_surrogate_is_attacked_and_the_victim_is_not() -> None:
    surrogate = {"model@surrogate": "hcn", "model": "sgn_whole"}
    run = attacked(settings={"surrogate_checkpoint": "other"}, choices=surrogate, access="transfer")
    assert role(run) == "never attacked" and hidden(run).startswith("subjects from hcn:")


def test_the_table_shows_utility_beside_anonymity(tmp_path: Path) -> None:
    runs = every_judge()
    tables = {table.name: own for table, own in by_table(runs)}
    assert (
        len(tables["anonymity_judged"]) == 4 and len(tables["anonymity"]) == 1 and {*tables} == {*tables, "anonymity"}
    )
    frame = TABLE.rows(runs).set_index("run")
    assert frame["adv_accuracy_hits"].to_dict() == {"abc": 0, "never": 2, "again": 5, "action": 3}
    assert frame["classes"].to_dict() == {
        "abc": "subjects",
        "never": "subjects",
        "again": "subjects",
        "action": "actions",
    }
    assert frame["kept_clips"].tolist() == [4] * 4  # of six, those that are correct before
    assert frame.loc["action", "kept"] == pytest.approx(3 / 4) and not frame["differs"].any()
    write(TABLE, runs, TABLE.rows(runs), runs, tmp_path)
    text = (tmp_path / "utd_mhad_subjects/anonymity_judged.md").read_text()
    assert "retrained on clips of k_a3" in text and "83.3 [43.6, 97.0] (5/6)" in text


def test_other_saved_clips_are_not_anonymised() -> None:
    other = {**ORIGIN, "attack": "k_joint", "columns": ["joints"]}
    run = judged("other", "others", PEOPLE, origin=other)
    assert [table.name for table, _ in by_table([run])] == ["benchmark"]
