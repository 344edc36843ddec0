"""The table of defenses by hand: accuracies within the threat model, the worst case per clip, and signs of masking."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import samples

from skeleton_adv.report.tables import by_table
from skeleton_adv.report.tables.defenses import TABLE, kept, kind, summary, takes
from skeleton_adv.report.write import write
from skeleton_adv.runs.load import Run


def run(attack: str, identity: str, fooled: list[int], outside: list[int] | None = None, **facts: Any) -> Run:
    """A run on six clips, of which the first five are correct before; ``outside``: those beyond the threat model."""
    choices = {"attack": attack, "threat": "linf_10mm", "defense": "median"} | facts.pop("choices", {})
    columns: dict[str, Any] = {
        "clean_correct": [place < 5 for place in range(6)],
        "clean_share": [float(place < 5) for place in range(6)],
        "adv_pred": [2 if place in fooled else 1 for place in range(6)],
        "adv_share": [float(place not in fooled) for place in range(6)],
        "success": [place in fooled for place in range(6)],
        "feasible": [place not in (outside or []) for place in range(6)],
    } | facts.pop("columns", {})
    rows = samples.six_rows(**columns)
    facts = {"access": "adaptive", "identity": identity, "experiment": "defenses"} | facts
    return samples.run(rows, choices=choices, **facts)


MEMBERS = {"aa_member": [0, 4, -1, -1, -1, -1], "aa_varies": False, "aa_flat": False, "aa_probabilities": False}


def test_accuracy_counts_clips_within_the_threat_model_that_are_correct_before() -> None:
    assert (kept(run("square", "a", [0, 1, 2], [2])).hits, kept(run("square", "a", [])).hits) == (3, 5)
    no_threat = run("admm", "b", [0, 1, 2], [2], choices={"threat": None})
    assert kept(no_threat).hits == 2
    noisy = run("square", "c", [], randomised=True, columns={"adv_share": 0.5})
    assert kept(noisy).value == 0.5


def test_the_worst_case_is_per_clip_and_leaves_out_attacks_without_a_threat_model() -> None:
    made = [
        run("autoattack_short", "a", [0, 1], columns=MEMBERS),
        run("square_short", "b", [1, 2], access="scores"),
        run("mi_fgsm_paper", "c", [3], [3], access="transfer", choices={"model@surrogate": "ctrgcn_small"}),
        run("admm", "d", [0, 1, 2, 3, 4], choices={"threat": None}),
        run("admm", "e", [4], access="oblivious", choices={"threat": None}),
    ]
    (row,) = summary(made)
    found = {name: row[f"{name}_hits"] for name in ("autoattack", "square", "transfer", "admm", "oblivious")}
    assert found == {"autoattack": 3, "square": 3, "transfer": 5, "admm": 0, "oblivious": 4}
    assert (row["clean_accuracy_hits"], row["worst_case_hits"], row["worst_case_clips"]) == (5, 2, 6)
    assert "fools 1 of 6 clips that APGD and FAB do not" in row["sign"]
    assert "1 of 6 clips are fooled only by attacks without the victim's gradient" in row["sign"]


def test_a_defense_without_signs_and_one_that_no_gradient_attacked() -> None:
    clear = [run("autoattack_short", "a", [0, 1]), run("square_short", "b", [1], access="scores")]
    assert summary(clear)[0]["sign"] == "none"
    assert summary(clear[1:])[0]["sign"].startswith("not known")
    flat = run("pgd", "c", [0], columns={"gradient": [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]})
    assert "no gradient on 1 of 6 clips" in summary([flat])[0]["sign"]


def test_the_worst_case_of_a_victim_that_draws_noise_is_that_of_one_attack() -> None:
    shares = ([0.0, 0.5, 1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.5, 1.0, 1.0, 0.0])
    made = [
        run("square_short", name, [], randomised=True, columns={"adv_share": list(share)})
        for name, share in zip("ab", shares, strict=True)
    ]
    assert summary(made)[0]["worst_case_hits"] == pytest.approx(3.5)


def test_noise_that_fools_a_clip_once_is_no_sign_of_masked_gradients() -> None:
    made = [run("autoattack_rand_short", "a", [0, 1]), run("square_short", "b", [2], access="scores")]
    assert "1 of 6 clips are fooled only by" in summary(made)[0]["sign"]
    assert summary([replace(one, randomised=True) for one in made])[0]["sign"] == "none"


def test_the_oblivious_attack_has_the_threat_model_of_the_others_if_there_is_one() -> None:
    made = [
        run("autoattack_short", "a", [0, 1]),
        run("admm", "b", [0, 1, 2, 3, 4], access="oblivious", choices={"threat": None}),
        run("autoattack_short", "c", [0], access="oblivious"),
    ]
    assert summary(made)[0]["oblivious_hits"] == 4 and summary(made[:2])[0]["oblivious_hits"] == 0


def test_an_attack_on_the_clean_weights_of_a_trained_defense_is_oblivious() -> None:
    trained = {"training": {"name": "trades"}, "access": "transfer", "surrogate_training": {"name": "none"}}
    own = {"defense": "none", "model@surrogate": "hcn"}
    assert kind(run("admm", "a", [], choices=own, **trained)) == "oblivious"
    assert kind(run("admm", "a", [], choices=own | {"model@surrogate": "agcn"}, **trained)) == "transfer"
    assert takes(run("pgd", "a", [], experiment=None, choices=own, **trained))
    assert not takes(run("pgd", "a", [], experiment=None, choices={"defense": "none"}))


def test_the_table_has_a_row_per_run_and_a_page_with_a_row_per_defense(tmp_path: Path) -> None:
    made = [
        run("autoattack_short", "a", [0, 1]),
        run("autoattack_short", "b", [0], choices={"defense": "none"}, access="white box"),
    ]
    tables = {table.name: own for table, own in by_table(made)}
    assert tables["defenses"] == made
    names = {path.name for path in write(TABLE, made, TABLE.rows(made), made, tmp_path)}
    assert {"defenses.csv", "defenses_summary.csv"} <= names
    text = (tmp_path / "utd_mhad/defenses.md").read_text()
    assert "50.0 [18.8, 81.2] (3/6)" in text and "sign of masked gradients" in text
